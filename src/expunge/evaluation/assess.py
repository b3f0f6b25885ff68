"""From score tables to what judging reads and what a reader sees. Recomputes from files; needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.evidence import Estimate, Measurement
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy
from expunge.core.wishes import AS_RETRAINED
from expunge.evaluation import detectors
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.cells import Cell, cell, cells_for, measure_cells
from expunge.evaluation.contrast import Cast, contrast, distance
from expunge.evaluation.per_item import PerItem, Tables, Unmeasured
from expunge.evaluation.trusted import doubts, untested
from expunge.evaluation.utility import Components, components, utility_kept

ON_FORGET = "refusal_on_forget"
"""A detector for policies of wishes that are answered, where refusing what was forgotten evades."""
DISAGREEMENT = "disagreement"
SAID = ("text", "generated", "token_hit", "mask")
"""What the detector of that name reads; it runs where a policy asks for it."""
COMPARED = ("token_logp", "token_logp_paraphrase", "token_logp_perturbed", "generated")


@dataclass(frozen=True)
class Assessed:
    """One row.

    Args:
        assessment: what judging reads.
        cells: what the table shows, by key of ``cells_for`` the policy's wish, as the evidence file holds it.
        measurements: the same numbers as evidence.
        components: what utility is made of.
        distributions: Min-K% scores per item on forget and holdout; empty if they cannot be had.
    """

    assessment: Assessment
    cells: dict[str, dict[str, Any]]
    measurements: tuple[Measurement, ...]
    components: Components
    distributions: dict[str, list[float]]


def assess(
    tables: Tables | PerItem,
    policy: Policy,
    *,
    asked: Sequence[str] = (),
    judging: str = "model",
    reference: str = "reference",
    second: str = "second",
    original: str = "original",
    untrained: str = "untrained",
    digests: tuple[str, str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Assessed:
    """Measure one model against models that never knew.

    Args:
        tables: model -> role -> score table. Roles: ``forget, holdout, retain, general``, and the
            name of each attack that was run, with its column ``outcome``. Give the same ``PerItem`` to several calls
            and each score is computed once.
        policy: what is compared, and the level of the intervals.
        asked: names of scores and statistics that have cells of their own; they judge nothing.
        judging: name of the judged model in ``tables``.
        reference: name of the model trained without the forgotten records. When it is judged itself, the second
            reference takes its place and it takes the second's.
        second: name of another such model, with another seed.
        original: name of the model before unlearning.
        untrained: name of a never-trained model, whose scores are chance; need not be there.
        digests: of the judged model and of the original; at several seeds of the first of each.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        The row. What a target's access does not allow is missing with the reason, never guessed.

    Raises:
        EvidenceError: the tables of a role are not about the same records.
    """
    items = tables if isinstance(tables, PerItem) else PerItem(tables)
    control, other = (second, reference) if judging == reference else (reference, second)
    names = {"model": judging, "reference": control, "second": other, "original": original, "untrained": untrained}
    cast = Cast(items, names, policy.level, draws, seed)
    parts = components(cast)
    shown = cells_for(policy.wish, asked)
    found, reasons = measure_cells(cast, parts.kept, shown)
    comparisons, skipped = _compare(cast, policy)
    try:
        kept = utility_kept(cast, parts.kept)
    except Unmeasured:
        kept = None
    return Assessed(
        assessment=Assessment(comparisons, kept, _detect(cast, digests, policy), skipped, _doubted(policy), untested()),
        cells={key: cell(found.get(key), reasons.get(key, "")) for key in shown},
        measurements=_measurements(found, control, shown),
        components=parts,
        distributions=_distributions(cast),
    )


def _measurements(found: Mapping[str, Estimate], control: str, shown: Mapping[str, Cell]) -> tuple[Measurement, ...]:
    absolute = ("model_utility", "answered", "refused_unseen")
    return tuple(
        Measurement(
            name=key,
            estimate=estimate,
            protocol=shown[key].protocol,
            reference="" if key in absolute else control,
            access=shown[key].access,
            question=shown[key].question,
        )
        for key, estimate in found.items()
    )


def _compare(cast: Cast, policy: Policy) -> tuple[tuple[Comparison, ...], tuple[tuple[str, str], ...]]:
    comparisons: list[Comparison] = []
    skipped: list[tuple[str, str]] = []
    for criterion in policy.criteria:
        try:
            comparisons.append(_comparison(cast, criterion))
        except (Unmeasured, EvidenceError) as reason:
            skipped.append((criterion.attack, str(reason)))
    return tuple(comparisons), tuple(skipped)


def _doubted(policy: Policy) -> tuple[tuple[str, str], ...]:
    return doubts(criterion.attack for criterion in policy.criteria)


def _comparison(cast: Cast, criterion: Criterion) -> Comparison:
    statistic, never_knew = attack_statistic(criterion.attack)
    # What too few subjects leave open must reach beyond the margin, in whatever unit: percent differ by more than 1.
    open_ = max(1.0, 2 * criterion.margin)

    def read(who: str) -> Estimate:
        if statistic.target is not None:
            return cast.estimate(*distance(statistic, who), (-open_, open_))
        return cast.estimate(*contrast(statistic, {"model": who}, never_knew), (-open_, open_))

    difference, positive = read("model"), read("original")
    return Comparison(criterion.attack, difference, positive, statistic.two_tailed)


def _column(cast: Cast, who: str, role: str, name: str, seed: int) -> Any:
    try:
        return cast.items.column(cast.names[who], role, name, seed)
    except Unmeasured:
        return None


def _probability(cast: Cast, who: str, seed: int) -> Any:
    try:
        values = cast.items.values(cast.names[who], "retain", "probability")
    except Unmeasured:
        return None
    return values[min(seed, len(values) - 1)]


def _detect(cast: Cast, digests: tuple[str, str] | None, policy: Policy) -> tuple[Detector, ...]:
    """Each detector, fired where it fires at any seed."""
    found = [
        _detect_at(cast, digests if seed == 0 else None, seed, policy)
        for seed in range(max(1, cast.items.seeds(cast.names["model"])))
    ]
    return tuple(_worst(each) for each in zip(*found, strict=True))


def _worst(each: tuple[Detector, ...]) -> Detector:
    order = sorted(enumerate(each), key=lambda pair: (not pair[1].fired, pair[1].fired is not None))
    place, worst = order[0]
    same = len(each) == 1 or worst.fired is False
    return worst if same else replace(worst, detail=f"model {place + 1} of {len(each)}: {worst.detail}")


def _detect_at(cast: Cast, digests: tuple[str, str] | None, seed: int, policy: Policy) -> tuple[Detector, ...]:
    def both(role: str) -> tuple[Any, Any]:
        return _column(cast, "model", role, "generated", seed), _column(cast, "original", role, "generated", seed)

    def on_forget(names: tuple[str, ...]) -> list[Mapping[str, Any]]:
        return [{name: _column(cast, who, "forget", name, seed) for name in names} for who in ("model", "original")]

    # One that was taught another answer may give it wherever it was not taught its own.
    kept = ("retain",) if policy.wish == AS_RETRAINED else ("retain", "general")
    compared, known = on_forget(COMPARED)
    more: list[Detector] = []
    if ON_FORGET in policy.detectors:
        more.append(detectors.refusal({"forget": both("forget")}, name=ON_FORGET))
    if DISAGREEMENT in policy.detectors:
        said, before = on_forget(SAID)
        more.append(detectors.disagreement(said, before))
    return (
        detectors.no_op(compared, known, digests),
        detectors.collapse(_probability(cast, "model", seed), _probability(cast, "original", seed)),
        detectors.gibberish({role: both(role) for role in ("forget", "retain")}),
        detectors.refusal({role: both(role) for role in kept}),
        *more,
    )


def _distributions(cast: Cast) -> dict[str, list[float]]:
    try:
        scores, _ = cast.scores([("model", "forget", "min_k"), ("model", "holdout", "min_k")])
    except Unmeasured:
        return {}
    return {role: sorted(float(x) for x in np.ravel(values)) for (_, role, _), values in scores.items()}
