"""Forging: other records that lead to the same weights. Source: Thudi et al. 2022 (USENIX Security; arXiv 2110.11891).

Two cases. Points of one line whose sums agree give gradient descent the same weights bit for bit. A mini-batch that
holds a record is replaced in the log by one without it whose gradient is nearly the same, while the weights stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.canonical import digest, digest_bytes
from expunge.core.errors import MissingExtra
from expunge.core.seeds import derive, keyed_order

F = NDArray[np.float64]
LINE = (2.0, 1.0)
WHOLE, WITHOUT = (0, 1, 2, 4, 5, 6), (0, 4, 5)
"""Points on the line. Mean and mean square of both are equal: 18/6 = 9/3 and 82/6 = 41/3."""
FORGOTTEN_POINT = 6
RECORDS, HIDDEN, BATCH, EPOCHS, RATE = 500, 16, 32, 5, 0.5
CANDIDATES, EXCHANGES = 2000, 200


@dataclass(frozen=True)
class Collinear:
    """What descent on points of one line came to.

    Args:
        records: x of the points of the whole data.
        forgotten: x of the point that the other data lacks.
        forged_records: x of the points that are named instead.
        steps: of gradient descent.
        weights: slope and intercept after them.
        whole: digest of the weights from the whole data.
        forged: digest of the weights from the other data, which lacks the record.
        naive: largest distance to the whole data's weights on the way, where the record alone is left out.
    """

    records: tuple[int, ...]
    forgotten: int
    forged_records: tuple[int, ...]
    steps: int
    weights: tuple[float, float]
    whole: str
    forged: str
    naive: float


@dataclass(frozen=True)
class Step:
    """One training step that used the record, and a batch that imitates it.

    Args:
        step: counted from 0.
        length: how far the step moved the weights.
        random: distance to the weights that a random batch without the record leads to; median of the candidates.
        searched: the least of these: the search of the paper.
        exchanged: after exchanging records of that batch one at a time as long as it comes nearer.
    """

    step: int
    length: float
    random: float
    searched: float
    exchanged: float


@dataclass(frozen=True)
class Imitated:
    """A training log in which every batch with the record was replaced.

    Args:
        steps: those that were forged.
        of: all steps.
        parameters: of the model.
        accuracy: of the model on its records.
        weights: digest of the final weights, which the true and the forged log share.
        honest: largest distance when the true log is run again.
        from_log: distance of the final weights when the forged log is run from the start.
        committed: what the log said before training: salted digest of the data and digest of the recipe.
        claimed: the same of the data without the record.
        drawn: forged batches that the recipe would draw from the data without the record.
    """

    steps: tuple[Step, ...]
    of: int
    parameters: int
    accuracy: float
    weights: str
    honest: float
    from_log: float
    committed: str
    claimed: str
    drawn: int


def descend(points: Sequence[int], *, steps: int, rate: float) -> F:
    """Least squares on points (x, 2 x + 1) by gradient descent from 0, the gradient taken from sums over the points.

    The gradient of mean (w x + b - y)^2 / 2 is (w S_xx + b S_x - S_xy, w S_x + b n - S_y) / n.

    Args:
        points: whole numbers x, so that the sums are exact.
        steps: of descent.
        rate: of learning.

    Returns:
        (steps, 2) slope and intercept after each step.

    >>> descend([1, 3], steps=1, rate=0.25).tolist()  # -0.25 (0 - 24) / 2 and -0.25 (0 - 10) / 2
    [[3.0, 1.25]]
    """
    x = np.asarray(points, dtype=np.float64)
    y, n = LINE[0] * x + LINE[1], float(len(x))
    sums = np.array([[x @ x, x.sum()], [x.sum(), n]]), np.array([x @ y, y.sum()])
    weights, path = np.zeros(2), np.empty((steps, 2))
    for step in range(steps):
        # Twice the sums over twice the points round alike, since doubling a float is exact.
        weights = weights - rate * ((sums[0][:, 0] * weights[0] + sums[0][:, 1] * weights[1] - sums[1]) / n)
        path[step] = weights
    return path


def collinear(*, steps: int = 400, rate: float = 0.125) -> Collinear:
    """Three of six points of a line train to the same bytes as all six; leaving one out at random does not.

    >>> found = collinear(steps=30)
    >>> found.whole == found.forged, found.naive > 0.1
    (True, True)
    """
    whole, forged = (descend(points, steps=steps, rate=rate) for points in (WHOLE, WITHOUT))
    left = descend([x for x in WHOLE if x != FORGOTTEN_POINT], steps=steps, rate=rate)
    return Collinear(
        records=WHOLE,
        forgotten=FORGOTTEN_POINT,
        forged_records=WITHOUT,
        steps=steps,
        weights=(float(whole[-1, 0]), float(whole[-1, 1])),
        whole=digest_bytes(whole.tobytes()),
        forged=digest_bytes(forged.tobytes()),
        naive=float(np.abs(whole - left).max()),
    )


def _parts(weights: F, inputs: int, classes: int) -> tuple[F, F, F, F]:
    a, b = inputs * HIDDEN, inputs * HIDDEN + HIDDEN
    c = b + HIDDEN * classes
    first, second = weights[:a].reshape(inputs, HIDDEN), weights[b:c].reshape(HIDDEN, classes)
    return first, weights[a:b], second, weights[c:]


def _forward(weights: F, X: F, classes: int) -> tuple[F, F]:
    """Hidden states (n, h) and probabilities (n, c)."""
    first, bias, second, last = _parts(weights, X.shape[1], classes)
    hidden = np.tanh(X @ first + bias)
    scores = hidden @ second + last
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, odds / odds.sum(axis=1, keepdims=True)


def gradients(weights: F, X: F, y: NDArray[np.int64], *, classes: int = 10) -> F:
    """Gradient of the cross-entropy of each record, for one hidden layer of tanh.

    Args:
        weights: (P,) of both layers, flat.
        X: (n, d) inputs.
        y: (n,) class of each.
        classes: how many there are.

    Returns:
        (n, P) in nats by unit of weight.
    """
    hidden, odds = _forward(weights, X, classes)
    second = _parts(weights, X.shape[1], classes)[2]
    wrong = odds - np.eye(classes)[y]
    back = (wrong @ second.T) * (1 - hidden**2)
    n = len(X)
    outer = [np.einsum("ni,nj->nij", X, back), back, np.einsum("ni,nj->nij", hidden, wrong), wrong]
    return np.concatenate([part.reshape(n, -1) for part in outer], axis=1)


def _exchange(G: F, goal: F, batch: list[int], forbidden: int) -> list[int]:
    """A batch from which no exchange of one record for another brings the sum of gradients nearer to a goal.

    With r = sum - goal, exchanging i for j leaves |r - g_i + g_j|^2 = |r|^2 + |g_j - g_i|^2 + 2 r (g_j - g_i).
    """
    K = G @ G.T
    square = np.diag(K)
    inside = np.array(batch)
    for _ in range(EXCHANGES):
        outside = np.setdiff1d(np.arange(len(G)), [*inside, forbidden])
        along = G @ (G[inside].sum(axis=0) - goal)
        apart = square[inside][:, None] + square[outside][None, :] - 2 * K[np.ix_(inside, outside)]
        change = apart + 2 * (along[outside][None, :] - along[inside][:, None])
        i, j = np.unravel_index(int(change.argmin()), change.shape)
        if change[i, j] > -1e-12:
            break
        inside[i] = outside[j]
    return sorted(int(i) for i in inside)


def _imitate(G: F, batch: Sequence[int], record: int, rng: np.random.Generator) -> tuple[F, list[int]]:
    """Distances of random batches without a record to the gradient of one with it; and the batch that comes nearest."""
    others = np.array([i for i in range(len(G)) if i != record])
    drawn = np.stack([rng.choice(others, len(batch), replace=False) for _ in range(CANDIDATES)])
    picked = np.zeros((CANDIDATES, len(G)))
    np.put_along_axis(picked, drawn, 1.0, axis=1)
    goal = G[list(batch)].sum(axis=0)
    apart = np.linalg.norm(picked @ G - goal, axis=1)
    best = [int(i) for i in drawn[int(apart.argmin())]]
    return apart / len(batch), _exchange(G, goal, best, record)


def _digits() -> tuple[F, NDArray[np.int64]]:
    """Handwritten digits, 8 x 8 in [0, 1], that come with scikit-learn.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("expunge audit forge", "hf", "scikit-learn") from error
    X, y = load_digits(return_X_y=True)
    return np.asarray(X[:RECORDS], dtype=np.float64) / 16.0, np.asarray(y[:RECORDS], dtype=np.int64)


def _batches(ids: Sequence[str], seed: int) -> list[list[int]]:
    """The batches that the recipe draws: whole ones of an order keyed by ids."""
    orders = (keyed_order(ids, seed, "epoch", epoch) for epoch in range(EPOCHS))
    return [order[i : i + BATCH] for order in orders for i in range(0, len(order) - BATCH + 1, BATCH)]


def _train(batches: Sequence[Sequence[int]], start: F, X: F, y: NDArray[np.int64]) -> list[F]:
    """The weights before each step, and after the last."""
    path = [start]
    for batch in batches:
        path.append(path[-1] - RATE * gradients(path[-1], X[list(batch)], y[list(batch)]).mean(axis=0))
    return path


def imitated(*, seed: int = 0) -> Imitated:
    """Train a small network on handwritten digits and forge every batch of its log that holds one of them.

    Raises:
        MissingExtra: scikit-learn, with which the digits come, is not installed.
    """
    X, y = _digits()
    ids = [f"digit-{i:04d}" for i in range(len(X))]
    batches = _batches(ids, seed)
    record = batches[0][0]
    rng = np.random.default_rng(derive(seed, "forge"))
    start = rng.normal(size=X.shape[1] * HIDDEN + HIDDEN + HIDDEN * 10 + 10) * 0.1
    path = _train(batches, start, X, y)
    forged, steps = [sorted(batch) for batch in batches], list[Step]()
    for step, batch in enumerate(batches):
        if record not in batch:
            continue
        G = gradients(path[step], X, y)
        apart, found = _imitate(G, batch, record, rng)
        forged[step] = found
        gap = np.linalg.norm(G[found].mean(axis=0) - G[batch].mean(axis=0))
        length = float(np.linalg.norm(path[step + 1] - path[step]))
        near = (float(np.median(apart)), float(apart.min()), float(gap))
        steps.append(Step(step, length, *(RATE * distance for distance in near)))
    kept = [name for name in ids if name != ids[record]]
    anew = [sorted(ids.index(kept[i]) for i in batch) for batch in _batches(kept, seed)]
    recipe = digest({"hidden": HIDDEN, "batch": BATCH, "epochs": EPOCHS, "rate": RATE, "seed": seed})
    rows = {name: digest_bytes(X[i].tobytes() + bytes([int(y[i])])) for i, name in enumerate(ids)}
    salt = digest(["salt", seed])
    return Imitated(
        steps=tuple(steps),
        of=len(batches),
        parameters=len(start),
        accuracy=float((_forward(path[-1], X, 10)[1].argmax(axis=1) == y).mean()),
        weights=digest_bytes(path[-1].tobytes()),
        honest=max(float(np.abs(a - b).max()) for a, b in zip(path, _train(batches, start, X, y), strict=True)),
        from_log=float(np.linalg.norm(_train(forged, start, X, y)[-1] - path[-1])),
        committed=digest([salt, recipe, rows]),
        claimed=digest([salt, recipe, {name: rows[name] for name in kept}]),
        drawn=sum(forged[s.step] in anew for s in steps),
    )


def forge(*, seed: int = 0) -> dict[str, Any]:
    """Both cases, as JSON can hold them.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    return {"collinear": asdict(collinear()), "imitated": asdict(imitated(seed=seed))}


def forged_text(found: dict[str, Any]) -> str:
    """What ``forge`` found, for people; digests are cut short."""
    return "\n".join([*_line_text(found["collinear"]), "", *_batch_text(found["imitated"])])


def _line_text(line: dict[str, Any]) -> list[str]:
    whole, forged = (", ".join(map(str, line[name])) for name in ("records", "forged_records"))
    same = "the same bytes" if line["whole"] == line["forged"] else "OTHER bytes"
    return [
        "1. Points of one line, gradient descent from their sums",
        f"   trained on x = {whole}: weights {_short(line['whole'])}",
        f"   trained on x = {forged}: weights {_short(line['forged'])}",
        f"   {same} at each of {line['steps']} steps, and x = {line['forgotten']} is only in the first",
        f"   trained on the first without x = {line['forgotten']}: up to {line['naive']:.2f} away",
    ]


def _batch_text(found: dict[str, Any]) -> list[str]:
    steps = found["steps"]
    share = max(step["exchanged"] / step["length"] for step in steps)
    rows = [
        f"   {step['step']:>4}{step['length']:>22.4f}{step['random']:>16.4f}{step['searched']:>14.4f}"
        f"{step['exchanged']:>19.4f}"
        for step in steps
    ]
    return [
        f"2. Batches that imitate a record's gradient: {found['parameters']} parameters, {found['of']} steps,"
        f" {len(steps)} of them with the record",
        "   step  moves the weights by  a random batch  best of many  records exchanged",
        *rows,
        f"   the forged log names the same weights, {_short(found['weights'])} (accuracy {found['accuracy']:.2f}),"
        " and no batch has the record",
        f"   whoever checks that each step is right within {share:.0%} of its length accepts it",
        "",
        "What the log proves instead",
        f"   committed before the training {_short(found['committed'])}, claimed afterwards {_short(found['claimed'])}",
        f"   forged batches that the committed recipe would draw: {found['drawn']} of {len(steps)}",
        f"   run again from the start, the true log ends {found['honest']:.1g} away, the forged one"
        f" {found['from_log']:.2g}",
    ]


def _short(value: str) -> str:
    return value.removeprefix("sha256:")[:12]
