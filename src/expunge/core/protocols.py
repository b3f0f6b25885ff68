"""What a target, a recipe, a method, a store and an attack must offer. Structural: nothing inherits from these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from expunge.core.access import Access, Oracle
from expunge.core.evidence import Receipt
from expunge.core.example import Examples
from expunge.core.guarantee import Guarantee
from expunge.core.outcome import Outcome, Overlay
from expunge.core.provenance import Provenance
from expunge.core.selection import Selection

Kind = Literal["causal_lm", "classifier", "learner", "chat", "datastore", "overlay"]
T = TypeVar("T")
R = TypeVar("R", covariant=True)


@runtime_checkable
class Target(Protocol):
    """What forgets."""

    @property
    def kind(self) -> Kind: ...
    @property
    def provenance(self) -> Provenance: ...
    def digest(self) -> str: ...
    def oracle(self, access: Access) -> Oracle: ...
    def save(self, path: Path) -> Any: ...


@runtime_checkable
class Store(Protocol):
    """Where records live.

    Iterating over ``shards()`` reads every record once and holds one shard at a time. ``digest()`` is the
    ``records_digest`` of all records, so that it does not depend on the kind of store.
    """

    def ids(self) -> Sequence[str]: ...
    def get(self, ids: Iterable[str]) -> Examples: ...
    def shards(self) -> Sequence[Any]: ...
    def erase(self, ids: Iterable[str]) -> Receipt: ...
    def digest(self) -> str: ...


class Recipe(Protocol[R]):
    """How a target is made from a store."""

    def train(self, store: Store, *, seed: int) -> R: ...


class Method(Protocol[T]):
    """How a target forgets. ``needs`` is the provenance without which it cannot.

    One that can tell before it trains that it would fail has ``check(target, selection, *, seed, whole=True)`` too:
    with ``whole`` it may run the target, which it never changes.
    """

    needs: type[Any]

    @property
    def claim(self) -> Guarantee: ...
    def digest(self) -> str: ...
    def unlearn(
        self, target: T, selection: Selection, *, seed: int, workdir: Path | None = None
    ) -> Outcome[T] | Overlay[T]: ...


@runtime_checkable
class Attack(Protocol):
    """What queries or changes a model to see whether it still knows; per-item outcomes, higher where it knows more.

    Further keyword parameters of ``run`` name what it needs beside the model (see ``core.attack``). ``full``, where it
    is there, maps fields to their values at the larger of its two budgets.
    """

    access: Access

    def digest(self) -> str: ...
    def settings(self) -> dict[str, Any]: ...
    def run(self, oracle: Oracle, probes: Any, *, seed: int, **needs: Any) -> Any: ...
