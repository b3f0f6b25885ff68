"""Every entry of every registry keeps its contract; entries that are broken in one way each are caught."""

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from expunge.core import registry
from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.core.control import Control
from expunge.core.errors import MissingExtra, UnknownName
from expunge.core.example import Examples
from expunge.core.guarantee import Empirical
from expunge.core.measure import Score, Statistic, score, statistic
from expunge.core.objective import objective
from expunge.core.policy import Criterion, Policy
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.data.table import Table
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.engine.recipes.private import PrivateTraining
from expunge.engine.recipes.replayable import Replayable
from expunge.engine.recipes.soup import Soup
from expunge.engine.trainers.module import Module
from expunge.evaluation.per_item import Unmeasured
from expunge.retrieval.datastore import Datastore
from expunge.targets.convex.model import ConvexModel
from expunge.targets.convex.target import ConvexTarget
from expunge.targets.learner import Learner
from expunge.targets.lm_parts import PartsLM
from expunge.targets.noisy.losses import Logistic
from expunge.targets.private.account import Mechanism
from expunge.targets.replayable import ReplayableLM
from expunge.testing import contracts
from expunge.testing.toy import toy_model, toy_recipe, toy_selection

CHECKS = {
    "objectives": contracts.check_objective,
    "attacks": contracts.check_attack,
    "controls": contracts.check_control,
    "alternatives": contracts.check_alternative,
    "policies": contracts.check_policy,
    "methods": contracts.check_method,
}
ENTRIES = [(kind, name) for kind in CHECKS for name in getattr(registry, kind).names()]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_keeps_its_contract(kind, name):
    try:
        CHECKS[kind](getattr(registry, kind).get(name))
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", registry.metrics.names())
def test_every_metric_keeps_its_contract(name):
    found = registry.metrics.get(name)
    check = {Score: contracts.check_score, Statistic: contracts.check_statistic}[type(found)]
    check(found)


@pytest.mark.parametrize("kind", [*CHECKS, "metrics"])
def test_every_registry_has_entries_that_carry_their_public_name(kind):
    entries = getattr(registry, kind).items()
    assert entries
    for name, entry in entries:
        own = getattr(entry, "name", getattr(entry, "__name__", name))
        assert own.replace("-", "_") == name


def parts() -> PartsLM:
    records = [*toy_selection().forget, *toy_selection().kept]
    training = Training(lr=1e-2, epochs=1, batch_size=8)
    return Soup(toy_recipe(hidden=8, layers=1).base, training, shards=2).train(MemoryStore(records), seed=0)


def words() -> Learner:
    records = [*toy_selection().forget, *toy_selection().kept]
    return LearnerRecipe("tfidf", labels="").train(MemoryStore(records), seed=0)


def recorded() -> ReplayableLM:
    records = [*toy_selection().forget, *toy_selection().kept]
    return Replayable(toy_recipe(hidden=8, layers=1).base, Training(lr=1e-2, steps=3, batch_size=4)).train(
        MemoryStore(records), seed=0
    )


def noisy(name, **settings):
    """A model that holds none of the records: to forget them costs it nothing."""
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 2))
    table = Table([f"row {i}" for i in range(30)], X, (X[:, 0] > 0).astype(int))
    made = {"loss": Logistic(penalty=0.5, radius=2.0), "epsilon": 1.0, "delta": 1e-3, **settings}
    return lambda: registry.recipes.get(name)(**made).train(table, seed=0)


def convex() -> ConvexTarget:
    ids = [e.record_id for e in (*toy_selection().forget, *toy_selection().kept)]
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (len(ids), 2))
    return ConvexTarget(ConvexModel(lam=0.2, seed=None).fit(X, X[:, 0] > 0, ids=ids))


def private() -> Any:
    ids = [f"row {i}" for i in range(30)]
    X = np.random.default_rng(0).normal(size=(len(ids), 2))
    learner = Module("torch.nn:Linear", (0, 1), {"in_features": 2, "out_features": 2})
    mechanism = Mechanism(sigma=2.0, rate=1.0, steps=2, clip=0.5)
    return PrivateTraining(learner, mechanism, 1e-5, 20.0).train(Table(ids, X, (X[:, 0] > 0).astype(int)), seed=0)


TRAINED = {
    "newton": convex,
    "private": private,
    "replay": recorded,
    "sisa": parts,
    "statistics": words,
}
"""What a method needs that a plain model does not have, made by a recipe."""
TRAINED |= {"descent_to_delete": noisy("descent_to_delete")}
TRAINED |= {name: noisy(name, most=3) for name in ("langevin", "one_shot_removal")}


def datastore(path) -> Datastore:
    store = Datastore.create(path)
    store.add([*toy_selection().forget, *toy_selection().kept])
    return store


# A deletion behind a vote hands the count of answers on, and the version before refuses from then on: tests of its own.
@pytest.mark.parametrize("name", [name for name in registry.methods.names() if name != "adaptive_sisa"])
def test_every_method_leaves_the_target_as_it_was(name, tmp_path):
    if name == "purge":
        with datastore(tmp_path / "kb") as store:
            contracts.check_method(registry.methods.get(name), target=store)
        return
    method = registry.methods.get(name)
    if name == "retrain":
        method = method.with_recipe(toy_recipe(steps=2))
    elif dataclasses.is_dataclass(method) and hasattr(method, "steps"):
        method = dataclasses.replace(method, steps=2, batch_size=4)
    contracts.check_method(method, target=TRAINED.get(name, toy_model)())


def test_digests_of_methods_and_attacks_are_the_same_in_another_process():
    code = (
        "import json; from expunge.core.registry import methods, attacks;"
        "print(json.dumps({n: e.digest() for r in (methods, attacks) for n, e in r.items()}))"
    )
    place = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, text=True, check=True)
    here = {n: e.digest() for r in (registry.methods, registry.attacks) for n, e in r.items()}
    assert json.loads(done.stdout) == here


def declared(function: Any, reduce: str = "example") -> Any:
    return objective(reduce=reduce)(function)


def in_place(logp):
    return logp.mul_(2.0) if not logp.requires_grad else logp.data.mul_(2.0) + logp


def counts_padding(token_logp):
    return token_logp.mean(1)


def reads_pad(token_logp, mask):
    return token_logp - (1 - mask).sum(1, keepdim=True)


BROKEN_OBJECTIVES = {
    "a mean over the batch": (declared(lambda logp: logp.mean()), "one|terms are"),
    "a mean in every row": (declared(lambda logp: logp - logp.mean()), "neighbours"),
    "a sorted batch": (declared(lambda logp: logp.sort().values), "order of the examples"),
    "the wrong unit": (declared(lambda token_logp: token_logp), "terms are"),
    "a sum where tokens are promised": (declared(lambda token_logp: token_logp.sum(1), "token"), "terms are"),
    "padding in a mean": (declared(counts_padding), "padding"),
    "padding in a token": (declared(reads_pad, "token"), "padding"),
    "no gradient": (declared(lambda logp: logp.detach()), "no gradient"),
    "a view that is read for nothing": (declared(lambda logp, logp_alt: logp + 0 * logp_alt.detach()), "logp_alt"),
    "nothing to learn through": (declared(lambda n_tokens: n_tokens.float()), "could learn"),
    "an infinity on padding": (declared(lambda token_logp, mask: token_logp / mask, "token"), "finite"),
    "a view changed in place": (declared(in_place), "in place"),
    "no objective": (lambda logp: logp, "not an objective"),
}


@pytest.mark.parametrize("case", BROKEN_OBJECTIVES)
def test_a_broken_objective_is_caught(case):
    formula, said = BROKEN_OBJECTIVES[case]
    with pytest.raises(AssertionError, match=said):
        contracts.check_objective(formula)


def test_an_objective_over_a_role_without_a_batch_is_caught():
    with pytest.raises((AssertionError, UnknownName), match="forgot"):
        contracts.check_objective(objective(reduce="example", on="forgot")(lambda logp: logp))


def scored(function: Any, **options: Any) -> Score:
    return score(better="reference", **options)(function)


def clipped_in_place(token_logp, mask):
    np.maximum(token_logp, -0.5, out=token_logp)
    return token_logp.sum(1)


BROKEN_SCORES = {
    "a mean over padding": (scored(lambda token_logp: token_logp.mean(1)), "padding"),
    "one number in all": (scored(lambda token_logp: token_logp.sum()), "one number an item"),
    "a rank": (scored(lambda n_tokens: np.argsort(np.argsort(n_tokens, kind="stable")).astype(float)), "order|neighb"),
    "a share of the batch": (scored(lambda n_tokens: n_tokens / n_tokens.sum()), "neighbours"),
    "not a number": (scored(lambda token_hit, mask: np.log(token_hit.min(1) * 0 - 1)), "finite"),
    "a changed table": (scored(clipped_in_place), "in place"),
    "nothing read": (scored(lambda: np.zeros(4)), "no column"),
    "no access": (scored(lambda n_tokens: n_tokens * 1.0, attack=Access.NONE), "no access"),
}


@pytest.mark.parametrize("case", BROKEN_SCORES)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_broken_score_is_caught(case):
    found, said = BROKEN_SCORES[case]
    with pytest.raises(AssertionError, match=said):
        contracts.check_score(found)


def test_a_metric_that_does_not_say_how_to_read_it_is_caught():
    told = {"question": "How long is it?", "retrained": "the same"}
    for lacking, said in (("question", "which question"), ("retrained", "retrained model")):
        some = {name: text for name, text in told.items() if name != lacking}
        with pytest.raises(AssertionError, match=said):
            contracts.check_score(scored(lambda n_tokens: n_tokens * 1.0, **some))
        with pytest.raises(AssertionError, match=said):
            contracts.check_statistic(
                statistic(KEY, better="lower", **some)(lambda scores: float(np.mean(scores[KEY])))
            )
    contracts.check_score(scored(lambda n_tokens: n_tokens * 1.0, **told))


def test_only_a_partial_score_may_lack_values():
    told = {"question": "Is it long?", "retrained": "the same"}

    def long(n_tokens):
        return np.where(n_tokens > 2, 1.0, np.nan)

    contracts.check_score(scored(long, partial=True, **told))
    with pytest.raises(AssertionError, match="finite"):
        contracts.check_score(scored(long, **told))


def test_an_unknown_column_is_caught_where_the_score_is_declared():
    with pytest.raises(UnknownName, match="Did you mean 'token_logp'"):
        scored(lambda token_lopg: token_lopg)


KEY = ("model", "forget", "min_k")
MEAN_IGNORING_WEIGHTS = statistic(KEY, better="lower")(
    lambda scores, weights=None: np.mean(scores[KEY]) * (1.0 if weights is None else np.ones(len(weights[KEY])))
)
BROKEN_STATISTICS = {
    "the first item": (statistic(KEY, better="lower")(lambda scores: scores[KEY][0]), "order"),
    "weights that do not weigh": (MEAN_IGNORING_WEIGHTS, "repetitions"),
    "an unknown model": (statistic(("clone", "forget", "min_k"), better="lower")(lambda scores: 0.5), "unknown model"),
    "an unknown role": (statistic(("model", "forgot", "min_k"), better="lower")(lambda scores: 0.5), "unknown role"),
    "no score": (statistic(("model", "forget", "min_k_auc"), better="lower")(lambda scores: 0.5), "not a score"),
    "infinite": (statistic(KEY, better="lower")(lambda scores: np.inf), "finite"),
}


@pytest.mark.parametrize("case", BROKEN_STATISTICS)
@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
def test_a_broken_statistic_is_caught(case):
    found, said = BROKEN_STATISTICS[case]
    with pytest.raises(AssertionError, match=said):
        contracts.check_statistic(found)


class Guess:
    """An attack that is whole; the broken ones below each spoil one thing.

    Question: what is guessed? Good: a half, which a retrained model gets too.
    """

    access = Access.WEIGHTS

    def digest(self) -> str:
        return digest("guess")

    def run(self, oracle, probes, *, seed):
        oracle.require(self.access, "guessing")
        return [{"record_id": e.record_id, "subject": e.subject, "outcome": 0.5} for e in probes]


class Undeclared(Guess):
    access = None


class WithoutDigest(Guess):
    digest = None


class Careless(Guess):
    def run(self, oracle, probes, *, seed):
        return [{"record_id": e.record_id, "subject": e.subject, "outcome": 0.5} for e in probes]


class Vandal(Guess):
    def run(self, oracle, probes, *, seed):
        rows = super().run(oracle, probes, seed=seed)
        next(oracle.target.model.parameters()).data.mul_(1.5)
        return rows


class Stranger(Guess):
    def run(self, oracle, probes, *, seed):
        return [*super().run(oracle, probes, seed=seed), {"record_id": "nobody", "subject": "", "outcome": 0.0}]


class Whim(Guess):
    calls = 0

    def run(self, oracle, probes, *, seed):
        self.calls += 1
        return [{**row, "outcome": self.calls / 9} for row in super().run(oracle, probes, seed=seed)]


class Silent(Guess):
    def run(self, oracle, probes, *, seed):
        return [{**row, "outcome": float("nan")} for row in super().run(oracle, probes, seed=seed)]


class Mute(Guess):
    """An attack that asks nothing."""


class Undirected(Guess):
    """Question: what is guessed?"""


class Unmatched(Guess):
    """Question: what is guessed? Good: a half."""


BROKEN_ATTACKS = {
    Mute: "what it asks",
    Undirected: "which outcome is good",
    Unmatched: "what a retrained model gets",
    Undeclared: "declares no access",
    WithoutDigest: "no digest",
    Careless: "without WEIGHTS",
    Vandal: "changed the model",
    Stranger: "not probed",
    Whim: "same seed",
    Silent: "subject or outcome",
}


def test_a_whole_attack_passes():
    contracts.check_attack(Guess())


@pytest.mark.parametrize("attack", BROKEN_ATTACKS)
def test_a_broken_attack_is_caught(attack):
    with pytest.raises(AssertionError, match=BROKEN_ATTACKS[attack]):
        contracts.check_attack(attack())


@dataclass(frozen=True)
class Nothing:
    """A method that is whole and does nothing; the broken ones below each spoil one thing."""

    name: str = "nothing"
    version: str = "1"
    strength: float = 0.5
    steered: tuple[Any, ...] = (Control("sam"),)
    betas: tuple[float, ...] = (0.9, 0.98)
    needs = Plain
    claim = Empirical("research-tofu")

    def digest(self) -> str:
        return digest([self.name, self.version, self.strength, self.steered, self.betas])

    def unlearn(self, target, selection, *, seed, workdir=None):
        require_kind(self.name, ("causal_lm",), target)


class Forgetful(Nothing):
    def digest(self) -> str:
        return digest([self.name, self.version])


class Unsteered(Nothing):
    def digest(self) -> str:
        return digest([self.name, self.version, self.strength, self.betas])


class Betaless(Nothing):
    def digest(self) -> str:
        return digest([self.name, self.version, self.strength, self.steered])


class Drifting(Nothing):
    def digest(self) -> str:
        return digest([self.name, self.version, self.strength, self.steered, self.betas, id(self)])


class Greedy(Nothing):
    def unlearn(self, target, selection, *, seed, workdir=None):
        target.model.zero_grad()


class Lax(Nothing):
    def unlearn(self, target, selection, *, seed, workdir=None):
        return None


class Boastful(Nothing):
    claim = "everything is gone"


@dataclass
class Loose(Nothing.__mro__[-1]):
    name: str = "loose"
    version: str = "1"
    needs = Plain
    claim = Empirical("research-tofu")

    def digest(self) -> str:
        return digest([self.name, self.version])


BROKEN_METHODS = {
    Forgetful: "does not cover strength",
    Unsteered: "does not cover steered",
    Betaless: "does not cover betas",
    Drifting: "other digests",
    Greedy: "used 'model'",
    Lax: "any kind",
    Boastful: "no guarantee",
    Loose: "frozen",
}


def test_a_whole_method_passes():
    contracts.check_method(Nothing())


@pytest.mark.parametrize("method", BROKEN_METHODS)
def test_a_broken_method_is_caught(method):
    with pytest.raises(AssertionError, match=BROKEN_METHODS[method]):
        contracts.check_method(method())


def test_a_method_that_changes_its_target_is_caught():
    class Vandal(Nothing):
        def unlearn(self, target, selection, *, seed, workdir=None):
            require_kind(self.name, ("causal_lm",), target)
            next(target.model.parameters()).data.mul_(1.5)
            from expunge.core.outcome import Outcome

            return Outcome(target, target.digest(), "x/1", self.digest(), self.claim, selection, target, seed)

    with pytest.raises(AssertionError, match="changed the target"):
        contracts.check_method(Vandal(), target=toy_model())


def bare(*, level):
    return level


BROKEN_CONTROLS = {
    "neither a value nor a control": (bare, "no StepControl"),
    "a positional setting": (lambda context, level: level, "keyword-only"),
    "a context that is not first": (lambda level, context: level, "keyword-only"),
    "no number": (lambda context: float("nan"), "nan"),
    "a new value each time": (lambda context, *, seen=[]: seen.append(1) or len(seen), "another value"),
}


@pytest.mark.parametrize("case", BROKEN_CONTROLS)
def test_a_broken_control_is_caught(case):
    control, said = BROKEN_CONTROLS[case]
    with pytest.raises(AssertionError, match=said):
        contracts.check_control(control)


def answered(forget, answer):
    return Examples(dataclasses.replace(e, alternative_answer=answer(e)) for e in forget)


def moving(target, forget, *, retain, seed):
    next(target.model.parameters()).data.mul_(1.5)
    return forget


BROKEN_ALTERNATIVES = {
    "a record is lost": (lambda target, forget, *, retain, seed: forget[1:], "other records"),
    "a list": (lambda target, forget, *, retain, seed: list(forget), "not Examples"),
    "the truth": (lambda target, forget, *, retain, seed: answered(forget, lambda e: e.answer.upper()), "true answer"),
    "no answer": (lambda target, forget, *, retain, seed: answered(forget, lambda e: " "), "has no other answer"),
    "another question": (
        lambda target, forget, *, retain, seed: Examples(dataclasses.replace(e, question="Why?") for e in forget),
        "more than the answer",
    ),
    "the next record's": (
        lambda target, forget, *, retain, seed: answered(forget, lambda e: f"After {forget.ids[0]}."),
        "order of the records",
    ),
    "the first record's": (
        lambda target, forget, *, retain, seed: answered(forget, lambda e: f"Like {min(forget.ids)}."),
        "depends on the other records",
    ),
    "another time, another answer": (
        lambda target, forget, *, retain, seed, seen=[]: answered(forget, lambda e: str(seen.append(1) or len(seen))),
        "same seed",
    ),
    "a changed model": (moving, "changes the model"),
}


@pytest.mark.parametrize("case", BROKEN_ALTERNATIVES)
def test_a_broken_source_of_answers_is_caught(case):
    source, said = BROKEN_ALTERNATIVES[case]
    with pytest.raises(AssertionError, match=said):
        contracts.check_alternative(source)


WHOLE = Policy("mine", "1", (Criterion("min_k_auc", 0.1, ("LOGPROBS",), "Can they be told apart?"),), utility_floor=0.9)
BROKEN_POLICIES = {
    "no attack": ({"criteria": ()}, "no attack"),
    "an attack twice": ({"criteria": WHOLE.criteria * 2}, "twice"),
    "no floor": ({"utility_floor": 0.0}, "floor"),
    "a level of 0": ({"level": 0.0}, "level"),
    "no positive control": ({"positive_control": 0.0}, "below its own margin"),
    "a margin of 0": ({"criteria": (Criterion("min_k_auc", 0.0, ("LOGPROBS",), "?"),)}, "margin"),
    "no question": ({"criteria": (Criterion("min_k_auc", 0.1, ("LOGPROBS",)),)}, "does not say what"),
    "unknown access": ({"criteria": (Criterion("min_k_auc", 0.1, ("LOGPROB",), "?"),)}, "unknown access"),
}


@pytest.mark.parametrize("case", BROKEN_POLICIES)
def test_a_broken_policy_is_caught(case):
    changes, said = BROKEN_POLICIES[case]
    contracts.check_policy(WHOLE)
    with pytest.raises(AssertionError, match=said):
        contracts.check_policy(dataclasses.replace(WHOLE, **changes))


def test_a_policy_with_an_unknown_attack_is_caught():
    with pytest.raises(Unmeasured, match="no_such_attack"):
        contracts.check_policy(dataclasses.replace(WHOLE, criteria=(Criterion("no_such_attack", 0.1, ("TEXT",), "?"),)))
