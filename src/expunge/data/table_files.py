"""Files of columns: CSV, Parquet, and numpy's npz."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import StoreError
from expunge.data.extra import need
from expunge.data.rows import stem_of

Columns = Mapping[str, Sequence[Any]]
ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq", ".npz")


@dataclass(frozen=True)
class Read:
    """What a file holds.

    Args:
        stem: what rows without an id are named after.
        columns: by name, all of one length.
        X: (n, d) of an npz file, whose other arrays are the columns.
    """

    stem: str
    columns: Columns
    X: NDArray[Any] | None = None


def read_columns(path: Path, *, part: str = "") -> Read:
    """Read a file by its ending.

    Args:
        path: of the file.
        part: of an npz file: ``train`` takes the arrays whose names end in ``_train``, and that ending off them.

    Raises:
        StoreError: unreadable, malformed or of no known ending.
        MissingExtra: Parquet without pyarrow.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise StoreError(f"{path} is no table that can be read", next=f"Its name should end in {', '.join(ENDINGS)}")
    if part and not name.endswith(".npz"):
        raise StoreError(f"{path} has no part {part!r}", why="only npz files have parts", next="Leave it out")
    try:
        if name.endswith(".npz"):
            return _npz(path, part)
        if name.endswith((".parquet", ".pq")):
            return Read(stem_of(path), _parquet(path))
        return Read(stem_of(path), _csv(path, "\t" if ".tsv" in name else ","))
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error), next="Check the path") from error
    except (UnicodeDecodeError, csv.Error, EOFError, BadZipFile, zlib.error, ValueError) as error:
        raise StoreError(f"{path} is damaged, or not what its name says", why=str(error)) from error


def _csv(path: Path, delimiter: str) -> Columns:
    read: Any = gzip.open if path.suffix == ".gz" else open
    with read(path, "rt", encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
        head = next(lines, [])
        if not head or len(set(head)) != len(head):
            raise StoreError(f"{path} has no header of distinct names", next="Name every column in the first line")
        rows = [row for row in lines if row]
    wrong = next((at for at, row in enumerate(rows) if len(row) != len(head)), None)
    if wrong is not None:
        why = f"it has {len(rows[wrong])} values for {len(head)} columns"
        raise StoreError(f"row {wrong + 1} of {path} does not fit its header", why=why)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(head)
    return dict(zip(head, values, strict=True))


def _parquet(path: Path) -> Columns:
    parquet = need("pyarrow.parquet", to=f"reading {path.name}")
    columns: dict[str, Sequence[Any]] = {}
    for name, column in zip((table := parquet.read_table(path)).column_names, table.columns, strict=True):
        if column.null_count:
            raise StoreError(f"column {name!r} of {path} has missing values", next="Fill them in or drop the rows")
        columns[name] = column.to_pylist()
    return columns


def _opened(stream: IO[bytes]) -> Any:
    arrays = np.load(stream, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise ValueError("it holds one array without a name")
    return arrays


def _npz(path: Path, part: str) -> Read:
    tail = f"_{part}" if part else ""
    with path.open("rb") as stream, _opened(stream) as arrays:
        names = [name for name in arrays.files if name.endswith(tail)]
        found = {name.removesuffix(tail).lower(): arrays[name] for name in names}
        held = ", ".join(arrays.files)
    if "x" not in found:
        raise StoreError(f"{path} holds no array x{tail}", why=f"it holds {held}", next="Name its part, such as train")
    X = found.pop("x")
    wrong = next((name for name, column in found.items() if column.shape[:1] != X.shape[:1]), None)
    if wrong is not None or not X.ndim:
        raise StoreError(f"the arrays x and {wrong} of {path} differ in length")
    return Read("-".join(filter(None, (stem_of(path), part))), found, X.reshape(len(X), math.prod(X.shape[1:])))
