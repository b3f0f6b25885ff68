"""What is scored: the table's numbers and what a policy asks for, at the price of no other pass."""

import pytest

from expunge.core.access import Access
from expunge.core.measure import Score
from expunge.core.policy import Criterion, Policy
from expunge.core.registry import metrics
from expunge.evaluation.policies.research_tofu import research_tofu
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.measure import SCORES, asked_by, columns_for, score_tables, scores_of

EVERY_ATTACK = [name for name, metric in metrics.items() if isinstance(metric, Score) and metric.attack]


def columns(role, asked=()):
    return set(columns_for(scores_of(role, asked), Access.all()))


def test_the_default_policy_costs_no_column_beyond_the_table_s():
    for role in SCORES:
        assert columns(role, asked_by(research_tofu)) == columns(role)
        assert not {"token_mu", "token_sigma", "token_hit"} & columns(role)
    assert len(EVERY_ATTACK) >= 4, "there are attacks that would cost more"


@pytest.mark.parametrize("name", EVERY_ATTACK)
def test_an_attack_that_is_asked_for_is_scored_where_it_compares(name):
    for role in SCORES:
        asked = name in scores_of(role, [name])
        assert asked == (role in ("forget", "holdout") or name in SCORES[role])
        if asked:
            assert set(metrics.get(name).needs) <= columns(role, [name])


def test_a_statistic_brings_the_scores_that_it_reads():
    assert "loss" in scores_of("forget", ["reference_auc"]) and "loss" in scores_of("holdout", ["reference_auc"])
    assert "loss" not in scores_of("retain", ["reference_auc"])
    assert scores_of("forget", ["relearning", "nothing of that name"]) == list(SCORES["forget"])
    assert scores_of("forget", ["min_k", "min_k_auc"]).count("min_k") == 1


def test_tables_hold_what_a_policy_asks_for():
    policy = Policy("mine", "1", (Criterion("min_k_plus_plus", 0.1), Criterion("privleak", 5.0)), utility_floor=0.9)
    tables = score_tables(toy_model().oracle(Access.all()), toy_selection(), asked_by(policy))
    for role in ("forget", "holdout"):
        assert {"token_mu", "token_sigma"} <= set(tables[role])
        assert metrics.get("min_k_plus_plus").of(tables[role]).shape == (len(tables[role]["ids"]),)
    assert not {"token_mu", "token_sigma"} & (set(tables["retain"]) | set(tables["general"]))
