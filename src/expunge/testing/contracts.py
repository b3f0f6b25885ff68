"""What each entry of a registry must do: objectives, scores, methods and so on. Call the check of your kind.

Each check returns nothing, or raises ``AssertionError`` (or an ``ExpungeError``) that says what was broken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from expunge.core.access import Access, Oracle
from expunge.core.attack import ORIGINAL, at_budget, needs_of, run_attack
from expunge.core.columns import split
from expunge.core.control import Control
from expunge.core.earning import is_digest
from expunge.core.errors import ClaimError, ConfigError, ExpungeError, TargetError
from expunge.core.evidence import Estimate
from expunge.core.example import ROLES, Examples
from expunge.core.guarantee import Guarantee, Suppressed
from expunge.core.measure import MEMBER, SHADOWS, Key, Score, Statistic
from expunge.core.objective import TRAINED_ROLES, Objective, PerRecord
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy, judge
from expunge.core.provenance import Plain
from expunge.core.registry import controls, metrics
from expunge.core.views import AUXILIARIES, VIEWS, parse
from expunge.engine.alternatives.mismatched import same_answer
from expunge.evaluation.attacking import attack_statistic
from expunge.testing.samples import B, T, mask_of, random_columns, random_views
from expunge.testing.toy import toy_model, toy_selection

SETTING = 0.7
"""Value of every setting without a default that a check is not told."""
DESCRIBING = ("source", "policy", "tuned")
"""Fields of a method that change neither its result nor, therefore, its digest."""


def hold(condition: bool, what: str, why: str = "") -> None:
    """Raise ``AssertionError`` unless the condition holds."""
    if not condition:
        raise AssertionError(f"{what}: {why}" if why else what)


def check_objective(formula: Objective, **settings: Any) -> None:
    """Views are known; terms are unreduced, finite, one an example or token, and independent of padding and neighbours.

    Args:
        formula: an objective.
        settings: of the formula; ``SETTING`` for those that have no default.
    """
    hold(isinstance(formula, Objective), f"{formula!r:.60} is not an objective", "declare it with @objective")
    name = formula.name
    hold(formula.role in TRAINED_ROLES, f"{name}: no batch has the role {formula.role!r}")
    views = [VIEWS[parse(need.name).view] for need in formula.needs if not need.model]
    hold(any(v.differentiable for v in views), f"{name} reads no view through which the model could learn")
    given = dict.fromkeys(formula.required, SETTING) | settings
    reached: set[str] = set()
    for seed, scale in enumerate((0.1, 0.5, 1.0, 3.0)):
        drawn = random_views(formula.needs, seed=seed, scale=scale)
        before = {key: value.detach().clone() for key, value in drawn.items()}
        terms = formula(*drawn.values(), **given)
        hold(all(bool((drawn[key] == before[key]).all()) for key in drawn), f"{name} changes its views in place")
        _check_terms(formula, terms)
        _check_independence(formula, drawn, terms, given)
        _check_padding(formula, terms, given, seed, scale)
        reached |= _reached(name, drawn, terms)
    live = {n.name for n in formula.needs if VIEWS[n.view].differentiable and not n.model}
    hold(reached == live, f"{name}: no gradient reaches {', '.join(sorted(live - reached))}")


def _check_terms(formula: Objective, terms: Any) -> None:
    shape = (B,) if formula.reduce == "example" else (B, T)
    said = f"{formula.name} reduces by {formula.reduce}, so its terms are {shape}"
    hold(hasattr(terms, "shape") and tuple(terms.shape) == shape, said, f"got {getattr(terms, 'shape', type(terms))}")
    hold(bool(terms.isfinite().all()), f"{formula.name} is not finite on random views, or on padding")


def _close(a: Any, b: Any) -> bool:
    import torch

    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6))


def _check_independence(formula: Objective, views: Mapping[str, Any], terms: Any, settings: Mapping[str, Any]) -> None:
    turned = [2, 0, 3, 1]
    again = formula(*(value[turned] for value in views.values()), **settings)
    hold(_close(again, terms[turned]), f"{formula.name} depends on the order of the examples")
    for row in range(B):
        alone = formula(*(value[row : row + 1] for value in views.values()), **settings)
        hold(_close(alone, terms[row : row + 1]), f"{formula.name}: an example's term depends on its neighbours")


def _check_padding(formula: Objective, terms: Any, settings: Mapping[str, Any], seed: int, scale: float) -> None:
    wide = formula(*random_views(formula.needs, seed=seed, scale=scale, extra=2).values(), **settings)
    hold(bool(wide.isfinite().all()), f"{formula.name} is not finite on padding")
    if formula.reduce == "token":
        answer = formula.needs[0].answer
        wide = (wide * mask_of(seed=seed, answer=answer, extra=2)).sum(1)
        terms = (terms * mask_of(seed=seed, answer=answer)).sum(1)
    hold(_close(wide, terms), f"{formula.name} changes with the amount of padding")


def _reached(name: str, views: Mapping[str, Any], terms: Any) -> set[str]:
    live = {key: value for key, value in views.items() if value.requires_grad}
    hold(bool(terms.requires_grad), f"{name}: no gradient flows")
    terms.sum().backward()
    found = {key: value.grad for key, value in live.items() if value.grad is not None}
    hold(all(bool(g.isfinite().all()) for g in found.values()), f"{name}: the gradient is not finite")
    return {key for key, gradient in found.items() if bool((gradient != 0).any())}


def check_score(score: Score) -> None:
    """Columns are known; one finite or absent number an item, whatever the padding and the order of the rows."""
    hold(isinstance(score, Score), f"{score!r:.60} is not a score", "declare it with @score")
    for column in score.needs:
        split(column)
    hold(bool(score.needs), f"{score.name} reads no column")
    hold(score.attack is None or bool(score.attack), f"{score.name} is an attack that needs no access")
    for seed in range(4):
        columns = random_columns(score.needs, seed=seed)
        kept = {key: np.array(value, copy=True) for key, value in columns.items()}
        values = score.of(columns)
        hold(np.shape(values) == (B,), f"{score.name} gives one number an item, ({B},)", f"got {np.shape(values)}")
        values = np.asarray(values, dtype=np.float64)
        applies = ~np.isnan(values) if score.partial else np.ones(B, dtype=bool)
        hold(bool(np.isfinite(values[applies]).all()), f"{score.name} is not finite on random columns")
        same = all(np.array_equal(kept[key], np.asarray(columns[key])) for key in columns)
        hold(same, f"{score.name} changes its columns in place")
        turned = [2, 0, 3, 1]
        mixed = {k: v[turned] if isinstance(v, np.ndarray) else [v[i] for i in turned] for k, v in columns.items()}
        hold(_same(score.of(mixed), values[turned]), f"{score.name} depends on the order of the items")
        alone = [score.of({key: value[i : i + 1] for key, value in columns.items()})[0] for i in range(B)]
        hold(_same(alone, values), f"{score.name}: an item's score depends on its neighbours")
        wide = score.of(random_columns(score.needs, seed=seed, extra=3))
        hold(_same(wide, values), f"{score.name} changes with the amount of padding")
    _check_told(score)


def _check_told(metric: Score | Statistic) -> None:
    hold(metric.question.strip().endswith(("?", ".")), f"{metric.name} does not say which question it answers")
    hold(bool(metric.retrained.strip()), f"{metric.name} does not say what a retrained model gets")


def _same(a: Any, b: Any) -> bool:
    return np.allclose(a, b, equal_nan=True)


def check_statistic(statistic: Statistic) -> None:
    """Keys are known; one finite number, whatever the order of the items; a weight counts repetitions."""
    hold(isinstance(statistic, Statistic), f"{statistic!r:.60} is not a statistic", "declare it with @statistic")
    name = statistic.name
    for model, role, score in statistic.needs:
        known = ("model", "reference", "second", "original", *SHADOWS)
        hold(model in known, f"{name} reads an unknown model {model!r}")
        hold(role.partition("/")[0] in ROLES, f"{name} reads an unknown role {role!r}")
        member = score == MEMBER and model in SHADOWS
        hold(member or isinstance(metrics.get(score), Score), f"{name} reads {score!r}, which is not a score")
    keys: tuple[Key, ...] = statistic.needs or (("model", "retain", "probability"), ("model", "general", "rouge_l"))
    for seed in range(4):
        draw = np.random.default_rng(seed)
        sizes = {role: 5 + i for i, role in enumerate([*ROLES, *(where for _, where, _ in keys if "/" in where)])}
        scores = {key: _scores(draw, key, sizes[key[1]]) for key in keys}
        kept = {key: value.copy() for key, value in scores.items()}
        value = statistic(scores)
        hold(math.isfinite(value), f"{name} is not finite on random scores")
        hold(all(np.array_equal(kept[key], scores[key]) for key in keys), f"{name} changes its scores in place")
        turned = {role: draw.permutation(size) for role, size in sizes.items()}
        again = statistic({key: array[..., turned[key[1]]] for key, array in scores.items()})
        hold(math.isclose(again, value, rel_tol=1e-9), f"{name} depends on the order of the items")
        if "weights" in inspect.signature(statistic.function).parameters:
            _check_weights(statistic, scores, {role: draw.integers(1, 4, size) for role, size in sizes.items()})
    _check_told(statistic)


def _scores(draw: np.random.Generator, key: Key, size: int) -> Any:
    """Random scores of one model, or of six shadow models, of which every record has three within and three without."""
    model, _, score = key
    if model not in SHADOWS:
        return draw.uniform(0.05, 0.95, size)
    if score != MEMBER:
        return draw.uniform(0.05, 0.95, (6, size))
    return np.argsort(draw.random((6, size)), axis=0) % 2.0


def _check_weights(statistic: Statistic, scores: Mapping[Key, Any], counts: Mapping[str, Any]) -> None:
    function: Callable[..., Any] = statistic.function
    ones = {key: np.ones((2, array.shape[-1])) for key, array in scores.items()}
    plain = np.broadcast_to(statistic(scores), 2)
    hold(np.shape(function(scores, ones)) == (2,), f"{statistic.name}: D resamples give (D,)")
    hold(np.allclose(function(scores, ones), plain), f"{statistic.name}: weights of 1 change the value")
    weighted = function(scores, {key: counts[key[1]][None] for key in scores})
    repeated = statistic({key: np.repeat(array, counts[key[1]], axis=-1) for key, array in scores.items()})
    hold(np.allclose(weighted, repeated), f"{statistic.name}: a weight of n is not n repetitions")


def check_attack(attack: Any) -> None:
    """Declares its access and refuses less; gives one row a probed record; leaves the attacked model as it was.

    Its docstring, or for an entry of ours that of its module, says the question, what is good and what a retrained
    model gets.
    """
    name = type(attack).__name__
    access = getattr(attack, "access", None) or Access.NONE
    hold(bool(access), f"{name} declares no access", "set access = Access....")
    for method in ("run", "digest"):
        hold(callable(getattr(attack, method, None)), f"{name} has no {method}()")
    hold(is_digest(attack.digest()) and attack.digest() == attack.digest(), f"{name}.digest() is no digest")
    larger = at_budget(attack, "full")
    hold(is_digest(larger.digest()), f"{name}.full names no fields")
    stated = bool(getattr(attack, "full", {})) == (larger.digest() != attack.digest())
    hold(stated, f"{name}: its full budget is its quick one, or its digest does not show it")
    target, selection = toy_model(), toy_selection()
    original = toy_model(seed=1).oracle(Access.all())
    given = {need: original if need == ORIGINAL else selection.role(need) for need in needs_of(attack)}
    before = target.digest()
    for flag in (Access[n] for n in access.names):
        try:
            attack.run(Oracle(target, Access.all() & ~flag), selection.forget, seed=0, **given)
        except TargetError:
            continue
        hold(False, f"{name} ran without {flag.name}, which it declares", "call oracle.require(self.access, ...)")
    whole = target.oracle(Access.all())
    rows, again = (run_attack(attack, whole, selection, seed=0, original=original) for _ in range(2))
    hold(target.digest() == before, f"{name} changed the model that it attacked", "attack a copy")
    hold(bool(rows), f"{name} gives no rows")
    # An attack that reads weights may have no records to speak of: its ``unit`` then names what a row is about.
    against = getattr(attack, "against", "")
    known = set(selection.forget.ids) | set(selection.role(against).ids if against else ())
    stray = {row["record_id"] for row in rows} - known
    hold(not stray or getattr(attack, "unit", "record") != "record", f"{name} gives rows about what was not probed")
    for row in rows:
        whole = "subject" in row and math.isfinite(row.get("outcome", math.nan))
        hold(whole, f"{name}: a row lacks subject or outcome")
    hold(rows == again, f"{name}: the same seed gives other outcomes")
    _check_asking(name, " ".join((inspect.getdoc(attack) or "").split()))


def _check_asking(name: str, told: str) -> None:
    hold(bool(re.search(r"[Qq]uestion: [^?]*\?", told)), f"{name} does not say in its docstring what it asks")
    good = bool(re.search(r"Good: |is good|[Gg]ood is|the better", told))
    hold(good, f"{name} does not say in its docstring which outcome is good")
    hold("retrained" in told, f"{name} does not say in its docstring what a retrained model gets")


class _Untouchable:
    """A target of a kind that no method knows; whoever reads more than its kind and provenance is caught."""

    kind = "untouchable"
    provenance = Plain()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the method used {name!r} of a target of the wrong kind")


def check_method(method: Any, *, target: Any = None, seed: int = 0) -> None:
    """Frozen, hashable, with a digest over its settings; refuses a wrong kind of target before it does anything.

    Args:
        method: a method.
        target: it is also carried out on this, with the toy selection, and must leave it as it was, unless the method
            says that it works ``in_place``.
        seed: of that run.
    """
    name = str(getattr(method, "name", type(method).__name__))
    hold(hasattr(type(method), "__dataclass_fields__"), f"{name} is not an instance of a dataclass")
    for field in ("name", "version", "claim", "needs"):
        hold(hasattr(method, field), f"{name} does not say its {field}")
    hold(isinstance(method.claim, Guarantee), f"{name} claims {method.claim!r}, which is no guarantee")
    try:
        hash(method)
        frozen = method.__dataclass_params__.frozen
    except TypeError:
        frozen = False
    hold(frozen, f"{name} is not frozen and hashable")
    hold(method.digest() == dataclasses.replace(method).digest(), f"{name}: equal settings give other digests")
    for field, changed in _changed(method):
        hold(changed.digest() != method.digest(), f"{name}: its digest does not cover {field}")
    try:
        method.unlearn(_Untouchable(), toy_selection(), seed=seed)
    except (ClaimError, ConfigError):
        pass
    else:
        hold(False, f"{name} accepts a target of any kind", "call require_kind first")
    if target is not None:
        _check_unlearning(method, name, target, seed)


def _changed(method: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if field.name in DESCRIBING or not field.init:
            continue
        if (other := _other(value)) is None:
            continue
        # A value that the method refuses, alone or beside the others, says nothing about the digest.
        with contextlib.suppress(ExpungeError, ValueError):
            yield field.name, dataclasses.replace(method, **{field.name: other})


def _other(value: Any) -> Any:
    """Another value of the same kind, or None where there is no telling."""
    if isinstance(value, (bool, str)):
        return not value if isinstance(value, bool) else value + "x"
    if isinstance(value, (int, float)):
        return value + 1 if isinstance(value, int) else value / 2 or 0.25
    if isinstance(value, tuple) and value:
        first = _other(value[0])
        return value[1:] if first is None else (first, *value[1:])
    return None


def _check_unlearning(method: Any, name: str, target: Any, seed: int) -> None:
    before = target.digest()
    result = method.unlearn(target, toy_selection(), seed=seed)
    hold(isinstance(result, (Outcome, Overlay)), f"{name} returns a {type(result).__name__}")
    if getattr(method, "in_place", False):
        hold(result.before == before, f"{name} states another digest before")
        hold(result.original is result.target is target, f"{name} works in place and gives another target")
        hold(target.digest() != before, f"{name} works in place and changed nothing")
    else:
        hold(target.digest() == before == result.before, f"{name} changed the target that it was given")
        hold(result.original.digest() == before, f"{name}: the result does not lead back to the original")
    hold(result.recipe == method.digest(), f"{name}: the result carries another recipe")
    if isinstance(result, Overlay):
        hold(isinstance(method.claim, Suppressed), f"{name} returns an overlay and claims {method.claim}")


def check_control(control: Any, **settings: Any) -> None:
    """What it finds, or how it steps, depends on its settings and on the run alone.

    A control whose first parameter is ``context`` finds a value: a finite number, one a record, or a vector. A control
    of settings alone gives a ``StepControl``.

    Args:
        control: a control.
        settings: of the control; ``SETTING`` for those that have no default.
    """
    name = getattr(control, "__name__", repr(control))
    parameters = list(inspect.signature(control).parameters.values())
    finds = bool(parameters) and parameters[0].name == "context"
    keyword = all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[finds:])
    hold(keyword, f"{name}: every setting must be keyword-only", "and a context, if it takes one, is the first")
    given = {p.name: SETTING for p in parameters[finds:] if p.default is inspect.Parameter.empty} | settings
    if finds:
        first, again = _values(control(_context(), **given)), _values(control(_context(), **given))
        hold(all(math.isfinite(value) for value in first), f"{name} gives {first[:3]}")
        hold(first == again, f"{name}: the same context gives another value")
    else:
        _check_stepping(name, control, given)


def _context() -> Any:
    from expunge.engine.run import ControlContext

    chosen = toy_selection()
    data = {"forget": chosen.forget, "retain": chosen.retain, "never_seen": chosen.never_seen}
    others = {name: toy_model(seed=position + 1) for position, name in enumerate(AUXILIARIES)}
    return ControlContext(toy_model(), data, 0, others)


def _values(found: Any) -> list[float]:
    if isinstance(found, PerRecord):
        return list(found.values.values())
    return found.flatten().tolist() if hasattr(found, "flatten") else [float(found)]


def _check_stepping(name: str, control: Any, given: Mapping[str, Any]) -> None:
    from expunge.core.training import Training
    from expunge.engine.step_control import StepControl
    from expunge.engine.train import train
    from expunge.objectives.grad_ascent import grad_ascent
    from expunge.objectives.nll import nll

    made = control(**given)
    hold(isinstance(made, StepControl), f"{name} gives a {type(made).__name__}, which is no StepControl")
    hold(json.loads(json.dumps(made.state())) == made.state(), f"{name}: its state is not JSON")
    hold(name in controls.names(), f"no registry finds {name}", "a loop asks for a control by its name")
    chosen, digests = toy_selection(), list[str]()
    data = {"forget": chosen.forget, "retain": chosen.retain, "never_seen": chosen.never_seen}
    for _ in range(2):
        target = toy_model()
        loss = grad_ascent.bind() + nll.bind().on("retain")
        bound = Control(name, tuple(sorted(given.items())))
        train(target, loss, data, Training(lr=1e-3, steps=3, batch_size=4), seed=0, stepping=(bound,))
        digests.append(target.digest())
    hold(digests[0] == digests[1], f"{name}: the same run gives other weights")


def check_alternative(source: Any) -> None:
    """Every forgotten record comes back with another answer than its own, whatever other records there are.

    A source may give several copies of a record, ``id#0``, ``id#1``, ...; nothing else of a record changes.

    Args:
        source: of other answers: ``(target, forget, *, retain, seed) -> Examples``.
    """
    name, target, chosen = source.__name__, toy_model(), toy_selection()
    before = target.digest()

    def answers(forget: Examples, retain: Examples = chosen.retain) -> dict[str, str]:
        found = source(target, forget, retain=retain, seed=5)
        hold(isinstance(found, Examples), f"{name} gives a {type(found).__name__}, not Examples")
        owners = [forget.by_id.get(e.record_id.partition("#")[0]) for e in found]
        hold({e.record_id for e in owners if e} == set(forget.ids) and None not in owners, f"{name}: other records")
        for example, owner in zip(found, owners, strict=True):
            same = {"record_id": example.record_id, "alternative_answer": example.alternative_answer}
            hold(bool(owner) and dataclasses.replace(owner, **same) == example, f"{name} changes more than the answer")
            hold(bool(example.alternative_answer.strip()), f"{name}: {example.record_id} has no other answer")
            hold(not same_answer(example.alternative_answer, example.answer), f"{name} gives the true answer")
        return {e.record_id: e.alternative_answer for e in found}

    whole = answers(chosen.forget)
    hold(answers(chosen.forget) == whole, f"{name}: the same seed gives other answers")
    turned = answers(Examples(reversed(chosen.forget)), Examples(reversed(chosen.retain)))
    hold(turned == whole, f"{name} depends on the order of the records")
    for gone in chosen.forget.ids:
        rest = answers(Examples(e for e in chosen.forget if e.record_id != gone))
        hold(rest.items() <= whole.items(), f"{name}: an answer depends on the other records")
    hold(target.digest() == before, f"{name} changes the model that it asks")


def check_policy(policy: Policy) -> None:
    """Every attack is known, every number makes sense, and each single shortfall keeps the claim from being earned."""
    hold(isinstance(policy, Policy), f"{policy!r:.60} is not a policy")
    name, attacks = policy.name, [criterion.attack for criterion in policy.criteria]
    hold(bool(attacks), f"{name} lists no attack: anything would earn it")
    hold(len(set(attacks)) == len(attacks), f"{name} lists an attack twice")
    hold(0 < policy.utility_floor <= 1 and 0.5 < policy.level < 1, f"{name}: floor or level is no probability")
    hold(policy.positive_control >= 1, f"{name}: an attack counts as powerful below its own margin")
    for criterion in policy.criteria:
        attack_statistic(criterion.attack)
        hold(0 < criterion.margin < 1, f"{name}: the margin of {criterion.attack} is {criterion.margin}")
        hold(bool(criterion.question.strip()), f"{name} does not say what {criterion.attack} answers")
        hold(bool(criterion.access), f"{name} does not say what access {criterion.attack} needs")
        hold(all(flag in Access.__members__ for flag in criterion.access), f"{name}: unknown access {criterion.access}")
    good = _perfect(policy)
    hold(judge(policy, good).status == "earned", f"{name} cannot be earned even by a perfect result")
    for place in range(len(attacks)):
        rest = good.comparisons[:place] + good.comparisons[place + 1 :]
        short = dataclasses.replace(good, comparisons=rest)
        hold(judge(policy, short).status != "earned", f"{name} is earned without {attacks[place]}")
    hold(bool(policy.detectors), f"{name} asks for no detector")
    for fired in (True, None):
        alarmed = dataclasses.replace(good, detectors=tuple(Detector(d, fired) for d in policy.detectors))
        hold(judge(policy, alarmed).status != "earned", f"{name} is earned although a detector fired or could not run")
    unknown = dataclasses.replace(good, utility=None)
    hold(judge(policy, unknown).status != "earned", f"{name} is earned without a measurement of utility")


def _perfect(policy: Policy) -> Assessment:
    def compared(criterion: Criterion) -> Comparison:
        none = Estimate(0.0, -criterion.margin / 9, criterion.margin / 9, policy.level)
        return Comparison(criterion.attack, none, Estimate(1.5 * policy.positive_control * criterion.margin, 0, 1))

    utility = Estimate(1.0, 1.0, 1.0, policy.level)
    detectors = tuple(Detector(name, fired=False) for name in policy.detectors)
    return Assessment(tuple(map(compared, policy.criteria)), utility, detectors)
