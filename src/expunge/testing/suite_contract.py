"""What each suite must say of itself. Call ``check_suite``."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from expunge.core.access import Access
from expunge.core.measure import Score, Statistic
from expunge.core.registry import attacks, metrics
from expunge.core.suite import Reading, Suite
from expunge.testing.contracts import hold


def check_suite(suite: Suite) -> None:
    """Says what it asks, reads and needs; its parts, measures and margins exist; its reader can be called.

    Args:
        suite: any.
    """
    hold(isinstance(suite, Suite), f"{suite!r:.60} is not a suite")
    name = suite.name
    for text in ("question", "source", "layout", "get", "ethics", "version"):
        hold(bool(getattr(suite, text).strip()), f"{name} does not say its {text}")
    hold(suite.question.endswith("?"), f"{name}: its question is none")
    for what, names in (("part", [p.name for p in suite.parts]), ("reading", [r.name for r in suite.readings])):
        hold(bool(names), f"{name} has no {what}")
        hold(len(set(names)) == len(names), f"{name} has two of one {what}")
        hold(not any(set("/.") & set(n) for n in names), f"{name}: a {what}'s name is no name of a file")
    for reading in suite.readings:
        _check_reading(name, reading)
    for part, score in suite.utility:
        hold(isinstance(metrics.get(score), Score), f"{name}: utility on {part} is not made of scores")
    if suite.policy:
        _check_policy(suite)
    module, _, function = suite.reader.partition(":")
    place = module if function else f"expunge.data.corpora.{module}"
    read: Any = getattr(importlib.import_module(place), function or "read", None)
    hold(callable(read), f"{name}: its reader {suite.reader} cannot be called")
    hold(next(iter(inspect.signature(read).parameters)) == "data", f"{name}: a reader's first argument is data")


def _check_reading(suite: str, reading: Reading) -> None:
    what = f"{suite}: {reading.name}"
    hold(reading.question.endswith("?"), f"{what} asks nothing")
    hold(bool(reading.retrained.strip()), f"{what} does not say what a retrained model gets")
    if reading.measure in attacks.names():
        hold(bool(reading.part), f"{what} is an attack that probes nothing")
        return
    metric = metrics.get(reading.measure)
    if isinstance(metric, Statistic):
        unknown = set(reading.roles) - {role for _, role, _ in metric.needs}
        hold(not unknown, f"{what} names roles that {metric.name} does not read", ", ".join(sorted(unknown)))
        hold(not reading.part, f"{what} is a statistic, which reads roles")
    else:
        hold(bool(reading.part) != bool(reading.roles), f"{what} is a score: give a part, or forget and holdout")
        hold(set(reading.roles) <= {"forget", "holdout"}, f"{what} is read as an AUC between forget and holdout")


def _check_policy(suite: Suite) -> None:
    policy = suite.policy
    hold(bool(suite.utility), f"{suite.name} judges without a floor of utility")
    asked = policy.detectors if policy else ()
    hold("disagreement" in asked, f"{suite.name}: a filter earns its policy", "list the detector disagreement")
    for criterion in policy.criteria if policy else ():
        what = f"{suite.name}: the criterion {criterion.attack}"
        hold(criterion.margin > 0 and bool(criterion.question.strip()), f"{what} has no margin or no question")
        hold(bool(criterion.why.strip()), f"{what} gives no reason for its margin")
        hold(bool(criterion.access), f"{what} does not say what access it needs")
        hold(all(flag in Access.__members__ for flag in criterion.access), f"{what} needs an unknown access")
