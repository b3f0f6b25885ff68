"""What a suite's score tables come to: rows with intervals, and the verdict of its policy. Needs no model."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from expunge.core.evidence import Estimate
from expunge.core.measure import Score, Statistic
from expunge.core.policy import Assessment, Comparison, Detector, Verdict, judge
from expunge.core.registry import attacks, metrics
from expunge.core.suite import Reading, Suite, whole
from expunge.evaluation import detectors
from expunge.evaluation.attacking import OUTCOME, UNSEEN, mean_outcome, membership_auc, told_by
from expunge.evaluation.chance import FLOOR, Component, chance
from expunge.evaluation.contrast import Cast, contrast, distance
from expunge.evaluation.per_item import Table, Unmeasured
from expunge.evaluation.subgroup_statistics import Splittable, split_role, told_statistics
from expunge.evaluation.subgroups import told_subgroups
from expunge.evaluation.suite_items import is_derived, items_of, why_lacking
from expunge.evaluation.trusted import doubts, untested
from expunge.evaluation.utility import utility_kept

MISSING = {
    "reference": "it needs a model that never knew: give a reference",
    "second": "it needs a second model that never knew, whose distance to the first is the ceiling: give a second",
    "original": "it needs the model before unlearning: give the original",
}
ARMS = ("model", *MISSING)
ARMED = ("model", "original")
"""Whom the detectors compare."""


@dataclass(frozen=True)
class Measured:
    """All that the findings of a suite rest on.

    Args:
        suite: that was run.
        tables: model -> part or attack -> table.
        skipped: name of a reading -> why it was not measured.
        tasks: name of a harness task -> its row.
        digests: of the judged model and of the original, if both are there.
        level: of the intervals.
        draws: number of resamples.
        seed: of the resampling.
    """

    suite: Suite
    tables: Mapping[str, Mapping[str, Table]]
    skipped: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    digests: tuple[str, str] | None = None
    level: float = 0.9
    draws: int = 2000
    seed: int = 0


def on_parts(statistic: Statistic, roles: Mapping[str, str]) -> Statistic:
    """The same statistic, reading the parts that play its roles.

    >>> found = on_parts(membership_auc("min_k"), {"forget": "text", "holdout": "unseen"})
    >>> found({("model", "text", "min_k"): [2.0, 3.0], ("model", "unseen", "min_k"): [1.0, 2.5]})
    0.75
    """
    names = {(model, roles.get(role, role), score): (model, role, score) for model, role, score in statistic.needs}
    function: Any = statistic.function

    def plain(scores: Mapping[Any, Any]) -> Any:
        return function({own: scores[key] for key, own in names.items()})

    def weighted(scores: Mapping[Any, Any], weights: Mapping[Any, Any] | None = None) -> Any:
        if weights is None:
            return plain(scores)
        return function(*({own: data[key] for key, own in names.items()} for data in (scores, weights)))

    weighs = "weights" in inspect.signature(function).parameters
    return replace(statistic, function=weighted if weighs else plain, needs=tuple(names))


def statistic_of(suite: Suite, reading: Reading) -> Statistic:
    """What a reading computes.

    Raises:
        Unmeasured: nothing has the name of its measure, or the data has no part that it reads.
    """
    if reading.measure in attacks.names():
        return told_by(reading.measure, f"attack.{reading.name}")
    metric = metrics.get(reading.measure) if reading.measure in metrics.names() else None
    if isinstance(metric, Statistic):
        return on_parts(metric, reading.roles)
    if isinstance(metric, Score) and reading.roles:
        return on_parts(membership_auc(reading.measure), reading.roles)
    if not reading.part:
        raise Unmeasured(f"it needs {reading.measure}, which is not among the metrics and attacks here")
    return mean_outcome(f"of.{reading.name}" if is_derived(suite, reading) else reading.part, reading.measure)


class Findings:
    """The readings of one suite on one set of tables.

    Args:
        measured: the tables, and what was not measured.
    """

    def __init__(self, measured: Measured) -> None:
        self.given, self.suite = measured, measured.suite
        absent = {name: why for name, why in MISSING.items() if name not in measured.tables}
        items, self.lacking = items_of(self.suite, measured.tables, absent)
        names = {name: name for name in ARMS}
        self.cast = Cast(items, names, measured.level, measured.draws, measured.seed)

    def value(self, reading: Reading, who: str) -> Estimate:
        """A reading of one arm; the reference is read against the second reference."""
        statistic = self.statistic(reading)
        parts = {**self.cast.names, "model": who} | ({"reference": "second"} if who == "reference" else {})
        found = replace(self.cast, names=parts).estimate(statistic.function, statistic.needs)
        if math.isnan(found.value):
            raise Unmeasured("it is not a number on these records: what it divides by is 0")
        return found

    def statistic(self, reading: Reading) -> Statistic:
        """What a reading computes.

        Raises:
            Unmeasured: it was not measured, or cannot be.
        """
        for name, why in (*self.given.skipped.items(), *self.lacking.items()):
            if name == reading.name:
                raise Unmeasured(why)
        found = statistic_of(self.suite, reading)
        for _, role, score in found.needs:
            self._require(role, score)
        return found

    def _require(self, role: str, score: str) -> None:
        tables = [parts[whole(role)] for parts in self.given.tables.values() if whole(role) in parts]
        if not tables and not role.startswith(("of.", "attack.")):
            raise Unmeasured(f"the data holds no records for {role}. {self.suite.get}")
        if score in (OUTCOME, UNSEEN) or role.startswith("of.") or any(score in table for table in tables):
            return
        metric = metrics.get(score) if score in metrics.names() else None
        if not isinstance(metric, Score):
            raise Unmeasured(f"it needs the score {score}, and nothing here has that name")
        if lacking := [need for need in metric.needs if not any(need in table for table in tables)]:
            raise Unmeasured(why_lacking(lacking))

    def difference(self, reading: Reading, who: str) -> Estimate:
        """A reading of one arm less that of the control: a model that never knew, or the value that is aimed at."""
        statistic = self.statistic(reading)
        if statistic.target is not None:
            return self.cast.estimate(*distance(statistic, who))
        against = any(model == "reference" for model, _, _ in statistic.needs)
        control = {"model": "reference", **({"reference": "second"} if against else {})}
        return self.cast.estimate(*contrast(statistic, {"model": who}, control))

    def row(self, reading: Reading) -> dict[str, Any]:
        """One row: its value, those of reference and original, and the reason for each that is not there."""
        told = {
            "name": reading.name,
            "question": reading.question,
            "measure": reading.measure,
            "better": reading.better,
            "retrained": reading.retrained,
        }
        try:
            found: dict[str, Any] = plain(self.value(reading, "model"))
        except Unmeasured as reason:
            return {**told, "skipped": str(reason)}
        for arm, ask in (("reference", self.value), ("original", self.value)):
            found[arm] = self._or_reason(ask, reading, arm)
        found["difference"] = self._or_reason(self.difference, reading, "model")
        return {**told, **found, **self.by_subgroup(reading)}

    def by_subgroup(self, reading: Reading) -> dict[str, Any]:
        """The largest gaps of a reading, alone and less the reference's; nothing where nothing groups its records.

        A statistic is split as ``subgroup_statistics`` says: not if it reads several roles and no forgotten record.
        """
        statistic = self.statistic(reading)
        needs = statistic.needs
        metric = metrics.get(reading.measure) if reading.measure in metrics.names() else None
        if isinstance(metric, Statistic) or reading.roles or len(needs) > 1:
            return self._statistic_by_subgroup(reading, statistic, metric)
        against = "reference" if "reference" in self.given.tables else ""
        settings = {"level": self.given.level, "draws": self.given.draws, "seed": self.given.seed}
        found = told_subgroups(
            self.cast.items, "model", [(role, score) for _, role, score in needs], against=against, **settings
        )
        kept = [{k: v for k, v in entry.items() if k not in ("role", "score")} for entry in found]
        return {"subgroups": kept} if kept else {}

    def _statistic_by_subgroup(self, reading: Reading, statistic: Statistic, metric: Any) -> dict[str, Any]:
        """As ``by_subgroup``, of what is no mean over records."""
        own = (
            split_role(metric)
            if isinstance(metric, Statistic)
            else "forget"
            if reading.roles
            else statistic.needs[0][1]
        )
        if not own:
            return {}
        against = any(model == "reference" for model, _, _ in statistic.needs)
        control = {"model": "reference", **({"reference": "second"} if against else {})}
        wanted = Splittable(
            statistic, reading.roles.get(own, own), reading.name, control if statistic.target is None else None
        )
        found = told_statistics(self.cast, [wanted])
        kept = [{k: v for k, v in entry.items() if k not in ("role", "score")} for entry in found]
        return {"subgroups": kept} if kept else {}

    def _or_reason(self, ask: Any, reading: Reading, who: str) -> dict[str, Any]:
        try:
            return plain(ask(reading, who))
        except Unmeasured as reason:
            return {"skipped": str(reason)}

    def components(self) -> tuple[Component, ...]:
        """Those of utility on which the original is above chance: of the others every share would be noise."""
        found: list[Component] = []
        for part, score in self.suite.utility:
            try:
                self._require(part, score)
                before = replace(self.cast, names={**self.cast.names, "model": "original"}).estimate(
                    mean_outcome(part, score).function, [("model", part, score)], (0.0, 1.0)
                )
                level = self._chance(part, score)
            except Unmeasured:
                continue
            if before.low > level:
                found.append((part, score))
        return tuple(found)

    def _chance(self, part: str, score: str) -> float:
        """What a component comes to without knowledge: for scores that ``chance`` does not know, 0."""
        if score != "probability_options" and score not in FLOOR:
            return 0.0
        return chance(replace(self.cast, names={**self.cast.names, "untrained": "untrained"}), (part, score))[0]

    def utility(self) -> Estimate | None:
        """The share of the original's utility that was kept."""
        try:
            return utility_kept(self.cast, self.components())
        except Unmeasured:
            return None

    def verdict(self) -> Verdict | None:
        """Of the suite's policy, where it has one."""
        policy = self.suite.policy
        if policy is None:
            return None
        compared: list[Comparison] = []
        skipped: list[tuple[str, str]] = []
        for criterion in policy.criteria:
            reading = self.suite.reading(criterion.attack)
            try:
                left, positive = (self.difference(reading, who) for who in ARMED)
                tails = self.statistic(reading).two_tailed
                compared.append(Comparison(criterion.attack, left, positive, tails))
            except Unmeasured as reason:
                skipped.append((criterion.attack, str(reason)))
        found = tuple(d for d in self._detect() if d.name in policy.detectors)
        doubted = tuple(
            (criterion.attack, reason)
            for criterion in policy.criteria
            for _, reason in doubts([self.suite.reading(criterion.attack).measure])
        )
        return judge(policy, Assessment(tuple(compared), self.utility(), found, tuple(skipped), doubted, untested()))

    def _detect(self) -> list[Detector]:
        here = {who: self.given.tables.get(who, {}) for who in ARMED}
        forget = [part.name for part in self.suite.parts if part.role == "forget"]
        kept = [part.name for part in self.suite.parts if part.role in ("retain", "general", "neighbour")]

        def both(name: str, column: str) -> tuple[Any, Any]:
            first, second = (here[who].get(name, {}).get(column) for who in ("model", "original"))
            return first, second

        texts = {name: both(name, "generated") for name in (*forget, *kept)}
        columns = {f"{c} of {p}": both(p, c) for p in forget for c in ("token_logp", "generated")}
        # Of a part whose answers nobody knows, such as prompts to be continued, nothing that is said can be wrong.
        known = {p for p in forget for tables in here.values() if {"text", "generated"} <= tables.get(p, {}).keys()}
        disagreements = [
            detectors.disagreement(*(here[who].get(p, {}) for who in ARMED), limit=self.suite.part(p).tokens)
            for p in forget
            if p in known
        ]
        now, before = ({key: pair[i] for key, pair in columns.items()} for i in (0, 1))
        return [
            detectors.no_op(now, before, self.given.digests),
            self._collapsed(),
            detectors.gibberish(texts),
            detectors.refusal({name: texts[name] for name in kept}),
            _all_of("disagreement", disagreements, "no answers on forgotten records are granted"),
        ]

    def _collapsed(self) -> Detector:
        """As ``detectors.collapse``, on every component of utility on which the original is above chance."""
        found: list[Detector] = []
        for part, score in self.components():
            try:
                now, before = (self.cast.items.values(who, part, score)[0] for who in ARMED)
            except Unmeasured as reason:
                found.append(Detector("collapse", None, f"not measured: {reason}"))
                continue
            broken = int((~np.isfinite(now) & np.isfinite(before)).sum())
            means = [float(np.nanmean(values)) for values in (now, before)]
            detail = f"{score} on {part} {means[0]:.3f}, the original's {means[1]:.3f}, {broken} not finite"
            found.append(Detector("collapse", bool(broken) or not means[0] >= detectors.KEPT * means[1], detail))
        return _all_of("collapse", found, "the original is above chance on no component of utility")


def _all_of(name: str, found: Sequence[Detector], otherwise: str) -> Detector:
    """One detector of several: it fired if one did, and is silent only if all were measured."""
    if not found:
        return Detector(name, None, f"not measured: {otherwise}")
    verdicts = [detector.fired for detector in found]
    fired = True if True in verdicts else None if None in verdicts else False
    return Detector(name, fired, "; ".join(detector.detail for detector in found))


def plain(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON holds it; an end without a bound is null, for too few subjects tell nothing."""

    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    found = {name: number(getattr(estimate, name)) for name in ("value", "low", "high")}
    return {**found, "level": estimate.level, "n": estimate.n, "groups": estimate.groups}


def suite_findings(measured: Measured) -> dict[str, Any]:
    """Rows, utility and verdict.

    Args:
        measured: score tables and what was not measured.

    Returns:
        What ``suite.json`` holds of them: ``suite``, ``rows``, ``utility``, ``tasks``, ``verdict``.
    """
    suite, found = measured.suite, Findings(measured)
    verdict, kept = found.verdict(), found.utility() if suite.utility else None
    return {
        "suite": {name: getattr(suite, name) for name in ("name", "version", "question", "source", "ethics")},
        "records": {part: _size(measured.tables["model"][part]) for part in _parts(measured)},
        "rows": [found.row(reading) for reading in suite.readings],
        "utility_kept": plain(kept) if kept else None,
        "utility_of": [f"{score} on {part}" for part, score in found.components()],
        "tasks": {name: dict(row) for name, row in measured.tasks.items()},
        "verdict": verdict and _told(verdict),
    }


def _parts(measured: Measured) -> Sequence[str]:
    return [part.name for part in measured.suite.parts if part.name in measured.tables["model"]]


def _size(table: Table) -> dict[str, int]:
    return {"n": len(table["ids"]), "groups": len(set(table["subjects"]))}


def _told(verdict: Verdict) -> dict[str, Any]:
    findings = [{"criterion": f.criterion, "status": f.status, "reason": f.reason} for f in verdict.findings]
    return {"policy": verdict.policy, "status": verdict.status, "findings": findings}
