"""Hugging Face datasets: a folder of ``save_to_disk``, a loaded ``Dataset``, or a name on a hub."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.files import replace_folder
from expunge.data.extra import need
from expunge.data.id_index import IdIndex
from expunge.data.row_store import SHARD, RowStore
from expunge.data.rows import check_columns, named_after

SAVED, SAVED_DICT = "state.json", "dataset_dict.json"


@contextmanager
def quiet() -> Generator[Any]:
    """The package ``datasets``, without its progress bars."""
    datasets = need("datasets", to="a Hugging Face dataset")
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        if shown:
            datasets.enable_progress_bars()


def one_split(found: Any, name: str, split: str | None) -> Any:
    """The dataset itself, or the split that is asked for or the only one.

    Raises:
        StoreError: there are several, or none of that name.
    """
    if not isinstance(found, dict):
        return found
    chosen = [split] if split in found else [] if split else list(found)
    if len(chosen) != 1:
        what = f"{name} has no split {split!r}" if split else f"{name} has {len(found)} splits"
        raise StoreError(what, why=f"its splits are {', '.join(found)}", next="Name one with split=")
    return found[chosen[0]]


def load_hub(name: str, *, split: str | None = None) -> Any:
    """A dataset by its name on a hub. Code that it brings along is never run.

    Raises:
        StoreError: no such dataset or split, or the hub cannot be reached.
    """
    with quiet() as datasets:
        try:
            found = datasets.load_dataset(name, split=split)
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"cannot load the dataset {name!r} from a hub",
                why=(str(error).splitlines() or [type(error).__name__])[0],
                next="Check the name and the connection, or give a file or folder that exists",
            ) from error
    return one_split(found, name, split)


class HfDatasetStore(RowStore):
    """A Hugging Face dataset, read in batches from its Arrow files.

    A row without an id is named after the folder and its place (``row-00007`` where there is no folder); when a row is
    erased the others take their names along in an id column. All other columns and their features stay.

    Args:
        source: a folder that ``save_to_disk`` wrote, or a ``datasets.Dataset`` or ``DatasetDict``.
        columns: field of ``Example`` -> column of the dataset, where they differ.
        split: where there are several.

    Raises:
        StoreError: unreadable, a column missing, or an id used twice.
    """

    def __init__(self, source: Any, *, columns: Mapping[str, str] | None = None, split: str | None = None) -> None:
        if not isinstance(source, (str, Path)):
            self.dataset = one_split(source, "the dataset", split)
            self.path, self.stem, self.columns = Path("dataset"), "row", dict(columns or {})
            self.key, self._stamp, self._digest = self.columns.get("record_id", "record_id"), (), ""
            self._ids = self._index()
            return
        folder = Path(source)
        if (folder / SAVED_DICT).is_file():
            saved = {p.parent.name: p.parent for p in sorted(folder.glob(f"*/{SAVED}"))}
            folder = one_split(saved, str(source), split)
        super().__init__(folder, columns)

    @property
    def _on_disk(self) -> bool:
        return bool(self._stamp)

    def check_unchanged(self) -> None:
        """Raise if another process wrote to the folder since it was opened; a loaded dataset does not change."""
        if self._on_disk:
            super().check_unchanged()

    def _index(self) -> IdIndex:
        if self._on_disk:
            with quiet() as datasets:
                try:
                    self.dataset = datasets.load_from_disk(str(self.path))
                except (OSError, ValueError, KeyError) as error:
                    raise StoreError(f"cannot read {self.path} as a saved dataset", why=str(error)) from error
        present = list(self.dataset.column_names)
        self._read = list(check_columns(self._place, present, self.columns).values())
        self._unnamed = self.key not in present
        return IdIndex(self._names(), where=lambda position: f"{self._place}, row {position + 1}")

    @property
    def _place(self) -> str:
        return str(self.path) if self._on_disk else "the dataset"

    def _names(self) -> Iterator[str]:
        if self._unnamed:
            yield from (named_after(self.stem, position) for position in range(len(self.dataset)))
            return
        position = 0
        for table in self.dataset.select_columns([self.key]).with_format("arrow").iter(SHARD):
            for value in table.column(0).to_pylist():
                if value is None:
                    self._unnamed = True
                    if self.key != "record_id":
                        raise StoreError(f"{self._place} has a row without {self.key!r}, the column of record ids")
                yield named_after(self.stem, position) if value is None else str(value)
                position += 1

    def _rows(self, start: int) -> Iterator[tuple[str, Any]]:
        view = self.dataset.select_columns(self._read).with_format("arrow")
        position = start
        while position < len(self.dataset):
            for row in view[position : position + SHARD].to_pylist():
                position += 1
                yield f"{self._place}, row {position}", row

    def _picked(self, positions: Sequence[int]) -> Iterator[tuple[str, Any]]:
        view = self.dataset.select_columns(self._read).with_format("arrow")
        for at in range(0, len(positions), SHARD):
            some = positions[at : at + SHARD]
            for position, row in zip(some, view[list(some)].to_pylist(), strict=True):
                yield f"{self._place}, row {position + 1}", row

    def _without(self, gone: Sequence[int]) -> Any:
        kept = np.delete(np.arange(len(self.dataset)), gone)
        left = self.dataset
        if self._unnamed:
            # Names are as good as any other column, but cannot be added where a column of nulls or numbers stands.
            left = left.remove_columns([self.key]) if self.key in left.column_names else left
            left = left.add_column(self.key, list(self._ids))
        return left.select(kept)

    def _rewrite(self, gone: Sequence[int]) -> None:
        with quiet(), replace_folder(self.path) as fresh:
            left = self._without(gone)
            # At least one, since a dataset saved in no file cannot be loaded again.
            left.save_to_disk(str(fresh), num_shards=max(1, min(len(self.dataset.cache_files), len(left))))

    def erase(self, ids: Any) -> Receipt:
        """Rewrite the folder without the records, in one step; or let go of them in a loaded dataset.

        Returns:
            BLIND for a folder, as for every file; of a loaded dataset RESIDUE with the cache files that still hold
            them, since those belong to the program that made them.

        Raises:
            StoreError: an id is not in the store; nothing is changed.
        """
        if self._on_disk:
            return super().erase(ids)
        found = (self._ids.find(example.record_id) for example in self.get(ids))
        gone = sorted({position for position in found if position is not None})
        files = tuple(sorted({file["filename"] for file in self.dataset.cache_files}))
        with quiet():
            self.dataset = self._without(gone)
        self._digest, self._ids = "", self._index()
        return Receipt("dataset", "RESIDUE" if gone and files else "BLIND", len(gone) if files else 0, files)
