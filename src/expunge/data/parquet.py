"""Parquet: one file, or a folder of them."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.errors import StoreError
from expunge.core.files import replace_file, replace_folder
from expunge.data.extra import need
from expunge.data.id_index import IdIndex
from expunge.data.row_store import SHARD, RowStore
from expunge.data.rows import check_columns, named_after

SUMMARIES = ("_metadata", "_common_metadata")
"""Files that some writers put beside the data; they repeat the lowest and highest value of each column."""


BATCH_BYTES, GROUP_BYTES = 1 << 20, 4 << 20
"""Unpacked bytes that are read at a time, and that are written as one row group."""


def rows_within(limit: int, metadata: Any) -> int:
    """How many rows of a file, on average, take no more bytes than the limit; at least 1."""
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, limit * metadata.num_rows // max(size, 1))


@contextmanager
def opened(path: Path) -> Generator[Any]:
    """A ``pyarrow.parquet.ParquetFile`` that reads pages as they are needed, not whole row groups.

    Raises:
        StoreError: unreadable, or no Parquet.
    """
    arrow, parquet = need("pyarrow", to="reading Parquet"), need("pyarrow.parquet", to="reading Parquet")
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read as Parquet", why=str(error)) from error


class ParquetStore(RowStore):
    """A Parquet file, or a folder of Parquet files in the order of their names, read in batches.

    A row without an id is named after the file or folder and its place; when a row is erased the others take their
    names along in an id column. All other columns, their types and the schema's metadata stay.

    Args:
        path: file or folder.
        columns: field of ``Example`` -> column of the file, where they differ.

    Raises:
        StoreError: unreadable, a column missing, or an id used twice.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(path, columns)

    def _index(self) -> IdIndex:
        self._files = data_files(self.path) if self.path.is_dir() else [self.path]
        if not self._files:
            raise StoreError(f"{self.path} holds no Parquet file")
        self._read: list[list[str]] = []
        self._ends: list[int] = []
        self._unnamed: set[int] = set()
        return IdIndex(self._names(), where=lambda position: f"{self.path}, row {position + 1}")

    def _names(self) -> Iterator[str]:
        """Ids of all rows; notes on the way what the files hold."""
        position = 0
        for number, path in enumerate(self._files):
            with opened(path) as file:
                present = file.schema_arrow.names
                self._read.append(list(check_columns(str(path), present, self.columns).values()))
                values = self._values(file) if self.key in present else [None] * file.metadata.num_rows
                for value in values:
                    if value is None:
                        self._unnamed.add(number)
                        if self.key != "record_id":
                            raise StoreError(f"{path} has a row without {self.key!r}, the column of record ids")
                    yield named_after(self.stem, position) if value is None else str(value)
                    position += 1
            self._ends.append(position)

    def _values(self, file: Any) -> Iterator[Any]:
        for batch in batches(file, SHARD, columns=[self.key]):
            yield from batch.column(0).to_pylist()

    def _batches(self, touched: Callable[[int, int], bool]) -> Iterator[tuple[int, Any]]:
        """(position, batch) of the row groups for which ``touched(first, end)``, with the columns of an example."""
        for number, path in enumerate(self._files):
            position = self._ends[number - 1] if number else 0
            if not touched(position, self._ends[number]):
                continue
            with opened(path) as file:
                rows = min(SHARD, rows_within(BATCH_BYTES, file.metadata))
                for first, run in _runs(file.metadata, position, touched):
                    for batch in batches(file, rows, row_groups=run, columns=self._read[number]):
                        yield first, batch
                        first += len(batch)

    def _rows(self, start: int) -> Iterator[tuple[str, Any]]:
        for first, batch in self._batches(lambda _, end: end > start):
            kept = batch.slice(max(0, start - first))
            for position, row in enumerate(kept.to_pylist(), first + len(batch) - len(kept)):
                yield f"{self.path}, row {position + 1}", row

    def _picked(self, positions: Sequence[int]) -> Iterator[tuple[str, Any]]:
        places = np.asarray(positions)

        def between(first: int, end: int) -> Any:
            return places[np.searchsorted(places, first) : np.searchsorted(places, end)]

        for first, batch in self._batches(lambda first, end: len(between(first, end)) > 0):
            here = between(first, first + len(batch))
            if not len(here):
                continue
            for position, row in zip(here, batch.take(here - first).to_pylist(), strict=True):
                yield f"{self.path}, row {position + 1}", row
            if first + len(batch) > positions[-1]:
                return

    def _rewrite(self, gone: Sequence[int]) -> None:
        starts = [0, *self._ends]
        touched = {bisect_right(self._ends, position) for position in gone} | self._unnamed
        out = np.asarray(gone)
        if not self.path.is_dir():
            with replace_file(self.path, mode=self.path.stat().st_mode & 0o7777) as fresh:
                self._write(0, fresh, 0, out)
            return
        mine = {path: number for number, path in enumerate(self._files)}
        with replace_folder(self.path) as folder:
            for path in sorted(self.path.rglob("*")):
                place = folder / path.relative_to(self.path)
                if path.is_dir() and not path.is_symlink():
                    place.mkdir()
                elif mine.get(path) in touched:
                    self._write(mine[path], place, starts[mine[path]], out)
                elif path.name not in SUMMARIES:
                    link(path, place)

    def _write(self, number: int, fresh: Path, position: int, gone: Any) -> None:
        """Copy one file without some positions, a batch at a time."""
        arrow, parquet = need("pyarrow", to="writing Parquet"), need("pyarrow.parquet", to="writing Parquet")
        with opened(self._files[number]) as file:
            schema, groups = file.schema_arrow, file.num_row_groups
            codec = file.metadata.row_group(0).column(0).compression.lower() if groups else "snappy"
            unnamed, rows = number in self._unnamed, rows_within(GROUP_BYTES, file.metadata)
            if unnamed:
                schema = with_text_column(arrow, schema, self.key)
            with parquet.ParquetWriter(fresh, schema, compression=codec.replace("uncompressed", "none")) as writer:
                for batch in (b for g in range(groups) for b in batches(file, rows, row_groups=[g])):
                    table = arrow.Table.from_batches([batch])
                    if unnamed:
                        names = self._ids[position : position + len(batch)]
                        table = with_names(arrow, table, self.key, names).cast(schema)
                    kept = ~np.isin(np.arange(position, position + len(batch)), gone)
                    position += len(batch)
                    if kept.any():
                        writer.write_table(table.filter(arrow.array(kept)))


def batches(file: Any, rows: int, **asked: Any) -> Iterator[Any]:
    """``file.iter_batches`` on one thread, giving back between batches what Arrow's allocator would keep."""
    pool = need("pyarrow", to="reading Parquet").default_memory_pool()
    for batch in file.iter_batches(rows, use_threads=False, **asked):
        yield batch
        pool.release_unused()


def _runs(metadata: Any, position: int, touched: Callable[[int, int], bool]) -> list[tuple[int, list[int]]]:
    """(position, neighbouring row groups) of the groups for which ``touched(first, end)``; they are read in one go."""
    found: list[tuple[int, list[int]]] = []
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if touched(position, position + size):
            if found and found[-1][1][-1] == group - 1:
                found[-1][1].append(group)
            else:
                found.append((position, [group]))
        position += size
    return found


def data_files(folder: Path) -> list[Path]:
    """The Parquet files directly in a folder, in the order of their names."""
    return [p for p in sorted(folder.glob("*.parquet")) if not p.name.startswith(("_", "."))]


def link(path: Path, place: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(path, place, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, place, follow_symlinks=False)


def with_text_column(arrow: Any, schema: Any, name: str) -> Any:
    """The schema with a column of texts of that name, in its place or at the end."""
    at = schema.get_field_index(name)
    field = arrow.field(name, arrow.string())
    return schema.append(field) if at < 0 else schema.set(at, field)


def with_names(arrow: Any, table: Any, key: str, names: Sequence[str]) -> Any:
    """The table with its id column written out as texts."""
    column = arrow.array(names, arrow.string())
    at = table.schema.get_field_index(key)
    return table.append_column(key, column) if at < 0 else table.set_column(at, key, column)
