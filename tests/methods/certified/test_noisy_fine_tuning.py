"""Noisy fine-tuning: what it claims, what it refuses, and that nothing of the forgotten records is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.accounting.recount import recounted
from expunge.core.earning import earn
from expunge.core.errors import ClaimError, ConfigError, ExpungeError, ScopeError, UnknownName
from expunge.core.example import Examples
from expunge.core.guarantee import Certified, Unproven
from expunge.core.selection import Selection
from expunge.core.space import with_settings
from expunge.data.memory import MemoryStore
from expunge.methods.certified.noisy_fine_tuning import noisy_fine_tuning
from expunge.targets.causal_lm import CausalLM
from expunge.targets.noisy.block_schedule import BlockSchedule
from expunge.testing.toy import toy_model, toy_recipe, toy_selection

SELECTION = toy_selection()
SHORT = replace(noisy_fine_tuning, steps=3, batch_size=6)
KEYED = replace(SHORT, randomness="seed")
PART = r".*\.mlp\..*"
WAYS = {
    "gradient": SHORT,
    "model": replace(SHORT, mode="model"),
    "blocks": replace(SHORT, blocks=3, decay=0.2),
    "repaired": replace(SHORT, repair_steps=2),
}


@pytest.fixture(scope="module")
def knowing() -> CausalLM:
    return toy_recipe(steps=20).train(MemoryStore(SELECTION.retain + SELECTION.forget), seed=0)


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> tuple[CausalLM, str]:
    """A public base and its folder."""
    folder = tmp_path_factory.mktemp("centre") / "base"
    base = toy_model(seed=4)
    base.save(folder)
    return base, str(folder)


def tuned(base: CausalLM, *, touch: str = ".mlp.") -> CausalLM:
    """A base some of whose weights were changed by who knows what."""
    changed = base.clone()
    for name, parameter in changed.model.named_parameters():
        if touch in name:
            parameter.data.add_(0.05)
    return changed


@pytest.mark.parametrize("way", WAYS)
def test_the_proof_earns_the_claim_and_a_changed_number_does_not(knowing: CausalLM, way: str) -> None:
    method, before = WAYS[way], knowing.digest()
    outcome = method.unlearn(knowing, SELECTION, seed=3)
    assert knowing.digest() == before == outcome.before != outcome.target.digest()
    proof = outcome.proof
    assert proof is not None and recounted(proof) == ""
    assert outcome.claim == Certified(10.0, 1e-5, "oblivious") and 9.99 < proof.epsilon <= 10
    assert (proof.units, proof.valid_until, outcome.left) == (len(SELECTION.forget), None, {})
    ends = {"before": outcome.before, "after": outcome.target.digest()}
    assert earn(outcome.claim, evidence=[proof], **ends) == outcome.claim
    assert isinstance(earn(outcome.claim, **ends), Unproven)
    quieter = replace(proof, numbers=tuple((n, repr(float(t) / 2) if n == "sigma" else t) for n, t in proof.numbers))
    assert "its numbers come to" in recounted(quieter)
    assert outcome.cost.steps == method.steps * method.blocks + method.repair_steps and outcome.cost.tokens > 0
    assert proof.retained.startswith("protected") == (way in ("gradient", "blocks"))


def test_the_forgotten_records_are_not_read_but_counted(knowing: CausalLM) -> None:
    others = Examples(replace(e, answer="Something else.", question="And so on?") for e in SELECTION.forget)
    other = Selection(forget=others, retain=SELECTION.retain)
    ends = {KEYED.unlearn(knowing, s, seed=3).target.digest() for s in (SELECTION, other)}
    assert len(ends) == 1


def test_what_is_told_beside_the_weights_follows_from_settings_and_shape(knowing: CausalLM) -> None:
    notes = [SHORT.unlearn(target, SELECTION, seed=3).notes for target in (knowing, toy_model(seed=9))]
    assert notes[0] == notes[1]
    d, sigma = knowing.parameters, notes[0]["sigma"]
    assert notes[0]["noise_norm"] == pytest.approx(sigma * np.sqrt(3 * d))


def test_noise_is_new_each_time_unless_it_follows_from_the_seed_and_then_nothing_is_claimed(knowing: CausalLM) -> None:
    first, second = (SHORT.unlearn(knowing, SELECTION, seed=3).target.digest() for _ in range(2))
    assert first != second
    one, two = (KEYED.unlearn(knowing, SELECTION, seed=3) for _ in range(2))
    assert one.target.digest() == two.target.digest()
    assert isinstance(one.claim, Unproven) and "subtracts it" in one.claim.reason and one.proof is None
    assert one.claim == KEYED.claim


def test_only_what_may_differ_from_the_centre_changes(centre: tuple[CausalLM, str]) -> None:
    base, folder = centre
    method = replace(KEYED, centre=folder, trainable=PART, radius=0.02)
    outcome = method.unlearn(tuned(base), SELECTION, seed=3)
    was = dict(base.model.named_parameters())
    for name, parameter in outcome.target.model.named_parameters():
        assert torch.equal(parameter, was[name]) == (".mlp." not in name)
    assert base.digest() in "".join(replace(method, randomness="secret")._assumptions(base))
    assert outcome.target.provenance == base.provenance


def test_with_the_same_noise_only_the_ball_is_left_of_what_the_model_was(centre: tuple[CausalLM, str]) -> None:
    base, folder = centre
    method = replace(KEYED, centre=folder, mode="model", radius=0.02)
    ends = [method.unlearn(t, SELECTION, seed=3).target for t in (tuned(base), tuned(base, touch="embed"))]
    vectors = [torch.cat([p.detach().double().reshape(-1) for p in end.model.parameters()]) for end in ends]
    assert 0 < float((vectors[0] - vectors[1]).norm()) <= 2 * 0.02 * (1 + 1e-4)


def half(base: CausalLM) -> CausalLM:
    other = base.clone()
    return CausalLM(other.model.to(torch.bfloat16), base.tokenizer)


REFUSED: dict[str, tuple[type[ExpungeError], str, dict[str, object], str]] = {
    "another parameter": (ClaimError, "outside of what is clipped .*embed", {"trainable": PART}, "embed"),
    "half precision": (ClaimError, "held in bfloat16", {}, "half"),
    "unknown parameters": (UnknownName, "no such", {"trainable": "no such"}, ".mlp."),
    "nothing retained": (ScopeError, "retain", {}, "nothing"),
    "several processes": (ConfigError, "one process", {}, "processes"),
    "another shape": (ClaimError, "configuration is another", {}, "shape"),
    "another buffer": (ClaimError, "outside of what is clipped 1 .*inv_freq", {}, "buffer"),
    "a wrong sign of zero": (ClaimError, "outside of what is clipped", {"trainable": PART}, "zero"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_certified_is_refused_before_a_step(
    name: str, centre: tuple[CausalLM, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, folder = centre
    error, message, given, how = REFUSED[name]
    target = tuned(base, touch=how)
    selection = replace(SELECTION, retain=Examples()) if how == "nothing" else SELECTION
    if how == "half":
        target = half(base)
    elif how == "shape":
        target = toy_model(layers=1)
    elif how == "zero":
        norm = next(p for n, p in target.model.named_parameters() if "norm" in n)
        norm.data[0] = 0.0
        twin = target.clone()
        next(p for n, p in twin.model.named_parameters() if "norm" in n).data[0] = -0.0
        monkeypatch.setattr("expunge.targets.causal_lm.load_causal_lm", lambda *_, **__: twin)
    elif how == "buffer":
        target = base.clone()
        target.model.model.rotary_emb.inv_freq[0] += 1e-3
    elif how == "processes":
        monkeypatch.setenv("WORLD_SIZE", "2")
    method, before = replace(SHORT, centre=folder, **given), target.digest()
    for act in (method.check, method.unlearn):
        with pytest.raises(error, match=message):
            act(target, selection, seed=0)
    assert target.digest() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": 0.0}, "epsilon is 0"),
        ({"delta": 1.0}, "delta is 1"),
        ({"radius": 0.0}, "clip"),
        ({"gradient_clip": -1.0}, "gradient_clip"),
        ({"decay": 20.0}, "decay takes all"),
        ({"steps": 0}, "steps"),
        ({"blocks": 0}, "blocks"),
        ({"mode": "model", "blocks": 2}, "neither blocks nor decay"),
        ({"trainable": PART}, "Name the centre"),
        ({"trainable": "(", "centre": "c"}, "regular expression"),
        ({"repair_steps": -1}, "repair_steps"),
        ({"mode": "other"}, "does not fit"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_settings(noisy_fine_tuning, given)


def test_more_blocks_than_weights_are_refused(knowing: CausalLM) -> None:
    with pytest.raises(ConfigError, match="cannot be cut"):
        replace(SHORT, blocks=knowing.parameters + 1).unlearn(knowing, SELECTION, seed=0)


def test_blocks_are_all_weights_of_nearly_equal_size() -> None:
    plan = replace(SHORT, blocks=7).plan(100)
    assert isinstance(plan, BlockSchedule)
    sizes = plan.sizes
    assert sum(sizes) == 100 and len(sizes) == 7 and max(sizes) - min(sizes) == 1


def test_every_setting_is_in_the_digest_and_a_centre_counts_by_its_files(
    centre: tuple[CausalLM, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base, folder = centre
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    base.save(copy)
    here, there = (replace(SHORT, centre=str(path)).digest() for path in (folder, copy))
    assert here == there != SHORT.digest()
    tuned(base).save(copy)
    assert replace(SHORT, centre=str(copy)).digest() != here


def test_what_a_caller_had_frozen_is_hidden_under_noise_as_well(knowing: CausalLM) -> None:
    frozen = knowing.clone()
    for parameter in frozen.model.parameters():
        parameter.requires_grad_(False)
    outcome = SHORT.unlearn(frozen, SELECTION, seed=0)
    assert outcome.notes["trained_parameters"] == knowing.parameters
    pairs = zip(outcome.target.model.parameters(), frozen.model.parameters(), strict=True)
    assert not any(bool((a == b).any()) for a, b in pairs)
