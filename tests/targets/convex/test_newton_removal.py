"""Newton removal: golden values, invariances of requests, the budget, and what is refused."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from expunge.accounting.objective import multiple
from expunge.core.errors import ConfigError, StoreError, TargetError
from expunge.core.guarantee import Unproven
from expunge.targets.convex.budget import Ledger, budget, noise_for
from expunge.targets.convex.head import trained
from expunge.targets.convex.losses import logistic
from expunge.targets.convex.model import ConvexModel
from expunge.targets.convex.objective import Objective
from expunge.targets.learners._rows import Numbers, rows_of

LOSSES = ("logistic", "one_vs_rest", "multinomial", "squared")
N, D = 240, 4


def unit(rng, n, d):
    X = rng.standard_normal((n, d))
    return X / np.maximum(1.0, np.linalg.norm(X, axis=1, keepdims=True))


def made(loss="logistic", *, n=N, **settings):
    rng = np.random.default_rng(7)
    X = unit(rng, n, D)
    z = X @ rng.standard_normal((D, 3)) + 0.3 * rng.standard_normal((n, 3))
    y = {"logistic": z[:, 0] > 0, "squared": z[:, 0]}.get(loss, z.argmax(axis=1))
    return ConvexModel(loss=loss, **{"lam": 0.02, "sigma": 20.0, "epsilon": 0.9} | settings).fit(X, y), X, y


def refit(model, X, y, gone):
    """The minimiser on the rows that stay with the model's noise, by a general optimiser's own road."""
    kept = [i for i in range(len(X)) if str(i) not in gone]
    heads = []
    for head in model._heads:
        y_kept = np.concatenate([p.block.y for p in head.objective.rows.parts])
        rows = rows_of(Numbers(len(kept)), X[kept], y_kept[kept])
        heads.append(trained(replace(head.objective, rows=rows), head.ledger.budget).W)
    return np.concatenate(heads, axis=1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_polished_removal_is_within_1e_6_of_a_refit(loss):
    model, X, y = made(loss, polish=6, certify_on="bound")
    gone = [str(i) for i in range(0, 60, 3)]
    after = model.unlearn(gone)
    assert after.requests_[0].retrained == ""
    assert np.abs(after.coef_ - refit(model, X, y, gone)).max() < 1e-6
    assert np.abs(model.coef_ - after.coef_).max() > 1e-3


def test_the_loss_of_squares_leaves_no_residual_without_polish():
    model, X, y = made("squared")
    gone = [str(i) for i in range(50)]
    after = model.unlearn(gone)
    np.testing.assert_allclose(after.coef_, refit(model, X, y, gone), atol=1e-12)
    assert after.ledgers_[0].bound == after.ledgers_[0].worst == 0.0


def test_golden_values_of_ten_removals(shared):
    folder = shared / "golden" / "classical" / "certified_removal"
    expected, arrays = json.loads((folder / "expected.json").read_text())["small"], np.load(folder / "small.npz")
    X, b = arrays["X"].astype(float), arrays["b"].astype(float)[:, None]
    assert np.linalg.norm(X, axis=1).max() <= 1 + 1e-6
    objective = Objective(logistic, rows_of(Numbers(len(X)), X, (arrays["y"] > 0).astype(int)), expected["lam"], b, 1)
    head = trained(objective, 10.0)
    np.testing.assert_allclose(head.W[:, 0], arrays["w_trained"], atol=2e-5)
    rows = objective.rows
    for row in expected["rows"]:
        found = rows.find([str(row["removed_index"])])
        rows = rows.without(found)
        gone, kept = objective.rows.take(objective.rows.find([str(row["removed_index"])]))
        step = head.centred()
        after = step.removed(replace(objective, rows=rows), gone, objective.targets(kept), 9.0)
        here = after.ledger.bound - head.ledger.bound
        assert here == pytest.approx(row["grad_norm_bound_exact_spectral"], rel=2e-3)
        assert np.linalg.norm(after.W - head.W) == pytest.approx(row["delta_norm"], rel=1e-3)
        assert np.linalg.norm(after.residual()) == pytest.approx(row["true_residual_norm_fp64"], abs=3e-5)
        np.testing.assert_allclose(after.W[:, 0], row["w_after"], atol=3e-5)
        head = after
    assert head.ledger.bound == pytest.approx(
        sum(r["grad_norm_bound_exact_spectral"] for r in expected["rows"]), rel=1e-3
    )
    np.testing.assert_allclose(head.polished(3).W[:, 0], arrays["w_retrained"], atol=5e-5)


def test_one_against_the_rest_keeps_one_budget_a_head_and_takes_a_row_out_of_xx_once():
    model, X, _ = made("one_vs_rest")
    after = model.unlearn(["5"])
    classes = len(model.classes_)
    kept = np.delete(X, 5, axis=0)
    for head in after._heads:
        np.testing.assert_allclose(head.gram, kept.T @ kept, atol=1e-12)
        assert head.ledger.budget == budget(20.0, 0.9 / classes, 1e-4 / classes) < budget(20.0, 0.9, 1e-4)
    peer = X.T @ X - classes * np.outer(X[5], X[5])  # as the peer has it: once for each head
    assert np.linalg.eigvalsh(peer)[-1] < np.linalg.eigvalsh(after._heads[0].gram)[-1]
    assert len({b.tobytes() for b in model.noise_}) == classes


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=8)
@given(order=st.permutations(range(12)), cuts=st.sets(st.integers(1, 11)))
def test_order_and_batches_of_deletions_change_no_more_than_the_residuals_allow(loss, order, cuts):
    model = made(loss, certify_on="bound")[0]
    at_once = model.unlearn([str(i) for i in range(12)])
    by_parts = model
    for one, two in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        by_parts = by_parts.unlearn([str(i) for i in order[one:two]])
    assert at_once.ids_ == by_parts.ids_
    apart = np.linalg.norm(at_once.coef_ - by_parts.coef_, axis=0)
    left = np.array([at_once.residuals(), by_parts.residuals()]).sum(0)
    if loss == "multinomial":
        apart = np.linalg.norm(apart)
    assert (apart <= left / (model.lam * (N - 12)) + 1e-12).all()


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=8)
@given(gone=st.lists(st.integers(0, N - 1), unique=True, min_size=1, max_size=40), cut=st.integers(0, 40))
def test_the_computed_residual_is_below_the_bound_and_the_bound_below_the_worst_case(loss, gone, cut):
    after = made(loss, certify_on="residual")[0]
    for ids in (gone[:cut], gone[cut:]):
        after = after.unlearn([str(i) for i in ids])
    for ledger in after.ledgers_:
        assert ledger.residual <= ledger.trained + ledger.bound + 1e-9
        if loss != "squared":
            assert ledger.bound <= ledger.worst
            theorem_4 = 4 * 0.25 * len(gone) ** 2 / (0.02**2 * (N - len(gone)))  # C = 1; without the noise
            assert ledger.worst >= theorem_4 or 0 < cut < len(gone)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("certify_on", ["worst", "bound", "residual"])
def test_deleting_nothing_costs_nothing_and_changes_no_bit(loss, certify_on):
    model = made(loss, certify_on=certify_on, n=60)[0]
    after = model.unlearn([])
    assert after is not model
    assert after.coef_.tobytes() == model.coef_.tobytes()
    assert (after.ledgers_, after.requests_, after.ids_) == (model.ledgers_, (), model.ids_)


@pytest.mark.parametrize(
    ("certify_on", "how"), [("worst", "fresh noise"), ("bound", "same noise"), ("residual", "same noise")]
)
def test_a_spent_budget_trains_again_and_says_so(certify_on, how):
    model, X, y = made(certify_on=certify_on, sigma=0.05)
    after, gone = model, []
    for i in range(0, 200, 20):
        gone += [str(j) for j in range(i, i + 20)]
        after = after.unlearn(gone[-20:])
        if after.requests_[-1].retrained:
            break
    assert after.requests_[-1].retrained == how and after.requests_[-1].spent > 1
    assert [r.retrained for r in after.requests_[:-1]] == [""] * (len(after.requests_) - 1)
    ledger = after.ledgers_[0]
    assert (ledger.requests, ledger.removed, ledger.bound, ledger.worst) == (0, 0, 0.0, 0.0)
    assert max(after.residuals()) <= ledger.tolerance
    assert (after.noise_[0] == model.noise_[0]).all() == (how == "same noise")
    if how == "same noise":
        np.testing.assert_allclose(after.coef_, refit(model, X, y, gone), atol=1e-6)
    again = after.redrawn()
    assert not (again.noise_[0] == after.noise_[0]).any() and again.ids_ == after.ids_


def test_the_residual_lasts_for_longer_than_the_bound_and_this_longer_than_the_worst_case():
    lasting = {}
    for on in ("worst", "bound", "residual"):
        after = made(certify_on=on, sigma=1.0, lam=0.05)[0]
        while not after.requests_ or not after.requests_[-1].retrained:
            after = after.unlearn(sorted(after.ids_, key=int)[:2])
        lasting[on] = len(after.requests_)
    assert lasting["worst"] < lasting["bound"] < lasting["residual"]


def test_a_row_above_norm_1_is_refused_or_clipped_as_declared():
    X, y = np.array([[0.6, 0.0], [3.0, 4.0], [0.0, 0.5]]), [0, 1, 0]
    with pytest.raises(TargetError, match="row 1 has norm 5"):
        ConvexModel().fit(X, y)
    clipped = ConvexModel(norms="clip", lam=0.1).fit(X, y)
    by_hand = ConvexModel(lam=0.1).fit([[0.6, 0.0], [0.6, 0.8], [0.0, 0.5]], y)
    assert (clipped.coef_ == by_hand.coef_).all()
    assert (clipped.scores(X) == by_hand.scores([[0.6, 0.0], [0.6, 0.8], [0.0, 0.5]])).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lam": 0.0}, "lam must be a number, above 0"),
        ({"sigma": -1.0}, "sigma must be a number, above 0"),
        ({"delta": 0.0}, "δ between 0 and 1"),
        ({"epsilon": 30.0}, "too large for δ"),
        ({"certify_on": "hope"}, "certify_on cannot be 'hope'"),
        ({"norms": "ignore"}, "norms cannot be 'ignore'"),
        ({"polish": -1}, "polish must be"),
        ({"polish": 1, "certify_on": "worst"}, "does not go with chord steps"),
        ({"secure": True}, "keyed by a seed is not secure"),
    ],
)
def test_settings_that_allow_no_certificate_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        made(n=30, **wrong)


def test_rows_and_ids_that_cannot_be_taken_change_nothing():
    model = made(n=30)[0]
    before = model.coef_.tobytes()
    for ids, said in ((["99"], "no row '99'"), (["3", "3"], "twice"), ("3", "a list")):
        with pytest.raises(StoreError, match=said):
            model.unlearn(ids)
    with pytest.raises(TargetError, match="3 classes were given"):
        model.fit([[0.1], [0.2], [0.3]], [0, 1, 2])
    assert model.coef_.tobytes() == before and len(model.ids_) == 30
    model.lam = 0.5
    with pytest.raises(ConfigError, match="changed after rows were learned"):
        model.unlearn(["3"])


def test_a_model_of_which_every_row_went_predicts_nothing():
    model = made(n=30)[0]
    with pytest.raises(TargetError, match="holds no rows"):
        model.unlearn(sorted(model.ids_)).predict([[0.0] * D])


def test_a_copy_holds_no_row_that_was_unlearned_and_forgets_on():
    model = made(n=40)[0].unlearn(["3", "8"])
    copied = copy.deepcopy(model)
    blocks = [part.block for head in copied._heads for part in head.objective.rows.parts]
    assert {name for block in blocks for name in block.ids} == model.ids_
    assert copied.coef_.tobytes() == model.coef_.tobytes()
    np.testing.assert_allclose(copied.unlearn(["5"]).coef_, model.unlearn(["5"]).coef_, atol=1e-12)


def test_a_users_tools_can_clone_it():
    model = made(n=40)[0]
    assert clone(model).fit(*made(n=40)[1:]).coef_.tobytes() == model.coef_.tobytes()


def test_noise_is_keyed_or_the_operating_systems_and_never_that_of_another_fit():
    one, two = made(n=40)[0], made(n=40)[0]
    assert (one.coef_ == two.coef_).all()
    assert (made(n=40, seed=9)[0].noise_[0] != one.noise_[0]).any()
    secure = [made(n=40, seed=None, secure=True)[0].noise_[0] for _ in range(2)]
    assert (secure[0] != secure[1]).any()
    X, y = made(n=40)[1:]
    assert (two.fit(X, y).noise_[0] != one.noise_[0]).any()


@pytest.mark.parametrize("loss", LOSSES[:3])
def test_probabilities_sum_to_one_and_agree_with_the_prediction(loss):
    model, X, y = made(loss, sigma=0.2)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (model.classes_[p.argmax(axis=1)] == model.predict(X)).all()
    assert (model.predict(X) == y).mean() > 0.75


@given(st.floats(0.05, 2.0), st.floats(1e-8, 1e-2), st.floats(0.01, 100.0))
def test_budget_and_noise_are_inverse_and_grow_with_one_another(epsilon, delta, sigma):
    limit = budget(sigma, epsilon, delta)
    assert noise_for(limit, epsilon, delta) == pytest.approx(sigma)
    assert budget(2 * sigma, epsilon, delta) == pytest.approx(2 * limit)
    assert multiple(epsilon, delta / 2) > multiple(epsilon, delta)


@pytest.mark.parametrize("certify_on", ["bound", "residual"])
def test_a_count_that_looks_at_rows_and_noise_claims_nothing(certify_on):
    claim = made("one_vs_rest", certify_on=certify_on)[0].unlearn(["1", "2"]).claim
    assert isinstance(claim, Unproven) and "decides by them" in claim.reason


def test_the_worst_case_is_the_default_and_claims_its_epsilon():
    worst = made("one_vs_rest", lam=0.5)[0].unlearn(["1", "2"])
    assert worst.certify_on == "worst" and not worst.requests_[0].retrained
    assert worst.residual == max(ledger.spent("worst") for ledger in worst.ledgers_) < worst.ledgers_[0].budget
    assert (worst.claim.epsilon, worst.claim.delta, worst.claim.adversary) == (0.9, 1e-4 + 3e-12, "oblivious")
    assert any("given the residual" in said for said in worst.assumptions())
    assert any("by a key" in said for said in worst.assumptions())


def test_classes_that_are_named_beforehand_do_not_follow_from_the_rows():
    X, y = made("one_vs_rest", n=40)[1:]
    kept = y != 2
    model = ConvexModel(loss="one_vs_rest", classes=(2, 0, 1), lam=0.05, sigma=2.0, epsilon=0.9).fit(X[kept], y[kept])
    assert model.classes_.tolist() == [0, 1, 2] and model.coef_.shape == (D, 3)
    with pytest.raises(TargetError, match="label '2' is not among the classes"):
        ConvexModel(classes=(0, 1)).fit(X, y)


def test_rows_in_half_precision_are_refused():
    X, y = made(n=30)[1:]
    with pytest.raises(TargetError, match="rows are of float16"):
        ConvexModel().fit(X.astype(np.float16), y)


def test_a_model_that_was_emptied_and_fitted_again_does_not_draw_its_first_noise_again():
    model, X, y = made(n=40)
    again = model.unlearn(sorted(model.ids_)).fit(X, y)
    assert (again.noise_[0] != model.noise_[0]).any()


def test_a_residual_that_was_not_computed_cannot_be_certified_on():
    with pytest.raises(ConfigError, match="not computed"):
        Ledger(1.0).spent("residual")
