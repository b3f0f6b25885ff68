"""Attacks by shadow models against plain second computations, and what they see where others do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from expunge.core.errors import EvidenceError
from expunge.evaluation.bootstrap import estimate
from expunge.evaluation.contrast import contrast
from expunge.metrics import (
    lira,
    lira_offline,
    logit_confidence,
    min_k_tpr_01,
    min_k_tpr_1,
    rel_diff,
    rmia,
    rmia_shadows,
    u_lira,
    u_lira_population,
    u_lira_tpr_1,
)
from expunge.metrics._resamples import rank_auc
from expunge.metrics._told_apart import hits

ROLES = ("forget", "holdout")
SIZES = {"forget": 60, "holdout": 90}


def world(rng, *, part="unlearned_shadows", models=8, gap=0.0, judged=None, spread=1.0, name="logit_confidence"):
    """Confidences of records of different ease; with a record, models are by ``gap`` higher or, every other, lower."""
    scores = {}
    for role, size in SIZES.items():
        ease = rng.normal(size=size) * 3
        sign = np.where(np.arange(size) % 2, -1.0, 1.0)
        member = np.argsort(rng.random((models, size)), axis=0) % 2.0
        scores[part, role, name] = ease + gap * sign * member + rng.normal(size=(models, size)) * spread
        scores[part, role, "member"] = member
        knows = (gap if judged is None else judged) * (role == "forget")
        scores["model", role, name] = ease + knows * sign + rng.normal(size=size) * spread
    return scores


def auc_of(values):
    return roc_auc_score(
        [1] * len(values["forget"]) + [0] * len(values["holdout"]), [*values["forget"], *values["holdout"]]
    )


@pytest.mark.parametrize("models", [8, 64])
def test_lira_is_its_definition(models):
    scores = world(np.random.default_rng(0), part="shadows", models=models, gap=1.0)
    c, member = ({r: scores["shadows", r, k] for r in ROLES} for k in ("logit_confidence", "member"))
    means, stds = {}, {}
    for side in (0, 1):
        kept = {r: np.where(member[r] == side, c[r], np.nan) for r in ROLES}
        means[side] = {r: np.nanmean(kept[r], axis=0) for r in ROLES}
        stds[side] = {r: np.nanstd(kept[r], axis=0, ddof=1) for r in ROLES}
        if models < 64:
            pooled = np.sqrt(np.mean(np.concatenate([stds[side][r] ** 2 for r in ROLES])))
            stds[side] = dict.fromkeys(ROLES, pooled)
    own = {r: scores["model", r, "logit_confidence"] for r in ROLES}
    logs = [{r: norm.logpdf(own[r], means[side][r], stds[side][r]) for r in ROLES} for side in (0, 1)]
    assert lira(scores) == pytest.approx(auc_of({r: logs[1][r] - logs[0][r] for r in ROLES}), abs=1e-12)
    offline = {r: 1 - norm.sf(own[r], means[0][r], stds[0][r]) for r in ROLES}
    assert lira_offline(scores) == pytest.approx(auc_of(offline), abs=1e-12)
    renamed = {("unlearned_shadows" if who == "shadows" else who, r, k): v for (who, r, k), v in scores.items()}
    assert u_lira(renamed) == lira(scores)
    ratios = {r: logs[1][r] - logs[0][r] for r in ROLES}
    false, true, _ = roc_curve([1] * 60 + [0] * 90, [*ratios["forget"], *ratios["holdout"]], drop_intermediate=False)
    below, above, _ = roc_curve([1] * 60 + [0] * 90, [*-ratios["forget"], *-ratios["holdout"]], drop_intermediate=False)
    assert u_lira_tpr_1(renamed) == max(true[false <= 0.01].max(), above[below <= 0.01].max())


def test_one_attacker_for_all_records_overestimates_forgetting():
    """Half of the records are left too likely, half too unlikely: 0.98 where each is attacked alone, 0.63 together."""
    each, population, plain = [], [], []
    for seed in range(20):
        scores = world(np.random.default_rng([1, seed]), gap=3.0)
        each.append(u_lira(scores))
        population.append(u_lira_population(scores))
        plain.append(rank_auc(*(scores["model", r, "logit_confidence"] for r in ROLES), np.ones(60), np.ones(90)))
    assert np.mean(each) > 0.9
    assert np.mean(population) < 0.7 and abs(np.mean(plain) - 0.5) < 0.1


def test_a_method_that_leaves_nothing_is_not_accused():
    found = [u_lira(world(np.random.default_rng([2, seed]), gap=0.0)) for seed in range(40)]
    assert abs(np.mean(found) - 0.5) < 0.02


def test_both_tails_alarm():
    """Records made far less likely than unseen ones give an AUC far below 0.5, and hits in the lower tail."""
    rng = np.random.default_rng(3)
    scores = world(rng, part="shadows", gap=0.0)
    scores["model", "forget", "logit_confidence"] = scores["model", "forget", "logit_confidence"] - 6.0
    assert lira_offline(scores) < 0.1
    low = {("model", "forget", "min_k"): rng.normal(size=50) - 9, ("model", "holdout", "min_k"): rng.normal(size=50)}
    assert min_k_tpr_1(low) == min_k_tpr_01(low) == 1.0
    never = {("reference", role, "min_k"): values for (_, role, _), values in low.items()}
    assert rel_diff({**low, **{key: np.zeros(50) for key in never}}) == -100.0


values = st.lists(st.integers(0, 6).map(lambda i: i / 4), min_size=2, max_size=12)


@given(values, values, st.sampled_from([0.001, 0.01, 0.1, 0.3]), st.randoms(use_true_random=False))
def test_hits_are_those_of_the_curve(high, low, alarms, random):
    """The point of scikit-learn's curve with the most hits among those with few enough alarms, in either direction."""
    wh, wl = ([random.randint(0, 3) for _ in part] for part in (high, low))
    wh[0], wl[0] = wh[0] + 1, wl[0] + 1
    truth = [1] * sum(wh) + [0] * sum(wl)
    best = 0.0
    for sign in (1, -1):
        drawn = sign * np.r_[np.repeat(high, wh), np.repeat(low, wl)]
        false, true, _ = roc_curve(truth, drawn, drop_intermediate=False)
        best = max(best, true[false <= alarms * (1 + 1e-12)].max())
    one = (np.array(high), np.array(low))
    assert hits(*one, np.array([wh]), np.array([wl]), alarms=alarms)[0] == pytest.approx(best)
    assert hits(*one, np.array(wh), np.array(wl), alarms=alarms) == pytest.approx(best)


def rmia_slowly(p, out, a, gamma):
    """By loops, as the source writes it."""
    ratio = {r: [x / ((1 + a) / 2 * o + (1 - a) / 2) for x, o in zip(p[r], out[r], strict=True)] for r in ROLES}
    share = {r: [np.mean([x / z > gamma for z in ratio["holdout"]]) for x in ratio[r]] for r in ROLES}
    return auc_of(share)


@pytest.mark.parametrize(("a", "gamma"), [(0.3, 1.0), (0.7, 1.0), (0.3, 1.3), (1.0, 2.0)])
def test_rmia_is_its_definition(a, gamma):
    rng = np.random.default_rng(4)
    p, out = ({r: rng.uniform(0.05, 0.95, n) for r, n in SIZES.items()} for _ in range(2))
    given_ = {("model", r, "probability"): p[r] for r in ROLES} | {
        ("reference", r, "probability"): out[r] for r in ROLES
    }
    assert rmia.function(given_, a=a, gamma=gamma) == pytest.approx(rmia_slowly(p, out, a, gamma), abs=1e-12)
    scores = world(rng, part="shadows", name="probability")
    scores = {key: value if key[2] == "member" else 1 / (1 + np.exp(-value)) for key, value in scores.items()}
    out = {
        r: np.nanmean(np.where(scores["shadows", r, "member"] > 0, np.nan, scores["shadows", r, "probability"]), axis=0)
        for r in ROLES
    }
    p = {r: scores["model", r, "probability"] for r in ROLES}
    assert rmia_shadows.function(scores, a=a, gamma=gamma) == pytest.approx(rmia_slowly(p, out, a, gamma), abs=1e-12)


def test_settings_of_rmia_are_checked():
    scores = {(who, role, "probability"): [0.5, 0.2] for who in ("model", "reference") for role in ROLES}
    for wrong in ({"a": 1.5}, {"a": -0.1}, {"gamma": 0.5}):
        with pytest.raises(EvidenceError, match="RMIA"):
            rmia.function(scores, **wrong)


def test_too_few_shadow_models_are_refused():
    scores = world(np.random.default_rng(5), part="shadows")
    scores["shadows", "holdout", "member"][:, 4] = [1, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(EvidenceError, match="too few shadow models"):
        lira(scores)


@pytest.mark.parametrize("statistic", [lira, lira_offline, u_lira_population, rmia_shadows], ids=lambda s: s.name)
def test_all_draws_at_once_are_those_one_by_one(statistic):
    """The resample of a record takes its shadow models' scores along, for the judged model and its control alike."""
    part, _, name = statistic.needs[2]
    scores = world(np.random.default_rng(6), part=part, gap=1.0, name=name)
    scores = {key: value if key[2] == "member" else 1 / (1 + np.exp(-value)) for key, value in scores.items()}
    scores |= {("reference", r, name): np.sort(scores["model", r, name]) for r in ROLES}
    groups = {r: [f"{r} {i // 6}" for i in range(n)] for r, n in SIZES.items()}
    function, keys = contrast(statistic, {}, {"model": "reference"})
    used = {key: scores[key] for key in keys}
    fast = estimate(function, used, groups, draws=40, seed=1)
    slow = estimate(lambda found: function(found), used, groups, draws=40, seed=1)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-9)
    assert fast.low < fast.high
    seeds = {key: np.stack([value] * 3) if key[0] == "model" else value for key, value in used.items()}
    assert estimate(function, seeds, groups, draws=40, seed=1).value == pytest.approx(fast.value)


def test_confidence_orders_as_the_loss_and_never_ends():
    logp = np.array([[-1e-9, 0.0], [-0.5, -1.0], [-900.0, -900.0], [0.0, 0.0]])
    found = logit_confidence(logp, np.ones((4, 2)))
    assert np.isfinite(found).all() and found[3] > found[0] > found[1] > found[2]
    p = np.exp(-0.75)
    assert found[1] == pytest.approx(np.log(p / (1 - p)))
    assert np.isnan(logit_confidence(logp, np.zeros((4, 2)))).all()


def test_a_rank_auc_of_many_records_needs_no_table_of_pairs():
    rng = np.random.default_rng(7)
    high, low = rng.integers(0, 5000, 200_000) / 7, rng.integers(100, 5000, 200_000) / 7
    expected = roc_auc_score(np.repeat([1, 0], 200_000), np.r_[high, low])
    assert rank_auc(high, low, np.ones(200_000), np.ones(200_000)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("statistic", [min_k_tpr_01, min_k_tpr_1])
def test_a_score_that_is_not_a_number_is_refused_and_not_taken_for_one_that_is_not_found(statistic):
    for role, other in (("forget", "holdout"), ("holdout", "forget")):
        scores = {("model", role, "min_k"): [-1.0, float("nan")], ("model", other, "min_k"): [-2.0, -3.0]}
        with pytest.raises(EvidenceError, match="not a number"):
            statistic(scores)


def test_a_retrained_model_gets_what_the_statistic_says_where_few_records_were_never_seen():
    """Beyond all of C records lies a new one with probability 1 / (C + 1) on either side, whatever the alarm rate."""
    draw, count, found = np.random.default_rng(0), 40, []
    for _ in range(400):
        forget, holdout = draw.normal(size=(2, count))
        found.append(min_k_tpr_01({("model", "forget", "min_k"): forget, ("model", "holdout", "min_k"): holdout}))
    assert 1 / (count + 1) <= np.mean(found) <= 2 / (count + 1)
    assert "1 / C" in min_k_tpr_01.retrained
