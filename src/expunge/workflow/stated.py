"""Nouns from JSON that people write by hand or that a command printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from expunge.core.errors import ConfigError

T = TypeVar("T")


def stated_as(kind: type[T], body: Any, what: str, called: str, *, names: Mapping[str, str] | None = None) -> T:
    """A noun from JSON, its numbers as numbers or as decimal strings.

    Args:
        kind: of the noun.
        body: as a command's ``--json`` prints one.
        what: names it in messages.
        called: the noun in a message, such as ``"policy"``.
        names: other names of fields -> ours.

    Raises:
        ConfigError: it is none.
    """
    try:
        return TypeAdapter(kind).validate_python(_untyped(body, names or {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigError(f"{what} is not a {called}", why=f"{where}: {first['msg']}") from error
    except RecursionError as error:
        raise ConfigError(f"{what} is not a {called}", why="nested too deeply") from error


def _untyped(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_untyped(item, names) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {names.get(k, k): _untyped(v, names) for k, v in found.items() if k != "type"}
    return value
