"""Noisy steps on a model: the ball, the noise that was counted, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import ScopeError, TargetError, UnknownName
from expunge.core.example import Examples
from expunge.core.progress import listening
from expunge.engine.noisy_steps import flat, noisy_steps, place, trained_names
from expunge.targets.noisy.block_schedule import BlockSchedule
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping
from expunge.targets.noisy.noise import source
from expunge.testing.toy import toy_model, toy_selection

RETAIN = toy_selection().retain
PART = r".*layers\.1\.mlp\.(up|down)_proj\.weight"
STILL = 1e-9
"""Noise that hides nothing, so that the ball is seen."""
CLIPPED = GradientClipping(start_clip=0.5, gradient_clip=0.25, lr=0.5, decay=0.0, sigma=STILL, steps=3)
BOXED = ModelClipping(clip=0.5, lr=0.5, sigma=STILL, steps=3)


def vector(target, names) -> np.ndarray:
    named = dict(target.model.named_parameters())
    return flat([named[name] for name in names])


def run(plan, *, target=None, centre=None, patterns=(".*",), examples=RETAIN, micro=0, noise=5, seed=2):
    changed = (target or toy_model(seed=1)).clone()
    about = dict(centre.clone().model.named_parameters()) if centre else None
    more = {"batch_size": 6, "micro_batch": micro, "seed": seed, "rng": source(noise)}
    tokens = noisy_steps(changed, examples, plan, centre=about, trainable=patterns, **more)
    assert tokens > 0
    return changed


def test_a_vector_is_the_weights_and_back():
    model = toy_model(seed=1).model
    parameters = [p for _, p in sorted(model.named_parameters())]
    before = [p.detach().clone() for p in parameters]
    place(parameters, flat(parameters))
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    with pytest.raises(TargetError):
        place(parameters, flat(parameters)[1:])


@pytest.mark.parametrize("plan", [CLIPPED, BOXED])
@pytest.mark.parametrize("patterns", [(".*",), (PART,)])
def test_weights_stay_within_what_the_clips_allow_of_the_centre(plan, patterns):
    centre, target = toy_model(seed=0), toy_model(seed=1)
    if patterns == (PART,):
        outside = {n for n, _ in centre.model.named_parameters()} - set(trained_names(centre.model, patterns))
        for name, parameter in target.model.named_parameters():
            if name in outside:
                parameter.data.copy_(dict(centre.model.named_parameters())[name].data)
    names = trained_names(target.model, patterns)
    far = np.linalg.norm(vector(target, names) - vector(centre, names))
    most = 0.5 + (3 * 0.5 * 0.25 if plan is CLIPPED else 0.0)
    assert far > 0.5
    end = run(plan, target=target, centre=centre, patterns=patterns)
    assert np.linalg.norm(vector(end, names) - vector(centre, names)) <= most * (1 + 1e-5)
    was = dict(target.model.named_parameters())
    for name, parameter in end.model.named_parameters():
        assert torch.equal(parameter, was[name]) == (name not in names), name


def test_the_noise_that_reaches_the_weights_is_what_was_counted():
    plan = replace(CLIPPED, gradient_clip=0.0, decay=0.4, sigma=0.3)
    centre, target = toy_model(seed=0), toy_model(seed=1)
    names = trained_names(target.model)
    about = vector(centre, names)
    state, rng = plan.start(vector(target, names) - about), source(5)
    for _ in range(plan.steps):
        state = (1 - 0.5 * 0.4) * state + 0.3 * rng.standard_normal(len(state))
    expected = torch.from_numpy(about + state).float().double().numpy()
    assert np.array_equal(vector(run(plan, target=target, centre=centre), names), expected)


@settings(max_examples=8)
@given(micro=st.integers(1, 7), turned=st.integers(0, 4))
def test_how_a_batch_is_split_and_how_records_stand_changes_nothing(micro, turned):
    rows = list(RETAIN)
    names = trained_names(toy_model().model)
    whole = vector(run(replace(CLIPPED, sigma=0.05)), names)
    again = run(replace(CLIPPED, sigma=0.05), micro=micro, examples=Examples(rows[turned:] + rows[:turned]))
    assert np.abs(vector(again, names) - whole).max() < 2e-6
    still = vector(run(replace(CLIPPED, sigma=0.05, gradient_clip=0.0)), names)
    assert 0.01 < np.linalg.norm(whole - still) <= 3 * 0.5 * 0.25, "the gradients of the batches were taken"


def test_the_same_noise_repeats_and_other_noise_does_not():
    plan = replace(CLIPPED, sigma=0.05)
    assert run(plan).digest() == run(plan).digest()
    assert len({run(plan).digest(), run(plan, noise=6).digest(), run(plan, seed=9).digest()}) == 3


def test_whatever_came_before_a_clipped_model_is_a_ball_away_at_most():
    names = trained_names(toy_model().model)
    ends = [vector(run(replace(BOXED, sigma=0.2), target=toy_model(seed=s)), names) for s in (1, 2)]
    assert 0 < np.linalg.norm(ends[0] - ends[1]) <= 2 * 0.5 * (1 + 1e-6)


def test_blocks_take_their_steps_one_after_another():
    names = trained_names(toy_model().model)
    size = len(vector(toy_model(), names))
    plan = BlockSchedule(plan=replace(CLIPPED, gradient_clip=0.0), sizes=(100, size - 100))
    start = vector(toy_model(seed=1), names)
    end = vector(run(plan), names)
    for part in (slice(0, 100), slice(100, None)):
        norm = np.linalg.norm(start[part])
        assert np.allclose(end[part], start[part] * min(1, 0.5 / norm), atol=1e-6)


def test_a_gradient_that_is_no_number_counts_as_nothing_and_the_run_goes_on():
    target = toy_model(seed=1)
    for parameter in target.model.parameters():
        parameter.data.mul_(1e25)
    plan = replace(CLIPPED, start_clip=1e38, sigma=1e20)
    names = trained_names(target.model)
    rng, expected = source(5), vector(target, names)
    for _ in range(3):
        expected = expected + 1e20 * rng.standard_normal(len(expected))
    end = vector(run(plan, target=target), names)
    assert np.allclose(end, expected, rtol=1e-6)
    with pytest.raises(TargetError, match="float32"):
        run(replace(plan, sigma=1e39), target=target)


def test_progress_tells_of_steps_and_of_no_loss():
    heard = []
    with listening(lambda *told: heard.append(told)):
        run(CLIPPED)
    assert heard == [("noisy fine-tuning", step, 3, "") for step in (1, 2, 3)]


def test_nothing_to_retain_and_unknown_parameters_are_refused():
    with pytest.raises(ScopeError):
        run(CLIPPED, examples=Examples())
    with pytest.raises(UnknownName):
        run(CLIPPED, patterns=("no such thing",))
