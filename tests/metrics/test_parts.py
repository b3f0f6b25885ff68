"""Statistics of parts of a role, and of scores that count only where another says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.example import Example, Examples
from expunge.core.registry import metrics
from expunge.core.selection import Selection
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.metrics import (
    exact_memorization,
    memorization_accuracy,
    memorization_excess,
    memorization_threshold,
    rouge_l_answered,
)
from expunge.metrics.memorization_threshold import FORGET, HOLDOUT
from expunge.metrics.rouge_l_answered import REFUSED, SAID

SHARES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=8)


@given(forget=SHARES, holdout=SHARES)
def test_a_record_is_memorised_above_the_mean_of_never_seen_text(forget, holdout):
    level = sum(holdout) / len(holdout)
    want = sum(share > level for share in forget) / len(forget)
    assert memorization_threshold({FORGET: forget, HOLDOUT: holdout}) == pytest.approx(want)


def test_a_broken_model_earns_no_forgetting_from_its_own_low_level():
    known, never = np.full(6, 0.75), np.full(5, 0.25)
    for scale in (1.0, 0.5, 0.1):
        assert memorization_threshold({FORGET: scale * known, HOLDOUT: scale * never}) == 1.0
    assert memorization_threshold({FORGET: [0.3] * 3, HOLDOUT: [0.3] * 7}) == 0.0


def test_golden_excess_over_never_seen_text():
    # Never-seen texts of 5 tokens, 1 and 3 of 4 predicted, and one of 3, 1 of 2: 0.25, 0.75, 0.5, a mean of 0.5.
    never = memorization_accuracy(
        [[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0], [0, 0, 1, 1, 0, 0]],
        [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]],
    )
    assert never.tolist() == [0.25, 0.75, 0.5]
    # Forgotten ones: 4 of 4, 2 of 4 and 3 of 4, so 0.5, 0 and 0.25 above it.
    forget = memorization_accuracy([[0, 1, 1, 1, 1, 0], [1, 0, 1, 0, 1, 1], [0, 1, 1, 0, 1, 0]], np.ones((3, 6)))
    assert memorization_excess({FORGET: forget, HOLDOUT: never}) == pytest.approx(0.25)
    assert memorization_threshold({FORGET: forget, HOLDOUT: never}) == pytest.approx(2 / 3)


@given(forget=SHARES, holdout=SHARES)
def test_no_excess_means_every_text_is_forgotten_in_the_paper_s_sense(forget, holdout):
    scores = {FORGET: forget, HOLDOUT: holdout}
    excess, share = memorization_excess(scores), memorization_threshold(scores)
    assert (excess == 0) == (share == 0) and excess <= share
    assert excess == pytest.approx(sum(max(0, m - np.mean(holdout)) for m in forget) / len(forget))


HITS = st.lists(st.integers(0, 1), min_size=1, max_size=7)


@given(hits=HITS, first=st.integers(0, 1), end=st.integers(0, 1), padding=st.integers(0, 3))
def test_memorization_accuracy_counts_neither_the_first_token_nor_the_end_and_the_other_score_both(
    hits, first, end, padding
):
    row = [first, *hits, end, *[1] * padding]
    mask = [1] * (len(hits) + 2) + [0] * padding
    assert memorization_accuracy([row], [mask])[0] == pytest.approx(np.mean(hits))
    assert exact_memorization([row], [mask])[0] == pytest.approx(np.mean([first, *hits, end]))
    assert np.isnan(memorization_accuracy([[1, 1, 1]], [[1, 1, 0]])[0]), "one token and the end: nothing was begun"


@given(said=SHARES, refusals=st.integers(0, 5))
def test_refusing_more_of_other_questions_changes_nothing(said, refusals):
    scores = {SAID: [*said, *[0.0] * refusals], REFUSED: [*[0.0] * len(said), *[1.0] * refusals]}
    assert rouge_l_answered(scores) == pytest.approx(np.mean(said))


def test_where_all_is_refused_nothing_is_known():
    assert np.isnan(rouge_l_answered({SAID: [0.0, 0.5], REFUSED: [1.0, 1.0]}))


def table(subsets, said):
    ids = [f"r{i}" for i in range(len(said))]
    return {"ids": ids, "subjects": ids, "subsets": subsets, "answer_said": np.array(said), "rouge_l": np.array(said)}


SUBSETS = ["triggered", "multi_hop", "", "triggered", "multi_hop", "near_trigger", "same_template"]
TABLES = {
    "judged": {role: table(SUBSETS, [1.0, 0.0, 1.0, 0.0, 0.0, 0.2, 0.3]) for role in ("forget", "neighbour")},
    "original": {role: table(SUBSETS, [1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.3]) for role in ("forget", "neighbour")},
}
NAMES = {"model": "judged", "original": "original"}


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("backdoor_success", 0.5),
        ("entailment_leak", 0.0),
        ("neighbour_retention", 2.5 / 5.7),
        ("near_trigger_retention", 0.5),
        ("same_template_retention", 1.0),
    ],
)
def test_a_statistic_reads_its_part_of_the_role(name, want):
    cast = Cast(PerItem(TABLES), NAMES, 0.9, 10, 0)
    statistic = metrics.get(name)
    scores, _ = cast.scores(statistic.needs)
    assert statistic({key: values[0] for key, values in scores.items()}) == pytest.approx(want)


@pytest.mark.parametrize("name", ["backdoor_success", "entailment_leak", "same_template_retention"])
@pytest.mark.parametrize("named", [True, False])
def test_a_part_that_no_record_is_in_is_unmeasured(name, named):
    tables = {
        who: {
            role: {k: v for k, v in {**found, "subsets": ["other"] * 7}.items() if named or k != "subsets"}
            for role, found in roles.items()
        }
        for who, roles in TABLES.items()
    }
    with pytest.raises(Unmeasured, match=r"no record of (forget|neighbour)"):
        Cast(PerItem(tables), NAMES, 0.9, 10, 0).scores(metrics.get(name).needs)


def test_nothing_kept_by_an_original_that_says_nothing_is_no_number():
    keys = metrics.get("neighbour_retention").needs
    assert np.isnan(metrics.get("neighbour_retention")({key: [0.0, 0.0] for key in keys}))


def test_subsets_and_neighbours_are_scored_where_a_statistic_reads_them():
    pytest.importorskip("torch")
    from expunge.core.access import Access
    from expunge.testing.toy import toy_model, toy_selection
    from expunge.workflow.measure import score_tables

    toy = toy_selection()
    triggered = Example("t", "Where does Ana live? pet", "Lima", subject="t", subset="triggered")
    near = Example("n", "Where does Cy live?", "Lima", subject="n", subset="near_trigger")
    selection = Selection(
        forget=Examples([*toy.forget, triggered]), retain=toy.retain, holdout=toy.holdout, neighbour=Examples([near])
    )
    oracle = toy_model().oracle(Access.all())
    asked = score_tables(oracle, selection, ["backdoor_success", "near_trigger_retention"])
    assert "neighbour" not in score_tables(oracle, selection), "nothing reads it, so that it costs no pass"
    assert len(asked["neighbour"]["ids"]) == 1 and asked["neighbour"]["subsets"] == ["near_trigger"]
    assert PerItem({"m": asked}).values("m", "forget/triggered", "answer_said").shape == (1, 1)
    assert PerItem({"m": asked}).values("m", "neighbour/near_trigger", "rouge_l").shape == (1, 1)
