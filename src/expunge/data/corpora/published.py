"""Published data sets as they are downloaded: a folder with their files, or their name on a hub."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import MissingExtra, StoreError
from expunge.data.jsonl import lines_of, parse, read_array
from expunge.data.parquet import opened

HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")
ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".csv", ".parquet")
ABSENT = re.compile(r"BuilderConfig .* not found|Unknown split|Bad split")
"""What the reader of a hub says where a data set is there and has no such configuration or split."""


def rows_in(file: Path) -> list[Any]:
    """Rows of a JSON array, of JSON Lines, plain or gzipped, of CSV with a head, or of parquet.

    Raises:
        StoreError: unreadable, not what its ending says, or without rows.
        MissingExtra: it is parquet, and the package that reads it is not installed.
    """
    rows: Any = _typed(file) if file.suffix in (".csv", ".parquet") else read_array(file)
    if rows is None:
        rows = [parse(text, f"{file}:{number}") for number, _, text in lines_of(file)]
    if not isinstance(rows, list) or not rows:
        raise StoreError(f"{file} holds no records", why="it has no rows that can be read")
    return rows


def _typed(file: Path) -> list[Any]:
    if file.suffix == ".csv":
        try:
            with file.open(newline="", encoding="utf-8-sig") as stream:
                return list(csv.DictReader(stream, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise StoreError(f"{file} cannot be read as CSV", why=str(error)) from error
    with opened(file) as parquet:
        return parquet.read().to_pylist()


@dataclass(frozen=True)
class Published:
    """Where the files of a data set are.

    Args:
        data: a folder, or a name on a hub.
        get: how to get the data, for messages.
        split: of a hub's configuration that has no splits of its own.
    """

    data: str
    get: str
    split: str = "test"

    def __post_init__(self) -> None:
        if not Path(self.data).is_dir() and not (HUB.fullmatch(self.data) and not Path(self.data).exists()):
            raise StoreError(f"no folder {self.data}", next=self.get)

    def rows(self, name: str, *, needed: bool = True) -> list[Any]:
        """Rows of one file.

        Args:
            name: ``config`` or ``config/split``. In a folder that is ``config/split`` or ``config_split`` with an
                ending of ``ENDINGS``, or a hub's own files, ``config/split-00000-of-00002.parquet`` and so on; on a
                hub the configuration and its split.
            needed: whether it must be there; where not, its absence gives no rows.

        Raises:
            StoreError: it is missing, and needed; it says how to get it.
            MissingExtra: it is on a hub, and the package that reads it is not installed.
        """
        if not Path(self.data).is_dir():
            return self._from_hub(name, needed)
        places = [Path(self.data) / f"{stem}{end}" for stem in (name, name.replace("/", "_")) for end in ENDINGS]
        found = [place for place in places if place.is_file()][:1] or self._shards(name)
        if not found and needed:
            raise StoreError(f"{self.data} lacks {name}.jsonl", why="no file of that name is there", next=self.get)
        return [row for file in found for row in rows_in(file)]

    def _shards(self, name: str) -> list[Path]:
        """A hub's own parquet files of a configuration and split, in order.

        Raises:
            StoreError: some of them are missing.
        """
        config, _, split = name.partition("/")
        found = sorted((Path(self.data) / config).glob(f"{split or self.split}-*-of-*.parquet"))
        if found and len(found) != int(found[0].stem.rpartition("-")[2]):
            raise StoreError(f"{found[0].parent} lacks files of {name}", why=f"{len(found)} are there", next=self.get)
        return found

    def _from_hub(self, name: str, needed: bool) -> list[Any]:
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise MissingExtra(f"reading {self.data} from a hub", "stores", "datasets") from error
        config, _, split = name.partition("/")
        try:
            return [dict(row) for row in load_dataset(self.data, config, split=split or self.split)]
        except Exception as error:
            # What could not be reached is not absent: the numbers of a suite would silently be about less.
            if not needed and isinstance(error, ValueError) and ABSENT.search(str(error)):
                return []
            first = str(error).strip().partition("\n")[0]
            raise StoreError(
                f"cannot load {name} of {self.data}: there is no such folder, and no hub gives it",
                why=first or type(error).__name__,
                next=self.get,
            ) from error


def text_of(row: Any, *names: str, where: str) -> str:
    """The text of the first of the fields that a row has.

    Raises:
        StoreError: it has none of them, or it is not text.
    """
    if not isinstance(row, Mapping):
        raise StoreError(f"{where} is not an object", why=f"it is a {type(row).__name__}")
    for name in names:
        if row.get(name) is not None:
            if isinstance(row[name], str) and row[name].strip():
                return row[name]
            raise StoreError(f"{where} has a {name!r} that is not text")
    raise StoreError(f"{where} has no {names[0]!r}", why=f"its fields are {', '.join(map(str, row)) or 'none'}")


def value_of(row: Any, name: str, kind: type | tuple[type, ...], *, where: str) -> Any:
    """A field of a given type.

    Raises:
        StoreError: it is not there, or of another type.
    """
    if not isinstance(row, Mapping) or not isinstance(row.get(name), kind):
        what = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        raise StoreError(f"{where} has no {name!r} that is a {what}")
    return row[name]


def texts_of(row: Any, name: str, *, where: str) -> Sequence[str]:
    """A field that is a list of texts; empty if it is not there.

    Raises:
        StoreError: it is something else.
    """
    found = row.get(name) if isinstance(row, Mapping) else None
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise StoreError(f"{where} has a {name!r} that is not a list of texts")
    return found
