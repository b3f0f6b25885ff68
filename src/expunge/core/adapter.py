"""Which adapter is trained instead of the weights: a description of a peft configuration, hashed with the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator

from expunge.core.record import record

Setting = str | bool | int | float | tuple[str | int | float, ...]


def _pairs(value: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """A mapping as sorted pairs, lists in it as tuples."""
    pairs = cast("Iterable[tuple[str, Any]]", value.items() if isinstance(value, Mapping) else value)
    return tuple(sorted((name, tuple(cast("list[Any]", v)) if isinstance(v, list) else v) for name, v in pairs))


@record
class Adapter:
    """A peft adapter that is set into the layers of a model.

    Args:
        kind: peft's name of it, in any case: lora, ia3, loha, lokr, oft, boft, vera, and so on. Not those that work
            through virtual tokens, nor those that need calls of their own between steps.
        r: rank; 0 for peft's default, and for kinds that have none.
        alpha: scale; 0 for peft's default, and for kinds that have none.
        targets: names of the modules that get one, by their ends; empty for peft's choice for the architecture.
        settings: further fields of the peft configuration, a mapping or pairs.

    >>> Adapter(r=4, alpha=8, targets=("q_proj",), settings={"lora_dropout": 0.1}).settings
    (('lora_dropout', 0.1),)
    """

    kind: str = "lora"
    r: int = 0
    alpha: float = 0.0
    targets: tuple[str, ...] = ()
    settings: Annotated[tuple[tuple[str, Setting], ...], BeforeValidator(_pairs)] = ()
