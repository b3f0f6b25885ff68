"""How a target was made: what decides which guarantees are reachable."""

from __future__ import annotations

from expunge.core.record import record


@record
class Plain:
    """Nothing was recorded beyond the weights."""


@record
class Replayable:
    """The order of the data and checkpoints along the way are on file."""

    order_log: str
    checkpoints: tuple[str, ...] = ()


@record
class Sharded:
    """Trained in parts, each on records listed in a manifest."""

    manifests: tuple[str, ...]
    slices: int = 1


@record
class Private:
    """Trained with differential privacy under an accountant."""

    accountant: str


@record
class Convex:
    """A convex objective whose curvature and noise are on file."""

    hessian: str
    noise: float
    budget: float


@record
class Statistics:
    """Kept as sums over records, from which the parameters follow."""

    sums: tuple[str, ...]


@record
class Indexed:
    """Records live in a store and are retrieved, never learned."""

    store: str


@record
class Guarded:
    """Another target behind a policy that filters what it says."""

    inner: str
    policy: str


Provenance = Plain | Replayable | Sharded | Private | Convex | Statistics | Indexed | Guarded
