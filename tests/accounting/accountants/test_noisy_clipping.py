"""Fine-tuning whose gradients, or weights, are clipped: what its accountants read, and what they come to."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.accounting.recount import recount, recounted
from expunge.core.errors import ClaimError
from expunge.core.evidence import Proof
from expunge.targets.noisy.block_schedule import BlockSchedule
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping

CLIPPED = GradientClipping(start_clip=0.75, gradient_clip=0.5, lr=0.25, decay=0.0, sigma=3.0, steps=8)
BLOCKS = BlockSchedule(plan=CLIPPED, sizes=(3, 2, 2))
BOXED = ModelClipping(clip=1.5, lr=0.25, sigma=3.0, steps=4)
DELTA = 1e-4
PLANS = [CLIPPED, replace(CLIPPED, decay=0.5), BLOCKS, BOXED]


def proof(plan, delta=DELTA) -> Proof:
    return Proof(
        plan.accountant, ("...",), tuple(sorted(plan.numbers.items())), epsilon=plan.epsilon(delta), delta=delta
    )


@pytest.mark.parametrize("plan", PLANS)
def test_whoever_has_the_numbers_comes_to_the_same(plan):
    stated = proof(plan)
    assert recount(stated) == plan.epsilon(DELTA) and recounted(stated) == ""


@pytest.mark.parametrize("plan", PLANS)
def test_a_number_that_was_changed_in_ones_favour_is_noticed(plan):
    stated = proof(plan)
    for name, text in stated.numbers:
        if name == "decay" and float(text) == 0:
            continue
        less, more = ("2", "40") if name in ("steps", "blocks") else (repr(float(text) * 0.8), repr(float(text) * 1.25))
        found = []
        for changed in (less, more):
            numbers = tuple((n, changed if n == name else t) for n, t in stated.numbers)
            found.append(recounted(replace(stated, numbers=numbers)) != "")
        assert any(found), name
    assert recounted(replace(stated, epsilon=stated.epsilon * 0.999)) != ""


def test_gradient_clipping_is_the_closed_form_where_nothing_decays():
    rho = (2 * 0.75 + 2 * 0.25 * 0.5 * 8) ** 2 / (2 * 8 * 9)
    assert pytest.approx(rho) == CLIPPED.rho and pytest.approx(3 * rho) == BLOCKS.rho
    orders = 1 + np.logspace(-3, 4, 20_000)
    for plan, spent in ((CLIPPED, rho), (BLOCKS, 3 * rho)):
        best = (orders * spent + np.log1p(-1 / orders) - np.log(DELTA * orders) / (orders - 1)).min()
        assert best * (1 - 1e-9) <= plan.epsilon(DELTA) <= best * 1.002


def test_model_clipping_is_the_product_over_the_steps():
    normal, epsilon, shift = NormalDist(), BOXED.epsilon(DELTA), 2 * 1.5 / 3.0
    one = normal.cdf(shift / 2 - epsilon / shift) - math.exp(epsilon) * normal.cdf(-shift / 2 - epsilon / shift)
    assert one**4 == pytest.approx(DELTA, rel=1e-6)


@settings(max_examples=6)
@given(epsilon=st.floats(0.05, 200), delta=st.floats(1e-9, 0.1), more=st.floats(1.05, 4))
@pytest.mark.parametrize("plan", PLANS)
def test_calibrated_noise_is_enough_and_falls_with_epsilon_and_delta(plan, epsilon, delta, more):
    def noise(made) -> float:
        return made.plan.sigma if isinstance(made, BlockSchedule) else made.sigma

    least = plan.calibrated(epsilon, delta)
    assert least.epsilon(delta) <= epsilon * (1 + 1e-9)
    assert noise(plan.calibrated(epsilon * more, delta)) < noise(least)
    assert noise(plan.calibrated(epsilon, delta * more)) < noise(least)


def test_noise_grows_with_the_ball_and_the_clip_and_blocks_cost_their_root():
    for plan, field in ((CLIPPED, "start_clip"), (CLIPPED, "gradient_clip"), (BOXED, "clip")):
        wider = replace(plan, **{field: 3 * getattr(plan, field)})
        assert wider.calibrated(2.0, DELTA).sigma > plan.calibrated(2.0, DELTA).sigma
    assert BLOCKS.calibrated(2.0, DELTA).plan.sigma == pytest.approx(
        math.sqrt(3) * CLIPPED.calibrated(2.0, DELTA).sigma
    )


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("name", "text"), [("sigma", "nan"), ("sigma", "0.0"), ("steps", "0"), ("steps", "10000000000000"), ("sigma", "x")]
)
def test_numbers_that_mean_nothing_are_refused(plan, name, text):
    stated = proof(plan)
    if (plan, name, text) == (BOXED, "steps", "10000000000000"):
        return
    with pytest.raises(ClaimError):
        recount(replace(stated, numbers=tuple((n, text if n == name else t) for n, t in stated.numbers)))
