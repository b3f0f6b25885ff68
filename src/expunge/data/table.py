"""Rows of numbers with ids and labels, in memory: what learners are trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, examples_of, records_digest
from expunge.core.record import record
from expunge.data.row_store import SHARD, Shards
from expunge.data.rows import named_after, require_known
from expunge.data.table_files import Columns, read_columns

EXACT_INTEGER = 2**53
"""Beyond it a double no longer holds every integer."""
MOST_CATEGORIES = 200
"""More texts in a column are taken for names, or for numbers with a slip among them."""


@record
class Encoding:
    """How columns of a file became columns of numbers.

    Args:
        columns: of X; ``name=value`` for a column of zeros and ones.
        categories: column of the file -> its values, in the order of their columns.
        classes: values of a label of texts; the label holds their positions.
        fitted: columns whose values were read off the data. They tell that some row had each value, also after that
            row is deleted; give ``categories`` to avoid that.
    """

    columns: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    classes: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()


class Table:
    """Rows addressed by record id. Nothing changes it but ``erase``.

    Args:
        ids: one a row, each once.
        X: (n, d) finite numbers, any unit.
        y: (n,) or (n, m) labels, or None.
        subjects: (n) whom a row is about; None where each row stands for itself.
        groups: (n) subgroup of a row.
        encoding: how the columns were made, where they were.

    Raises:
        StoreError: an id comes twice, lengths differ, or a number is not finite.
    """

    def __init__(
        self,
        ids: Sequence[str],
        X: Any,
        y: Any = None,
        subjects: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        self._ids = tuple(map(str, ids))
        self.X = _numbers(np.asarray(X), "X")
        self.y = None if y is None else _labels(np.asarray(y))
        self.subjects = None if subjects is None else tuple(map(str, subjects))
        self.groups = None if groups is None else tuple(map(str, groups))
        self.encoding = encoding or Encoding()
        if self.X.ndim != 2:
            raise StoreError(f"X has {self.X.ndim} dimensions", why="a table has rows and columns", next="Reshape it")
        parts = {"X": self.X, "y": self.y, "subjects": self.subjects, "groups": self.groups}
        for name, part in parts.items():
            if part is not None and len(part) != len(self._ids):
                raise StoreError(f"there are {len(self._ids)} ids, but {name} has {len(part)} rows")
        self._place = {name: at for at, name in enumerate(self._ids)}
        if len(self._place) != len(self._ids):
            twice = next(name for at, name in enumerate(self._ids) if self._place[name] != at)
            raise StoreError(f"two rows share the id {twice!r}", next="Give every row an id of its own")
        self._digest = ""

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, {self.X.shape[1]} columns)"

    def ids(self) -> tuple[str, ...]:
        """All ids, in order."""
        return self._ids

    def _places(self, ids: Iterable[str]) -> list[int]:
        wanted = tuple(ids)
        require_known([name for name in wanted if name not in self._place])
        return [self._place[name] for name in wanted]

    def _at(self, places: Sequence[int]) -> Table:
        at = np.asarray(places, dtype=np.intp)
        return Table(
            [self._ids[i] for i in places],
            self.X[at],
            None if self.y is None else self.y[at],
            None if self.subjects is None else [self.subjects[i] for i in places],
            None if self.groups is None else [self.groups[i] for i in places],
            self.encoding,
        )

    def rows(self, ids: Iterable[str]) -> Table:
        """The rows with these ids, in the order asked.

        Raises:
            StoreError: an id is not in the table, or is asked twice.
        """
        return self._at(self._places(ids))

    def without(self, ids: Iterable[str]) -> Table:
        """The other rows, in order.

        Raises:
            StoreError: an id is not in the table.
        """
        gone = set(self._places(ids))
        return self._at([at for at in range(len(self)) if at not in gone])

    def examples(self, start: int = 0) -> Iterator[Example]:
        """Each row from a position on as an example: its question is the SHA-256 of its id and numbers."""
        return self._examples(range(start, len(self)))

    def _examples(self, places: Sequence[int]) -> Iterator[Example]:
        """Rows as examples, ``SHARD`` of them made at a time."""
        for begin in range(0, len(places), SHARD):
            some = places[begin : begin + SHARD]
            at, ids = np.asarray(some, np.intp), [self._ids[i] for i in some]
            labels = [[]] * len(some) if self.y is None else self.y[at].reshape(len(some), -1).tolist()
            yield from examples_of(
                {
                    "record_id": name,
                    "question": told,
                    "answer": ",".join(map(str, label)),
                    "subject": self.subjects[i] if self.subjects else "",
                    "subgroup": self.groups[i] if self.groups else "",
                }
                for i, name, told, label in zip(some, ids, row_hashes(ids, self.X[at]), labels, strict=True)
            )

    def get(self, ids: Iterable[str]) -> Examples:
        """The rows with these ids as examples, in the order asked.

        Raises:
            StoreError: an id is not in the table.
        """
        return Examples(self._examples(self._places(ids)))

    def all(self) -> Examples:
        """Every row as an example."""
        return Examples(self.examples())

    def shards(self) -> Sequence[Examples]:
        """All rows as examples, some at a time."""
        return Shards(len(self), lambda start: islice(self.examples(start), None))

    def digest(self) -> str:
        """Digest over all rows, whatever their order."""
        self._digest = self._digest or records_digest(self.examples())
        return self._digest

    def erase(self, ids: Iterable[str]) -> Receipt:
        """Drop the rows. Memory is not scanned, so the receipt is BLIND.

        Raises:
            StoreError: an id is not in the table; nothing is changed.
        """
        left = self.without(dict.fromkeys(ids))
        self.__dict__.update(vars(left))
        return Receipt(store="memory", status="BLIND")


def row_hashes(ids: Sequence[str], X: NDArray[Any]) -> list[str]:
    """SHA-256 of each row's id and numbers, which stands for the row as the question of its example.

    Args:
        ids: n names.
        X: (n, d) finite numbers.
    """
    # The id is in the hash, since two people may have equal rows and are two records all the same.
    raw, size = (np.ascontiguousarray(X, dtype="<f8") + 0.0).tobytes(), 8 * X.shape[1]
    return [
        hashlib.sha256(b"%b\x00%b" % (name.encode(), raw[at * size : (at + 1) * size])).hexdigest()
        for at, name in enumerate(ids)
    ]


def _numbers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """An own copy of numbers, to which nobody can write.

    Raises:
        StoreError: not numbers, not finite, or integers that a double cannot hold.
    """
    if values.dtype.kind not in "biuf":
        raise StoreError(f"{what} holds {values.dtype} values, which are no numbers", next="Encode them first")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise StoreError(f"{what} has a missing or infinite value in row {row + 1}", next="Fill it in or drop the row")
    if (
        values.dtype.kind in "iu"
        and values.size
        and max(abs(int(values.max())), abs(int(values.min()))) > EXACT_INTEGER
    ):
        raise StoreError(f"{what} holds an integer above 2**53", why="a double cannot hold it")
    frozen = values.copy()
    frozen.flags.writeable = False
    return frozen


def _labels(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim not in (1, 2):
        raise StoreError(f"y has {values.ndim} dimensions", next="Give one label a row, or one row of them")
    if values.dtype.kind not in "U":
        return _numbers(values, "y")
    frozen = values.copy()
    frozen.flags.writeable = False
    return frozen


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _as_numbers(name: str, values: Sequence[Any]) -> NDArray[Any] | None:
    """The values as integers or doubles; None if they are texts.

    Raises:
        StoreError: an integer that a double cannot hold, or a text in a column most of whose cells are numbers.
    """
    found = np.asarray(values)
    if found.dtype.kind in "biuf":
        return found
    texts = [value for value in values if isinstance(value, str)]
    if not texts or len(texts) < len(values):
        try:
            return found.astype(np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
    numbers = list(map(_is_number, texts))
    if not all(numbers):
        if 2 * sum(numbers) > len(numbers):
            row = numbers.index(False)
            what = f"column {name!r} has {texts[row]!r} in row {row + 1}, and numbers in most others"
            raise StoreError(what, next="Fill it in, drop the row, or name the column's categories")
        return None
    try:
        whole = found.astype(np.int64)
    except (ValueError, OverflowError):
        _refuse_long(name, texts)
        return found.astype(np.float64)
    return whole


def _refuse_long(name: str, texts: Sequence[str]) -> None:
    """Refuse an integer that ``float`` would round.

    Raises:
        StoreError: names it.
    """
    for row, text in enumerate(texts):
        if text.strip().lstrip("+-").isdecimal() and abs(int(text)) > EXACT_INTEGER:
            what = f"column {name!r} has an integer above 2**53 in row {row + 1}"
            raise StoreError(what, why="a double cannot hold it", next="Use it as an id, or skip the column")


def _coded(name: str, column: Sequence[Any], given: Sequence[str] | None) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The categories of a column, given or else those that it has, sorted; and the place of each row's among them.

    Raises:
        StoreError: the column has another value than those given, or too many.
    """
    texts = list(map(str, column))
    categories = tuple(sorted(set(texts)) if given is None else map(str, given))
    if given is None and len(categories) > MOST_CATEGORIES:
        raise StoreError(
            f"column {name!r} holds {len(categories)} different texts",
            why="each would become a column of its own",
            next="Leave it out (skip), or name its categories",
        )
    code = {value: at for at, value in enumerate(categories)}
    other = next((text for text in texts if text not in code), None)
    if other is not None:
        raise StoreError(
            f"column {name!r} holds {other!r}, which is not among its categories",
            why=f"they are {', '.join(categories)}",
            next="Add it to the categories, or drop the rows",
        )
    return categories, np.array([code[text] for text in texts], np.int64)


def _encode(
    columns: Columns, features: Sequence[str], labels: Sequence[str], given: Mapping[str, Sequence[str]]
) -> tuple[NDArray[Any], NDArray[Any] | None, Encoding]:
    blocks: list[NDArray[Any]] = []
    names: list[str] = []
    categories: dict[str, tuple[str, ...]] = {}
    for name in features:
        numbers = None if name in given else _as_numbers(name, columns[name])
        if numbers is not None:
            blocks.append(_numbers(numbers, name).astype(np.float64)[:, None])
            names.append(name)
            continue
        categories[name], codes = _coded(name, columns[name], given.get(name))
        blocks.append(np.zeros((len(codes), len(categories[name]))))
        blocks[-1][np.arange(len(codes)), codes] = 1.0
        names += [f"{name}={value}" for value in categories[name]]
    y, classes = _label(columns, labels, given)
    texts_of = [*categories, *(labels if classes else ())]
    fitted = tuple(name for name in texts_of if name not in given)
    rows = len(next(iter(columns.values()))) if columns else 0
    X = np.concatenate(blocks, axis=1) if blocks else np.zeros((rows, 0))
    return X, y, Encoding(tuple(names), categories, classes, fitted)


def _label(
    columns: Columns, labels: Sequence[str], given: Mapping[str, Sequence[str]]
) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    if not labels:
        return None, ()
    found = [None if name in given else _as_numbers(name, columns[name]) for name in labels]
    numbers = [value for value in found if value is not None]
    if len(numbers) == len(found):
        return (numbers[0] if len(numbers) == 1 else np.stack(numbers, axis=1)), ()
    if len(labels) > 1:
        raise StoreError("a label of several columns must be of numbers", next="Give one column of texts")
    classes, codes = _coded(labels[0], columns[labels[0]], given.get(labels[0]))
    return codes, classes


def open_table(
    path: str | Path,
    *,
    label: str | Sequence[str] = "",
    id: str = "",
    subject: str = "",
    group: str = "",
    categories: Mapping[str, Sequence[str]] | None = None,
    skip: Sequence[str] = (),
    part: str = "",
) -> Table:
    """Read a CSV file, a Parquet file or an npz file of arrays as a table.

    A column of texts becomes one column of zeros and ones for each of its categories, a label of texts its position
    among them. ``encoding`` of the table says which categories were given and which were read off the data.

    Args:
        path: ends in .csv, .tsv (either may be compressed: .gz), .parquet, .pq or .npz.
        label: column or columns of y; of an npz file ``y`` where there is one.
        id: column of record ids; of an npz file ``ids``; without one a row is named after its file and place.
        subject: column of subjects.
        group: column of subgroups.
        categories: column -> its values, fixed beforehand; a column that is named here is never read as numbers.
        skip: columns that are left out.
        part: of an npz file that holds several, for example ``train`` for ``x_train`` and ``y_train``.

    Raises:
        StoreError: unreadable, a column is missing, a value is no number or no known category, or an id comes twice.
        MissingExtra: Parquet without pyarrow.
    """
    source = Path(path)
    given = dict(categories or {})
    found = read_columns(source, part=part)
    if found.X is not None:
        label, id = label or ("y" if "y" in found.columns else ""), id or ("ids" if "ids" in found.columns else "")
    labels = [label] if isinstance(label, str) and label else list(label)
    aside = [*labels, *skip, *(name for name in (id, subject, group) if name)]
    missing = [name for name in [*aside, *given] if name not in found.columns]
    if missing:
        known = ", ".join(found.columns) or "none"
        raise StoreError(f"{source} has no column {missing[0]!r}", why=f"its columns are {known}")
    features = [name for name in found.columns if name not in aside] if found.X is None else []
    X, y, encoding = _encode(found.columns, features, labels, given)
    told = {name: [str(v) for v in found.columns[name]] for name in (id, subject, group) if name}
    X = X if found.X is None else found.X
    ids = told[id] if id else [named_after(found.stem, at) for at in range(len(X))]
    return Table(ids, X, y, told.get(subject), told.get(group), encoding)
