"""The trust table: pairs are independent, margins have a unit and a side, and what fails on one pair fails there."""

import numpy as np
import pytest
from benchmarks import trust
from benchmarks import trust_margins as margins
from benchmarks import trust_models as models

from expunge.core.errors import TargetError
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.score_table import save_tables

SUBJECTS = [f"person-{i}" for i in range(12)]


def table(value):
    return {"ids": SUBJECTS, "subjects": SUBJECTS, "outcome": np.full(len(SUBJECTS), value)}


def tables(known, never=0.2):
    return {who: table(known if who == "trained" else never) for who in models.ARMS}


def row(trained, never, gone=()):
    statuses = {"trained": trained, "never": never, "retrained": never}
    return trust.Row("paraphrase", margins.SHARE, statuses, gone)


def test_every_pair_has_people_of_its_own_and_every_model_a_seed_of_its_own():
    assert len({models.corpus_of(pair) for pair in range(trust.PAIRS)}) == trust.PAIRS
    seeds = {(pair, case): models.seed_of(pair, case) for pair in range(trust.PAIRS) for case in models.ARMS}
    assert len(set(seeds.values())) == trust.PAIRS * (len(models.ARMS) - 1)
    assert all(seeds[pair, "retrained"] == seeds[pair, "trained"] for pair in range(trust.PAIRS))


def test_a_margin_is_that_of_the_policies_on_their_side_or_one_in_the_unit_of_the_name():
    assert margins.margin_of("sampling_leak").size == 0.05
    assert margins.margin_of("many_shot").side == "above" and margins.margin_of("rouge_l").side == "both"
    assert margins.margin_of("privleak").size == 20 and "percent" in margins.margin_of("privleak").why
    assert margins.margin_of("tug_of_war") == margins.SHARE


@pytest.mark.parametrize(("known", "name", "status"), [(0.9, "cka", "failed"), (0.9, "many_shot", "failed")])
def test_a_verdict_is_that_of_the_side_of_the_criterion(known, name, status):
    def said(value):
        items = PerItem({who: {name: t} for who, t in tables(value, never=0.6).items()})
        return trust.verdict(name, items, margins.margin_of(name), "trained", 0)

    assert said(known) == status and said(0.6) == "earned"
    assert said(0.1) == ("earned" if name == "many_shot" else "failed")


def test_a_pair_that_cannot_be_measured_does_not_drop_the_name(tmp_path, monkeypatch):
    for pair in (0, 2):
        save_tables(models.attack_place(tmp_path, pair, "cka", "quick"), tables(0.9), salt="s")
    gone = models.attack_place(tmp_path, 1, "cka", "quick")

    def refuses(*_args, **_more):
        raise TargetError("it cannot be had")

    class Loaded:
        target = type("Target", (), {"oracle": lambda *_: None})

    monkeypatch.setattr(models, "Saved", lambda _: Loaded)
    monkeypatch.setattr(models, "run_attack", refuses)
    item = {"out": str(tmp_path), "pair": 1, "attack": "cka", "budget": "quick"}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def killed(*_args):
            raise KeyboardInterrupt

        patched.setattr(models, "write_json", killed)
        models.attacked(item)
    assert not gone.exists(), "a folder without its reason would never be tried again"
    models.attacked(item)
    found = trust.row_of(trust.judged({"out": str(tmp_path), "name": "cka", "kind": "quick", "pairs": 3}))
    assert found.statuses["trained"] == ["failed"] * 2 and found.statuses["never"] == ["earned"] * 2
    assert found.pairs == 2 and len(found.gone) == 1 and "cannot be had" in found.gone[0]
    assert "cka*" in trust.table_of([found]) and "1 pairs not measured" in trust.table_of([found])


def test_yes_needs_every_pair_and_few_errors_of_both_kinds():
    good, clean = ["failed"] * 20, ["earned"] * 20
    assert row(good, clean).trust == "yes"
    assert row(good[1:], clean[1:], ["gone"]).trust == "unclear"
    assert row(good, ["failed"] * 3 + clean[3:]).trust == "unclear", "15 % of false alarms are no reason for trust"
    assert row(good, ["failed"] * 12 + clean[12:]).trust == "no"
    assert row(["earned"] * 8 + good[8:], clean).trust == "no"
    one_kind = {"trained": good, "never": clean, "retrained": ["failed"] * 12 + clean[12:]}
    assert trust.Row("cka", margins.SHARE, one_kind).trust == "no", "one kind of false alarm is not averaged away"
    assert row([], [], ["gone"]).trust == "not measured"
    assert trust.doubted([row(["earned"] * 8 + good[8:], clean)])[0].startswith("privacy_default lists, without a yes")
