"""A planted direction is found and taken out, and the held-out half answers again; without one, nothing changes."""

import numpy as np
import pytest
import torch

from expunge.attacks._drawing import halves
from expunge.attacks._rows import known
from expunge.attacks.direction_ablation import direction_ablation, forgetting_directions, without
from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples
from expunge.testing.toy import toy_model, toy_selection

SELECTION = toy_selection()
ALL = Access.all()


def run(target, original):
    return direction_ablation.run(
        target.oracle(ALL), SELECTION.forget, seed=0, original=original.oracle(ALL), retain=SELECTION.retain
    )


def plant(target, push):
    """Add ``push`` after the first layer wherever a sequence names a forgotten subject."""
    names = torch.tensor(target.tokenizer.convert_tokens_to_ids(["Ana", "Bo"]))
    named = {}

    def read(_module, inputs, settings):
        named["rows"] = torch.isin(settings["input_ids"], names).any(1)

    target.model.base_model.register_forward_pre_hook(read, with_kwargs=True)
    layer = target.facts.decoder_layers(target.model)[0]
    layer.register_forward_hook(lambda _module, _inputs, output: output + named["rows"][:, None, None] * push)


def test_a_planted_switch_is_found_on_one_half_and_turned_off_on_the_other(knowing):
    attacked = knowing.clone()
    push = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(3)), dim=0)
    plant(attacked, 60 * push)
    rows = run(attacked, knowing)
    _, held_out = halves(SELECTION.forget)
    assert {row["record_id"] for row in rows} == set(held_out.ids)
    untouched, found = (np.mean([row[name] for row in rows]) for name in ("untouched", "outcome"))
    assert untouched == pytest.approx(known(attacked, held_out).mean())
    assert untouched < 0.2 < found - 0.3


def test_a_model_that_moved_nowhere_answers_as_it_did(knowing):
    rows = run(knowing.clone(), knowing)
    assert [row["outcome"] for row in rows] == [row["untouched"] for row in rows]


def test_ablating_no_direction_changes_nothing_and_ablating_twice_is_ablating_once():
    states = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(without(torch.zeros(8))(states), states)
    u = torch.nn.functional.normalize(torch.arange(8.0), dim=0)
    once = without(u)(states)
    assert (once @ u).abs().max() < 1e-5
    torch.testing.assert_close(without(u)(once), once)


def test_the_direction_shares_nothing_with_what_moved_retained_records():
    draw = torch.Generator().manual_seed(1)
    shift, shared = (torch.randn(4, 8, generator=draw) for _ in range(2))
    found = forgetting_directions(shift, shared, torch.ones(4))
    torch.testing.assert_close((found * shared).sum(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(found, forgetting_directions(5 * shift, -2 * shared, torch.ones(4)))
    assert not forgetting_directions(1e-7 * shift, shared, torch.ones(4)).any()
    assert not forgetting_directions(3 * shared, shared, torch.ones(4)).any()
    plain = forgetting_directions(shift, torch.zeros(4, 8), torch.ones(4))
    torch.testing.assert_close(plain, torch.nn.functional.normalize(shift, dim=1))


def test_one_subject_is_too_few_and_another_shape_is_refused(knowing):
    ana = Examples(e for e in SELECTION.forget if e.subject == "Ana")
    oracle = knowing.oracle(ALL)
    with pytest.raises(EvidenceError, match="nothing left to ask"):
        direction_ablation.run(oracle, ana, seed=0, original=oracle, retain=SELECTION.retain)
    with pytest.raises(EvidenceError, match="cannot be compared"):
        run(toy_model(), knowing)
