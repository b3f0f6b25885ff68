"""Open whatever holds records as the store that fits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import ConfigError, StoreError
from expunge.core.example import Examples
from expunge.core.protocols import Store
from expunge.core.registry import stores

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
OTHER_FILES = (".csv", ".tsv", ".txt", ".zip", ".xlsx")
"""Endings of files that are read by nobody here; beside the known ones they tell a mistyped path from a hub name."""
HEAD = 64


@dataclass(frozen=True)
class Opener:
    """How one form of data is told and opened.

    Args:
        open: source, ``columns=`` and the options -> store.
        endings: of file names.
        head: whether the first ``HEAD`` bytes of a file are of this form.
        folder: whether a folder is.
        thing: whether an object that is no path is.
        hub: name and options -> object, where names on a hub can be loaded.
        options: further keywords that ``open`` takes.
    """

    open: Callable[..., Store]
    endings: tuple[str, ...] = ()
    head: Callable[[bytes], bool] = lambda _: False
    folder: Callable[[Path], bool] = lambda _: False
    thing: Callable[[Any], bool] = lambda _: False
    hub: Callable[..., Any] | None = None
    options: tuple[str, ...] = ()

    def named(self, path: Path) -> bool:
        """Whether a file's name ends as this form's do."""
        return path.name.lower().endswith(self.endings)


def _openers() -> list[tuple[str, Opener]]:
    return stores.items()


def _of_path(path: Path) -> tuple[str, Opener] | None:
    """The form of a file or folder: what is in it counts before how it is called."""
    if path.is_dir():
        return next(((name, o) for name, o in _openers() if o.folder(path)), None)
    head = b""
    if path.is_file():
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    told = ((name, o) for name, o in _openers() if head and o.head(head))
    return next(told, None) or next(((name, o) for name, o in _openers() if o.named(path)), None)


def open_store(source: Any, *, columns: Mapping[str, str] | None = None, **options: Any) -> Store:
    """Open a file, a folder, a loaded dataset or, given as text, a name on a hub.

    Args:
        source: a path, a text or an object.
        columns: field of ``Example`` -> column of the data, where they differ.
        options: of the form, such as ``table`` or ``split``; those that are None are left out.

    Raises:
        StoreError: missing, malformed, or of no known form.
        ConfigError: the form has no such option.
        MissingExtra: the form needs a package that is not installed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    name, opener, opened = _found(source, given)
    wrong = sorted(set(given) - set(opener.options))
    if wrong:
        raise ConfigError(f"a store of the form {name} takes no {wrong[0]}", next="Leave it out")
    return opener.open(opened, columns=columns, **given)


def read_records(source: Any, *, columns: Mapping[str, str] | None = None, **options: Any) -> Examples:
    """All records of what ``open_store`` opens, in memory."""
    return Examples(e for shard in open_store(source, columns=columns, **options).shards() for e in shard)


def _found(source: Any, options: Mapping[str, Any]) -> tuple[str, Opener, Any]:
    if not isinstance(source, (str, Path)):
        told = next(((name, o) for name, o in _openers() if o.thing(source)), None)
        if told is None:
            raise StoreError(f"a {type(source).__name__} is no store", next="Give a path, a dataset or a hub name")
        return (*told, source)
    path = Path(source)
    hub = next(((name, o) for name, o in _openers() if o.hub), None)
    by_path = _checked(path)
    if by_path is not None:
        return (*by_path, path)
    a_file = any(opener.named(path) for _, opener in _openers()) or path.suffix.lower() in OTHER_FILES
    if isinstance(source, str) and hub and hub[1].hub and HUB_NAME.fullmatch(source) and not a_file:
        return (*hub, hub[1].hub(source, **options))
    raise StoreError(f"cannot read {path}", why="No such file or directory", next="Check the path")


def _checked(path: Path) -> tuple[str, Opener] | None:
    try:
        found = _of_path(path)
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error), next="Check the path") from error
    if found is None and path.exists():
        known = ", ".join(ending for _, o in _openers() for ending in o.endings)
        raise StoreError(f"{path} holds records in no known form", next=f"Known are {known}, and saved datasets")
    return found
