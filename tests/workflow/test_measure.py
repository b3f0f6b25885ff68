"""What is scored: the table's numbers and what a policy asks for, at the price of no other pass."""

from dataclasses import dataclass

import pytest

from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.errors import EvidenceError, ExpungeError, StoreError, TargetError
from expunge.core.measure import Score
from expunge.core.policy import Criterion, Policy
from expunge.core.registry import metrics
from expunge.evaluation.assess import assess
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.policies.research_tofu import research_tofu
from expunge.evaluation.score_table import load_tables, save_tables
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.measure import SCORES, asked_by, attack_tables, columns_for, score_tables, scores_of

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


@dataclass(frozen=True)
class Refusing:
    """An attack that cannot ask one of two models."""

    error: ExpungeError
    access = Access.TEXT

    def run(self, oracle, probes, *, seed):
        if oracle.system:
            raise self.error
        return rows_of(probes, outcome=[0.5] * len(probes))


@pytest.mark.parametrize("kind", [EvidenceError, StoreError, TargetError])
def test_an_attack_that_cannot_be_run_is_skipped_with_its_own_reason(kind, tmp_path):
    selection = toy_selection()
    error = kind(f"record {selection.forget.ids[0]!r} is 90 tokens long", why="the context holds 48")
    budget = {"alias": Refusing(error)}
    guarded = Oracle(toy_model(), Access.all(), system="Be brief.")
    tables = {
        name: attack_tables(oracle, selection, budget, seed=0)
        for name, oracle in {"model": guarded, "reference": toy_model().oracle(Access.all())}.items()
    }
    assert set(tables["reference"]) == {"alias"} and "alias" not in tables["model"]
    save_tables(tmp_path / "model", tables["model"], salt="s")
    tables["model"] = load_tables(tmp_path / "model")
    policy = Policy("mine", "1", (Criterion("alias", 0.1),), utility_floor=0.9)
    ((name, reason),) = assess(tables, policy).assessment.skipped
    assert name == "alias" and reason == "a record is 90 tokens long. the context holds 48."
    nobody = dict.fromkeys(("model", "reference", "original"), tables["model"])
    assert assess(nobody, policy).assessment.skipped == (("alias", reason),)
    with pytest.raises(Unmeasured, match="reference was not measured on many_shot"):
        PerItem(tables).of("reference", "many_shot")
