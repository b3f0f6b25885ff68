"""Deletions under a noisy plan: what is published stays within what is proven, and the proof's numbers come to it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.recount import recount, recounted
from expunge.accounting.shifted import rho_epsilon
from expunge.core.access import Access
from expunge.core.canonical import digest_folder
from expunge.core.earning import earn
from expunge.core.errors import ClaimError, ConfigError, RequestError, StoreError, TargetError
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Unproven
from expunge.core.provenance import Convex
from expunge.core.registry import accountants, methods, recipes
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.methods.certified.langevin import retained_of
from expunge.targets.noisy.descending import descend
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import System
from expunge.targets.noisy.target import Published, class_places, load_noisy

ROWS = 120
RNG = np.random.default_rng(3)
X = RNG.normal(size=(ROWS, 3))
LABELS = {2: (X[:, 0] > 0).astype(int), 3: (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)}
IDS = [f"r{i}" for i in range(ROWS)]
LOSS = Logistic(penalty=0.1, radius=4.0)
SCALE = float(np.linalg.norm(X, axis=1).max())
OWN = {"descent_to_delete": {"steps": 8}, "one_shot_removal": {"most": 4}, "langevin": {"most": 4, "bound": "derived"}}
NAMES = sorted(OWN)
UNFIT = {
    "descent_to_delete": ({"steps": 10**8}, ConfigError, "100000 are the most"),
    "one_shot_removal": ({"requests": 0}, ConfigError, "requests is 0"),
    "langevin": ({"more": 10**8}, ConfigError, "100000 are the most"),
}


def table(classes=2):
    return Table(IDS, X, LABELS[classes])


def made(name, **more):
    return recipes.get(name)(**{"loss": LOSS, "epsilon": 1.0, "delta": 1e-3, "scale": SCALE, **OWN[name], **more})


def forget(target, *ids, store=None, **settings):
    method = methods.get(target.setup.mechanism)
    chosen = replace(method, **settings) if settings else method
    return chosen.unlearn(target, Selection(forget=(store or table()).get(ids)), seed=0)


def asked(*ids):
    return Selection(forget=table().get(ids))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_two_requests_earn_their_claims_and_whoever_has_the_numbers_comes_to_them(name, classes):
    store = table(classes)
    target = made(name).train(store, seed=4)
    before, weights = target.digest(), target.weights.copy()
    for units, gone in enumerate(("r7", "r2"), 1):
        outcome = methods.get(name).unlearn(target, Selection(forget=store.get([gone])), seed=0)
        proof, after = outcome.proof, outcome.target
        assert 0 < proof.epsilon <= 1 + 1e-9 and recount(proof) == proof.epsilon and proof.delta == 1e-3
        assert outcome.claim == Certified(proof.epsilon, 1e-3, "oblivious") and proof.units == units == after.units
        assert earn(outcome.claim, evidence=[proof], before=outcome.before, after=after.digest()) == outcome.claim
        assert gone not in after.ids and len(after.ids) == ROWS - units and after.digest() != outcome.before
        assert after.requests == units and isinstance(after.provenance, Convex)
        target = after
    # Of ten requests of one row each eight are left.
    assert proof.valid_until == (10 if name == "descent_to_delete" else 4)
    assert set(outcome.left) == (set() if name == "langevin" else {"unpublished.safetensors"})
    first = made(name, randomness="seed").train(store, seed=4)
    assert before != target.digest() and (weights != first.weights).any(), "secret noise does not follow from the seed"


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_was_changed_is_noticed(name):
    proof = forget(made(name).train(table(), seed=4), "r7").proof
    assert recounted(proof) == ""
    assert "come to" in recounted(replace(proof, epsilon=proof.epsilon / 2))
    numbers, weaker = (
        dict(proof.numbers),
        {"sigma": 0.5, "temperature": 0.5, "lipschitz": 2.0, "row_bound": 2.0, "heads": 3},
    )
    changed = [key for key in weaker if key in numbers]
    assert len(changed) == 3
    for key in changed:
        worse = repr(weaker[key] * type(weaker[key])(numbers[key]))
        assert "come to" in recounted(replace(proof, numbers=tuple({**numbers, key: worse}.items())))
    with pytest.raises(ClaimError, match="cannot read the numbers"):
        recount(replace(proof, numbers=proof.numbers[1:]))
    broken = {"descent_to_delete": ("units", "61"), "one_shot_removal": ("units", "61"), "langevin": ("lr", "99.0")}[
        name
    ]
    with pytest.raises(ClaimError, match="cannot read the numbers"):
        recount(replace(proof, numbers=tuple({**dict(proof.numbers), broken[0]: broken[1]}.items())))


@pytest.mark.parametrize("name", NAMES)
def test_another_artefact_or_a_spent_budget_earns_nothing(name):
    outcome = forget(made(name).train(table(), seed=4), "r7")
    ends = {"before": outcome.before, "after": outcome.target.digest()}
    spent = replace(outcome.proof, units=outcome.proof.valid_until + 1)
    for proof in (replace(outcome.proof, after=outcome.before), spent):
        assert isinstance(earn(outcome.claim, evidence=[proof], **ends), Unproven)


@pytest.mark.parametrize("bound", ["paper", "derived"])
@pytest.mark.parametrize(("name", "kept"), [("descent_to_delete", "iterate"), ("one_shot_removal", "weights")])
def test_before_the_noise_unlearned_and_retrained_are_as_close_as_is_proven(name, kept, bound):
    recipe, store = made(name, bound=bound), table(3)
    target = recipe.train(store, seed=4)
    for gone in ("r7", "r2", "r9"):
        target = methods.get(name).unlearn(target, Selection(forget=store.get([gone])), seed=0).target
    again = recipe.pinned(store, seed=0).train(store.without(["r2", "r7", "r9"]), seed=4)
    plan = target.setup.plan
    assert again.setup == target.setup and again.absent == target.units == 3 and again.units == target.absent == 0
    shift = plan.sensitivity if name == "descent_to_delete" else plan.sensitivity(3)
    unlearned = target.secret[kept]
    if name == "one_shot_removal":
        curvature = target.secret["curvature"] / len(target.ids) + LOSS.penalty * np.eye(3)
        unlearned = unlearned + np.linalg.solve(curvature, target.secret["pull"][..., None])[..., 0] / len(target.ids)
    assert np.linalg.norm(unlearned - again.secret[kept]) <= shift
    untouched = made(name, bound=bound).train(store, seed=4).secret[kept]
    assert np.linalg.norm(untouched - again.secret[kept]) > 3 * np.linalg.norm(unlearned - again.secret[kept])


@settings(max_examples=15)
@given(st.permutations(["r1", "r2", "r3", "r4"]), st.lists(st.booleans(), min_size=3, max_size=3))
def test_neither_order_nor_grouping_of_requests_changes_what_one_shot_keeps(order, cuts):
    target = made("one_shot_removal").train(table(), seed=4)
    at_once = forget(target, "r1", "r2", "r3", "r4")
    groups = [[order[0]]]
    for name, cut in zip(order[1:], cuts, strict=True):
        groups = [*groups, [name]] if cut else [*groups[:-1], [*groups[-1], name]]
    for group in groups:
        outcome = forget(target, *group)
        target = outcome.target
    numbers, published = (dict(one.proof.numbers) for one in (outcome, at_once)), str(len(groups))
    assert next(numbers) == {**next(numbers), "publications": published}
    assert outcome.proof.epsilon >= at_once.proof.epsilon
    for name, array in at_once.target.secret.items():
        np.testing.assert_allclose(target.secret[name], array, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_requests_changes_no_number_of_the_proof(name):
    found = []
    for order in (("r1", "r2", "r3"), ("r3", "r1", "r2")):
        target = made(name, salt="5a").train(table(), seed=4)
        for gone in order:
            outcome = forget(target, gone)
            target = outcome.target
        found.append(outcome)
    assert found[0].proof == replace(found[1].proof, after=found[0].proof.after)
    assert found[0].target.ids == found[1].target.ids and found[0].target.salt != "5a"
    if name == "descent_to_delete":
        one, other = (outcome.target.secret["iterate"] for outcome in found)
        assert np.linalg.norm(one - other) <= found[0].target.setup.plan.sensitivity


@pytest.mark.parametrize("name", NAMES)
def test_records_that_it_does_not_hold_cost_nothing(name):
    target = made(name, rows=ROWS).train(table().without(["r1", "r2"]), seed=4)
    outcome = forget(target, "r1")
    assert outcome.claim.epsilon == 0 and outcome.target.digest() == target.digest() and outcome.left == {}
    then = forget(target, "r1", "r5")
    assert then.proof.units == then.target.units == 1 and then.target.absent == 2 and then.proof.epsilon > 0


@pytest.mark.parametrize("name", NAMES)
def test_beyond_the_budget_a_request_is_refused_and_the_target_stays(name):
    target = made(name).train(table(), seed=4)
    if name == "descent_to_delete":
        with pytest.raises(RequestError, match="the plan covers 1"):
            forget(target, "r1", "r2")
        target = made(name, per_request=ROWS // 2).train(table(), seed=4)
        target = forget(target, *IDS[: ROWS // 2]).target
    else:
        target = forget(target, *IDS[:3]).target
        with pytest.raises(RequestError, match="the budget is spent"):
            methods.get(name).check(target, asked("r8", "r9"), seed=0)
        target = forget(target, "r9").target
    before = target.digest()
    with pytest.raises(RequestError, match="the budget is spent"):
        forget(target, "r100")
    assert target.digest() == before


@pytest.mark.parametrize("name", NAMES)
def test_noise_that_follows_from_a_seed_repeats_and_earns_nothing(name):
    recipe = made(name, randomness="seed", salt="5a")
    target, again = recipe.train(table(), seed=4), recipe.train(table().rows(IDS[::-1]), seed=4)
    assert target.digest() == again.digest() != recipe.train(table(), seed=5).digest()
    assert recipe.repeats and not made(name).repeats
    for act in (lambda: forget(target, "r1"), lambda: methods.get(name).prove(target)):
        with pytest.raises(ClaimError, match="follows from its seed"):
            act()


def test_the_state_of_another_mechanism_is_refused():
    target = made("langevin").train(table(), seed=4)
    with pytest.raises(ClaimError, match="the recipe one_shot_removal trained"):
        methods.get("one_shot_removal").unlearn(target, asked("r1"), seed=0)
    other = SimpleNamespace(kind="classifier", provenance=Convex("newton", 1.0, 1.0))
    with pytest.raises(ClaimError, match="the recipe langevin trained"):
        methods.get("langevin").unlearn(other, asked("r1"), seed=0)
    with pytest.raises(ClaimError, match="works on classifier"):
        methods.get("langevin").unlearn(SimpleNamespace(kind="causal_lm"), asked("r1"), seed=0)


def test_another_row_under_the_same_id_is_refused():
    target = made("langevin").train(table(), seed=4)
    moved, turned = X + (np.arange(ROWS) == 1)[:, None], np.where(np.arange(ROWS) == 1, 1 - LABELS[2], LABELS[2])
    for other in (Table(IDS, moved, LABELS[2]), Table(IDS, X, turned)):
        with pytest.raises(StoreError, match="'r1' is not what was trained on"):
            methods.get("langevin").unlearn(target, Selection(forget=other.get(["r1"])), seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_the_target_back_and_a_changed_one_is_refused(name, tmp_path):
    outcome = forget(made(name, salt="5a", randomness="secure").train(table(3), seed=4), "r40", store=table(3))
    target = outcome.target
    target.save(tmp_path / "model")
    found = load_noisy(tmp_path / "model")
    assert methods.get(name).prove(found) == outcome.proof, "certify derives it again"
    assert found.digest() == target.digest() and found.setup == target.setup
    assert (found.predict(X) == target.predict(X)).all()
    assert forget(found, "r41", store=table(3)).proof.units == 2
    for left in outcome.left:
        assert (tmp_path / "model" / left).is_file()
    card = tmp_path / "model" / "target.json"
    text = card.read_text()
    for old, new in (('"delta": 0.001', '"delta": 1e-09'), ('"mechanism": "', '"mechanism": "un'), ("{", "[")):
        assert old in text
        card.write_text(text.replace(old, new, 1))
        with pytest.raises((TargetError, StoreError)):
            load_noisy(tmp_path / "model")
    card.write_text(text)
    before = digest_folder(tmp_path / "model")
    rows = tmp_path / "model" / "rows.safetensors"
    rows.write_bytes(rows.read_bytes()[:-8] + b"\1" * 8)
    assert digest_folder(tmp_path / "model") != before
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_noisy(tmp_path / "model")


@pytest.mark.parametrize("name", NAMES)
def test_what_others_are_given_is_the_published_weights_alone(name):
    target = made(name).train(table(3), seed=4)
    oracle = target.oracle(Access.all())
    assert isinstance(oracle.target, Published) and oracle.access == Access.WEIGHTS
    assert vars(oracle.target).keys() == {"weights", "classes", "scale"}
    assert all(not np.allclose(target.weights, kept, atol=1e-12) for kept in target.secret.values() if kept.ndim == 2)


def test_without_a_secret_nothing_is_left_and_a_request_takes_more_steps():
    target = made("descent_to_delete", secret=False).train(table(), seed=4)
    outcome = forget(target, "r1")
    assert not target.secret and outcome.left == {} and dict(outcome.proof.numbers)["secret"] == "no"
    plan = target.setup.plan
    assert outcome.cost.steps == plan.request_steps(1, 3) > plan.steps
    assert outcome.proof.epsilon <= 1 + 1e-9


def test_langevin_takes_the_fewest_steps_that_keep_the_promise_and_says_what_retained_rows_have():
    target = made("langevin", more=12).train(table(), seed=4)
    outcome = forget(target, "r1", "r2", "r3", "r4")
    plan = outcome.target.setup.plan
    assert plan.steps[-1] == 12 and plan.removed == (4,)
    assert replace(plan, steps=(*plan.steps[:-1], 11)).epsilon(1e-3) > 1 >= plan.epsilon(1e-3) - 1e-9
    assert forget(target, "r1", least=50).cost.steps == 50
    assert outcome.proof.retained.startswith("not protected: all 2 models")
    hot = made("langevin", more=1, bound="paper").train(table(), seed=4)
    assert forget(hot, "r1").proof.retained.startswith("protected: all 2 models published so far are together (")


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_refused_before_training(name):
    for store, more, error, message in (
        (table(), {"scale": 0.1}, StoreError, "above 1"),
        (table(), {"scale": 0.0}, ConfigError, "scale"),
        (table(), {"epsilon": 0.0}, ConfigError, "epsilon is 0.0. it has to be a finite number above 0"),
        (table(), {"epsilon": -1.0}, ConfigError, "above 0"),
        (table(), *UNFIT[name]),
        (table(), {"classes": (0, 7)}, StoreError, "none of the classes 0, 7"),
        (table(), {"rows": ROWS - 1}, ConfigError, "the plan holds for"),
        (table(), {"rows": 1000}, ConfigError, "the plan holds for"),
        (Table(IDS, X), {}, ConfigError, "one label each"),
        (Table(IDS, X, np.zeros(ROWS)), {}, ConfigError, "all of one class"),
        (table(), {"loss": Logistic(penalty=0.0, radius=1.0)}, ConfigError, "convexity"),
    ):
        with pytest.raises(error, match=message):
            made(name, **more).check(store, seed=0)
    assert made(name, scale=0.1, loss=replace(LOSS, beyond="clip")).check(table(), seed=0) is None


def test_noise_of_the_operating_system_is_normal():
    drawn = System().standard_normal((4, 25_000))
    n = drawn.size
    for power, expected, spread in ((1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0)):
        assert abs((drawn**power).mean() - expected) < 7 * np.sqrt(spread / n)
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 7 / np.sqrt(25_000)


def test_labels_are_told_apart_by_value():
    assert class_places((0.0, 1.0), ["1", 0]).tolist() == [1, 0]
    assert class_places(("b", "a"), ["a", "b"]).tolist() == [1, 0]
    with pytest.raises(StoreError, match="none of the classes"):
        class_places((0, 1), ["x"])


@settings(max_examples=20)
@given(units=st.integers(1, 10), more=st.integers(0, 10), sigma=st.floats(1e-3, 1), factor=st.floats(1, 4))
def test_epsilon_is_monotone_in_rows_and_noise(units, more, sigma, factor):
    fixed = {"strong": "0.1", "lipschitz": "1.4", "hessian_lipschitz": "0.1", "rows": "100", "tolerance": "1e-10"}
    fixed |= {"bound": "derived", "heads": "2"}

    def epsilon(units, sigma, publications=1, absent=0):
        told = {"units": units, "sigma": sigma, "publications": publications, "absent": absent}
        numbers = tuple({**fixed, **{name: repr(value) for name, value in told.items()}}.items())
        return recount(Proof("one_shot_removal", ("...",), numbers, delta=1e-3))

    assert epsilon(units, sigma * factor) <= epsilon(units, sigma) <= epsilon(units + more, sigma)
    assert epsilon(units, sigma) < epsilon(units, sigma, 2) == pytest.approx(epsilon(units, sigma / 2**0.5))
    assert epsilon(units, sigma, 1, more) == epsilon(units + more, sigma)
    with pytest.raises(ClaimError, match="cannot read the numbers"):
        epsilon(units, sigma, 0)


@pytest.mark.parametrize("name", ["descent_to_delete", "one_shot_removal"])
def test_epsilon_is_of_all_models_of_a_line_and_is_spent_with_the_requests(name):
    target, stated = made(name, requests=3).train(table(), seed=4), []
    for gone in ("r1", "r2", "r3"):
        outcome = forget(target, gone)
        stated, target = [*stated, outcome.proof.epsilon], outcome.target
        assert recounted(outcome.proof) == ""
        assert f"its numbers come to {stated[-1]:.3g}"[:-1] in recounted(replace(outcome.proof, epsilon=stated[-1] / 2))
    assert stated[0] < stated[1] < stated[2] <= 1 + 1e-9
    assert stated[2] > 0.999 or name == "one_shot_removal", "whose noise is for four rows"
    plan, shift = target.setup.plan, target.setup.plan.sensitivity
    alone = shift if name == "descent_to_delete" else shift(3)
    together = gaussian_epsilon(plan.delta, sigma=plan.sigma, sensitivity=np.sqrt(3) * alone)
    assert stated[2] == pytest.approx(together) and outcome.proof.valid_until == 3
    assert any("no second result" in line for line in outcome.proof.assumptions)
    before = target.digest()
    with pytest.raises(RequestError, match="after 3 requests, all together"):
        forget(target, "r4")
    assert target.digest() == before
    fewer = {**dict(outcome.proof.numbers), "publications": "1"}
    if name == "descent_to_delete":  # three rows cannot have gone in one request of one row
        with pytest.raises(ClaimError, match="cannot read the numbers"):
            recount(replace(outcome.proof, numbers=tuple(fewer.items())))


def test_langevin_binds_its_units_to_the_rows_that_its_steps_answered_for():
    proof = forget(made("langevin").train(table(), seed=4), "r7", "r8").proof
    assert dict(proof.numbers)["units"] == "2"
    more = tuple({**dict(proof.numbers), "units": "3"}.items())
    with pytest.raises(ClaimError, match="cannot read the numbers"):
        recounted(replace(proof, numbers=more, units=3))
    assert "speaks of 3 units" in recounted(replace(proof, units=3))
    steps = tuple({**dict(proof.numbers), "steps": "200 100000000000"}.items())
    with pytest.raises(ClaimError, match="cannot read the numbers"):
        recount(replace(proof, numbers=steps))


def test_langevin_finds_many_steps_without_counting_each():
    target = made("langevin", more=3000, steps=50, loss=Logistic(penalty=0.001, radius=4.0)).train(table(), seed=4)
    plan = forget(target, "r1", "r2", "r3", "r4").target.setup.plan
    last = plan.steps[-1]
    fewer = replace(plan, steps=(50, last - 1))
    assert 100 < last <= 3000 and plan.epsilon(1e-3) <= 1 < fewer.epsilon(1e-3)


@pytest.mark.parametrize(
    ("low", "high", "words"), [(1.0, 2.0, "protected"), (2.0, 10.0, "all 2"), (10.0, 1e6, "not p")]
)
def test_a_row_that_stays_is_called_protected_only_where_its_epsilon_is_small(low, high, words):
    target = made("langevin", bound="derived").train(table(), seed=4)
    outcome = forget(target, "r1")
    plan, at = outcome.target.setup.plan, np.sqrt(low * high)
    while rho_epsilon(plan.retained_rho, 1e-3) > at:
        plan = replace(plan, temperature=plan.temperature * 1.05)
    while rho_epsilon(plan.retained_rho, 1e-3) < at:
        plan = replace(plan, temperature=plan.temperature / 1.05)
    model = replace(outcome.target, setup=replace(outcome.target.setup, plan=plan))
    assert retained_of(model).startswith(words)


@pytest.mark.parametrize("steps", [330, 400, 100_000])
def test_where_steps_leave_nothing_else_training_still_runs_to_what_rounding_leaves(steps):
    loss = Logistic(penalty=1.0, radius=1.2)
    target = made("descent_to_delete", steps=steps, loss=loss).train(table(), seed=4)
    plan = target.setup.plan
    optimum = descend(loss, np.zeros(3), target.scaled(), target.signs()[0], 500)
    assert plan.first_steps(np.zeros(3)) > 5 and 0 < plan.steady < 1e-10
    assert np.linalg.norm(target.secret["iterate"][0] - optimum) <= plan.sensitivity < 1e-10


def test_a_long_row_is_named_by_its_record():
    long = X + 40 * (np.arange(ROWS) == 73)[:, None]
    for act in (
        lambda: made("langevin").check(Table(IDS, long, LABELS[2]), seed=0),
        lambda: made("langevin").train(Table(IDS, long, LABELS[2]), seed=0),
    ):
        with pytest.raises(StoreError, match=r"record 'r73' has norm .*, above 1"):
            act()


def test_the_registries_know_them():
    for name in NAMES:
        assert name in methods.names() and name in recipes.names() and name in accountants.names()
