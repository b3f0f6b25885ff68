"""K-means on a grid, all of whose randomness is keyed by record. Source: Ginart et al. 2019 (1907.05012), algorithm 1.

Rows and centres are integers of a grid, squared distances integers below 2^53, which float64 holds whatever order it
adds in; means are exact fractions. So what is computed of a set of rows depends on the set alone, to the last bit.

The first centres are drawn by k-means++ as a race: row i gets an exponential time keyed by its id, divided by its
squared distance to the centres so far, and the earliest is chosen, which is row i with probability proportional to that
distance. Taking out a row that was not chosen leaves every other row's time, hence the choice, as it was: it is the
draw of a run that never had that row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import TargetError
from expunge.core.seeds import derive
from expunge.targets.learners._sums import on_grid

F = NDArray[np.float64]
ROWS_AT_ONCE = 1 << 12
HALF = 2.0**26
EXACT = 2**53


@dataclass(frozen=True)
class Settings:
    """What decides a run beside its rows.

    Args:
        clusters: most centres; as many as rows where those are fewer.
        lattice: steps between the points that a centre may stand on.
        gamma: a cluster with less than this share of the mean size is held back by its last centre.
        rounds: at most.
        seed: of the first centres and of each round's lattice.
        names: what the run is for.
    """

    clusters: int
    lattice: int = 1
    gamma: Fraction = Fraction(0)
    rounds: int = 10
    seed: int = 0
    names: tuple[str | int, ...] = ()

    def phase(self, number: int, d: int) -> NDArray[np.int64]:
        """(d,) steps by which a round's lattice is shifted, uniform below ``lattice``."""
        key = derive(self.seed, *self.names, "phase", number)
        drawn = np.frombuffer(hashlib.shake_256(str(key).encode()).digest(8 * d), "<u8")
        return (drawn % np.uint64(self.lattice)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Round:
    """One round: sums (k, d) and counts (k,) of the clusters, the centres (k, d) they gave, the rows' loss to those."""

    sums: F
    counts: NDArray[np.int64]
    centres: F
    loss: int


@dataclass(frozen=True, eq=False)
class Trace:
    """A run: ids of the first centres, where they stand (k, d), the loss to them, and the rounds.

    The last round is dropped where it did not lower the loss.
    """

    first: tuple[str, ...]
    start: F
    loss: int
    rounds: tuple[Round, ...]

    @property
    def final(self) -> tuple[F, int]:
        """(k, d) the centres that stand at the end, and the loss to them."""
        centres, loss = self.start, self.loss
        for one in self.rounds:
            if one.loss < loss:
                centres, loss = one.centres, one.loss
        return centres, loss


def gridded(X: F, step: float, lattice: int) -> F:
    """Rows in steps of the grid, as whole float64 numbers.

    Raises:
        TargetError: a number is so large that squared distances would be rounded.
    """
    Q = on_grid(X, step).astype(np.float64)
    largest = int(np.abs(Q).max()) + lattice if Q.size else 0
    if 4 * X.shape[1] * largest**2 > EXACT:
        bound = ((EXACT / (4 * X.shape[1])) ** 0.5 - lattice) * step
        why = f"with {X.shape[1]} features and a step of {step:g}, numbers may go up to {bound:.4g}"
        raise TargetError("a number is too large for exact distances", why=why, next="Scale the rows, or double step")
    return Q


def squared(X: F, centres: F, lengths: F | None = None) -> F:
    """(n, k) squared distances, in squared steps.

    Args:
        X: (n, d) steps.
        centres: (k, d) steps.
        lengths: (n,) squared steps. Of X, where they are known: X X summed over features.

    >>> squared(np.array([[1.0, 5.0]]), np.array([[4.0, 1.0], [1.0, 3.0]])).tolist()
    [[25.0, 4.0]]
    """
    own = (X * X).sum(1) if lengths is None else lengths
    return own[:, None] - 2 * (X @ centres.T) + (centres * centres).sum(1)


def nearest(X: F, centres: F) -> tuple[NDArray[np.intp], F]:
    """(n,) number of the nearest centre, of equal ones the first, and the squared distance to it."""
    parts = [squared(X[at : at + ROWS_AT_ONCE], centres) for at in range(0, len(X), ROWS_AT_ONCE)]
    which = [part.argmin(1) for part in parts]
    if not parts:
        return np.zeros(0, np.intp), np.zeros(0)
    return np.concatenate(which), np.concatenate([part.min(1) for part in parts])


def total(distances: F) -> int:
    """The exact sum of whole numbers below 2^53."""
    high = np.floor(distances / HALF)
    return int(high.sum()) * int(HALF) + int((distances - high * HALF).sum())


def grouped(X: F, which: NDArray[np.intp], k: int) -> tuple[F, NDArray[np.int64]]:
    """(k, d) sums and (k,) counts of the rows of each cluster."""
    return np.eye(k)[which].T @ X, np.bincount(which, minlength=k).astype(np.int64)


def races(ids: Sequence[str], settings: Settings, k: int) -> F:
    """(n, k) exponential times, each row's from its id alone."""
    key = derive(settings.seed, *settings.names, "first")
    drawn = b"".join(hashlib.shake_256(f"{key}\x1f{name}".encode()).digest(8 * k) for name in ids)
    whole = np.frombuffer(drawn, "<u8").reshape(len(ids), k) >> np.uint64(11)
    return -np.log((whole + 0.5) * 2.0**-53)


def first_rows(X: F, ids: Sequence[str], settings: Settings) -> list[int]:
    """Places of the first centres: k-means++ by a race."""
    k = min(settings.clusters, len(X))
    times = races(ids, settings, k)
    chosen = [int(times[:, 0].argmin())] if k else []
    distances = np.full(len(X), np.inf)
    for turn in range(1, k):
        distances = np.minimum(distances, squared(X, X[chosen[-1:]])[:, 0])
        apart = distances > 0
        late = np.where(apart, times[:, turn] / np.where(apart, distances, 1.0), np.inf)
        if not apart.any():
            # Every row equals a centre: any other row will do.
            late = times[:, turn].copy()
            late[chosen] = np.inf
        chosen.append(int(late.argmin()))
    return chosen


def quantised(sums: F, counts: NDArray[np.int64], n: int, before: F, settings: Settings, number: int) -> F:
    """(k, d) each mean, corrected if its cluster is small, on the nearest point of the round's lattice.

    With g = gamma n / k, a cluster of n_c < g rows stands at (n_c / g) mean + (1 - n_c / g) before. An empty one stays.

    Args:
        sums: (k, d) steps.
        counts: (k,) rows.
        n: rows in all.
        before: (k, d) the centres of the round before.
        settings: lattice and gamma.
        number: of the round, which shifts the lattice.
    """
    k, d = sums.shape
    a, b = settings.gamma.numerator, settings.gamma.denominator
    phase, lattice = settings.phase(number, d), settings.lattice
    found = np.empty((k, d))
    # Whole numbers of any size: a gamma of many digits makes fractions beyond 64 bits.
    large = phase.astype(object)
    for at in range(k):
        size = int(counts[at])
        if size and size * k * b >= a * n:
            top, below, shift = sums[at].astype(np.int64), size, phase
        elif size:
            old, own = before[at].astype(np.int64).astype(object), sums[at].astype(np.int64).astype(object)
            top, below, shift = old * (a * n) + (own - old * size) * (k * b), a * n, large
        else:
            top, below, shift = before[at].astype(np.int64), 1, phase
        jumps = (2 * (top - shift * below) + lattice * below) // (2 * lattice * below)
        found[at] = (shift + jumps * lattice).astype(np.float64)
    return found


def run(X: F, ids: Sequence[str], settings: Settings) -> Trace:
    """All rounds, and what each leaves to be deleted from.

    Args:
        X: (n, d) steps, sorted by id.
        ids: (n) distinct.
        settings: of the run.
    """
    chosen = first_rows(X, ids, settings)
    start = X[chosen]
    which, distances = nearest(X, start)
    loss = start_loss = total(distances)
    centres, rounds = start, []
    for number in range(1, settings.rounds + 1):
        sums, counts = grouped(X, which, len(start))
        fresh = quantised(sums, counts, len(X), centres, settings, number)
        which, distances = nearest(X, fresh)
        rounds.append(Round(sums, counts, fresh, total(distances)))
        if rounds[-1].loss >= loss:
            break
        loss, centres = rounds[-1].loss, fresh
    return Trace(tuple(ids[at] for at in chosen), start, start_loss, tuple(rounds))


def without(trace: Trace, X: F, n: int, settings: Settings) -> Trace | str:
    """The run without some rows, none of which is a first centre; or why it is another one. Algorithm 2.

    Args:
        trace: of the run with them.
        X: (m, d) steps. The rows that go.
        n: rows that stay.
        settings: of the run.

    Returns:
        What ``run`` on the rows that stay returns; or the reason why only that can tell.
    """
    old_loss = trace.loss
    loss = start_loss = old_loss - total(nearest(X, trace.start)[1])
    centres, rounds = trace.start, []
    for number, one in enumerate(trace.rounds, 1):
        sums, counts = grouped(X, nearest(X, centres)[0], len(centres))
        sums, counts = one.sums - sums, one.counts - counts
        if not np.array_equal(quantised(sums, counts, n, centres, settings, number), one.centres):
            return f"a quantised centre of round {number} moved"
        rounds.append(Round(sums, counts, one.centres, one.loss - total(nearest(X, one.centres)[1])))
        if (one.loss < old_loss) != (rounds[-1].loss < loss):
            return f"round {number} lowers the loss with the deleted rows or without them, not both"
        old_loss, loss, centres = one.loss, rounds[-1].loss, one.centres
    return Trace(trace.first, trace.start, start_loss, tuple(rounds))
