"""Published data sets as they are downloaded: a folder with their files, or their name on a hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import MissingExtra, StoreError
from expunge.data.jsonl import lines_of, parse, read_array

HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")
ENDINGS = (".jsonl", ".json", ".jsonl.gz")


def rows_in(file: Path) -> list[Any]:
    """Rows of a JSON array or of JSON Lines, plain or gzipped.

    Raises:
        StoreError: unreadable, not JSON, or without rows.
    """
    rows = read_array(file)
    if rows is None:
        rows = [parse(text, f"{file}:{number}") for number, _, text in lines_of(file)]
    if not isinstance(rows, list) or not rows:
        raise StoreError(f"{file} holds no records", why="it is no JSON array or JSON Lines with any")
    return rows


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
            name: ``config`` or ``config/split``. In a folder that is ``config/split`` or ``config_split`` with the
                ending .jsonl, .json or .jsonl.gz; on a hub the configuration and its split.
            needed: whether it must be there; where not, its absence gives no rows.

        Raises:
            StoreError: it is missing, and needed; it says how to get it.
            MissingExtra: it is on a hub, and the package that reads it is not installed.
        """
        if not Path(self.data).is_dir():
            return self._from_hub(name, needed)
        places = [Path(self.data) / f"{stem}{end}" for stem in (name, name.replace("/", "_")) for end in ENDINGS]
        found = next((place for place in places if place.is_file()), None)
        if found is None and needed:
            raise StoreError(f"{self.data} lacks {name}.jsonl", why="no file of that name is there", next=self.get)
        return rows_in(found) if found else []

    def _from_hub(self, name: str, needed: bool) -> list[Any]:
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise MissingExtra(f"reading {self.data} from a hub", "stores", "datasets") from error
        config, _, split = name.partition("/")
        try:
            return [dict(row) for row in load_dataset(self.data, config, split=split or self.split)]
        except Exception as error:
            if not needed:
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
