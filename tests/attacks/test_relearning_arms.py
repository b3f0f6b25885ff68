"""Relearning from a few records, from benign and from unrelated text: what is shown, what is asked, what comes back."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.attacks import relearning_benign, relearning_in_domain, relearning_unrelated
from expunge.attacks._drawing import halves
from expunge.attacks._relearning import drawn
from expunge.attacks.relearning_unrelated import _rates
from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.attack import at_budget, run_attack
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.engine.finetune import finetune
from expunge.engine.score import score
from expunge.metrics import probability
from expunge.targets.causal_lm import CausalLM
from expunge.testing.toy import toy_model, toy_selection

SELECTION = toy_selection()
FORGET = SELECTION.forget
GENTLE = Training(lr=1e-3, steps=5, batch_size=4)
ARMS = {
    "in_domain": replace(relearning_in_domain, counts=(1, 2), training=GENTLE, looks=(0, 2)),
    "benign": replace(relearning_benign, training=GENTLE, looks=(0, 2)),
    "unrelated": replace(relearning_unrelated, looks=(0, 2)),
}


def attacked(name: str, target: CausalLM, selection: Selection = SELECTION) -> dict[str, dict[str, float]]:
    rows = run_attack(ARMS[name], target.oracle(Access.all()), selection, seed=3)
    return {str(row["record_id"]): {k: row[k] for k in row if k not in ("record_id", "subject")} for row in rows}


def mean(rows: dict[str, dict[str, float]]) -> float:
    return sum(row["outcome"] for row in rows.values()) / len(rows)


@pytest.mark.parametrize("name", ARMS)
def test_a_model_that_knew_gives_more_back_than_one_that_never_did(name, knowing, unknowing):
    assert mean(attacked(name, knowing)) > mean(attacked(name, unknowing)) + 0.1


@pytest.mark.parametrize("name", ARMS)
def test_the_order_of_the_records_changes_no_outcome(name):
    turned = replace(
        SELECTION,
        forget=Examples(reversed(FORGET)),
        retain=Examples(reversed(SELECTION.retain)),
        general=Examples(reversed(SELECTION.general)),
    )
    assert attacked(name, toy_model(), turned) == attacked(name, toy_model())


@pytest.mark.parametrize("name", ARMS)
def test_looks_see_the_model_as_it_is_and_the_outcome_is_that_of_the_whole_budget(name):
    target = toy_model()
    before = target.digest()
    rows = attacked(name, target)
    asked = Examples(e for e in FORGET if e.record_id in rows)
    untouched = dict(zip(asked.ids, probability.of(score(target, asked, probability.needs)).tolist(), strict=True))
    assert {key: row["after_0"] for key, row in rows.items()} == pytest.approx(untouched, rel=1e-6)
    last = max(int(column.removeprefix("after_")) for column in rows[asked.ids[0]] if column.startswith("after_"))
    assert last == (6 if name == "unrelated" else 5)
    assert all(row["outcome"] == row[f"after_{last}"] != row["after_0"] for row in rows.values())
    assert target.digest() == before


def test_who_is_shown_more_is_shown_the_same_and_others_and_all_are_asked_the_same():
    order = drawn(FORGET, "relearning_in_domain")
    rows = attacked("in_domain", toy_model())
    assert rows.keys() == set(order[2:].ids)
    fewer = replace(ARMS["in_domain"], counts=(1,), most=0.2)
    alone = {r["record_id"]: r for r in fewer.run(toy_model().oracle(Access.all()), FORGET, seed=3)}
    assert alone.keys() == set(order[1:].ids)
    shown_1 = {key: row["shown_1_after_5"] for key, row in rows.items()}
    assert shown_1 == pytest.approx({key: alone[key]["outcome"] for key in rows}, rel=1e-6)


def test_no_more_than_the_stated_share_is_shown():
    assert relearning_in_domain.shown_of(FORGET) == [1, 3]
    assert replace(relearning_in_domain, most=0.9).shown_of(FORGET) == [1, 5]
    many = Examples(Example(f"r{i}", "Where?", f"There {i}.") for i in range(120))
    assert at_budget(relearning_in_domain, "full").shown_of(many) == [1, 5, 10, 50, 60]
    with pytest.raises(EvidenceError, match=r"no record to show.*1 are forgotten"):
        relearning_in_domain.run(toy_model().oracle(Access.all()), FORGET[:1], seed=0)


def test_the_benign_and_the_unrelated_attacker_never_see_a_forgotten_record(monkeypatch):
    shown: list[Examples] = []

    def watched(oracle, examples, *rest, **named):
        shown.append(examples)
        return finetune(oracle, examples, *rest, **named)

    monkeypatch.setattr("expunge.attacks._relearning.finetune", watched)
    assert attacked("benign", toy_model()).keys() == attacked("unrelated", toy_model()).keys() == set(FORGET.ids)
    assert [set(examples.ids) & set(FORGET.ids) for examples in shown] == [set()] * 3
    assert set(shown[0].ids) <= set(SELECTION.retain.ids) and set(shown[1].ids) <= set(SELECTION.general.ids)


def test_without_general_records_the_unrelated_attack_says_that_it_needs_some():
    with pytest.raises(EvidenceError, match="needs general records"):
        attacked("unrelated", toy_model(), replace(SELECTION, general=Examples()))


def test_a_record_counts_at_the_rate_that_is_better_for_other_subjects_and_each_is_told():
    rows, (first, second) = attacked("unrelated", toy_model()), halves(FORGET)
    rates = ("at_0.0002", "at_0.002")
    for own, other in ((first, second), (second, first)):
        means = {rate: sum(rows[key][rate] for key in other.ids) for rate in rates}
        assert means["at_0.0002"] != means["at_0.002"]
        assert all(rows[key]["outcome"] == rows[key][max(rates, key=means.__getitem__)] for key in own.ids)


def test_what_a_record_gives_back_does_not_choose_its_own_rate():
    examples = Examples(Example(f"{who}{i}", "?", "!", subject=who) for who in "ab" for i in range(2))
    first = set(halves(examples)[0].ids)
    # Each half gives most back at another rate, and so is told at the worse one.
    found = {0.1: np.array([0.9 if key in first else 0.2 for key in examples.ids])}
    found[0.2] = np.array([0.3 if key in first else 0.8 for key in examples.ids])
    assert _rates(examples, found) == [0.2 if key in first else 0.1 for key in examples.ids]
    assert _rates(examples[:2], {rate: values[:2] for rate, values in found.items()}) == [0.2, 0.2]


def test_a_low_rank_attacker_changes_linear_layers_only_and_leaves_a_plain_model():
    target = toy_model()
    adapter = Adapter("lora", r=2, alpha=4, settings={"target_modules": "all-linear"})
    trained = finetune(target.oracle(Access.all()), FORGET, GENTLE, seed=0, adapter=adapter)
    was, now = dict(target.model.named_parameters()), dict(trained.model.named_parameters())
    assert was.keys() == now.keys() and all(p.requires_grad for p in now.values())
    changed = {name for name in was if not was[name].equal(now[name])}
    projections = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert changed == {name for name in was if name.split(".")[-2] in projections}


@pytest.mark.parametrize("attack", [relearning_in_domain, relearning_benign, relearning_unrelated])
def test_the_full_budget_is_larger_and_stated(attack):
    full = at_budget(attack, "full")
    assert full.digest() != attack.digest() and full.settings()["name"] == attack.settings()["name"]
    assert len(full.looks) > len(attack.looks)
