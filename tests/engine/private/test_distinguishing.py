"""The steps of DP-SGD are not told apart beyond their epsilon, and with half of the noise they are.

Many plays are one run: each unit has two parameters of its own, on which its clipped gradient has the full norm,
whatever the weights are. Units are drawn and noise is added as always. Clipping has tests of its own; here it is
a constant.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.engine.private.steps import private_steps
from expunge.targets.private.account import Mechanism
from expunge.testing.games import Game, play

DELTA, LOT, DIRECTION = 0.02, 4.0, (0.6, 0.8)
MECHANISM = Mechanism(sigma=1.2, rate=0.5, steps=3, clip=3.0, randomness="seed")


class Outward:
    """In the place of a clipper: each drawn unit points one way on its own parameters, with the norm of the clip."""

    def __init__(self, plays: int) -> None:
        self.wrapped = torch.nn.Linear(2, plays, bias=False)
        self.trained = [self.wrapped.weight]

    def add(self, losses, numbers):
        [weight] = self.trained
        if weight.summed_grad is None:
            weight.summed_grad = torch.zeros_like(weight)
        weight.summed_grad[losses.long()] += MECHANISM.clip * torch.tensor(DIRECTION)
        return torch.ones(len(losses))


class Watching:
    """An optimiser that keeps what each step would be."""

    def __init__(self, weight: torch.nn.Parameter) -> None:
        self.weight, self.seen = weight, []

    def step(self) -> None:
        self.seen.append(self.weight.grad.numpy().copy())


def game(mechanism: Mechanism) -> Game:
    """The record of each play is in the data of one world and not in that of the other."""
    epsilon = MECHANISM.epsilon(DELTA, units=1).epsilon
    shift, width = mechanism.clip / LOT, mechanism.sigma * mechanism.clip / LOT

    def world(there: bool):
        def outputs(plays, rng):
            clipper = Outward(plays)
            watching = Watching(clipper.trained[0])
            groups = [[row] for row in range(plays)] if there else []
            how = {"seed": int(rng.integers(2**31)), "lot": LOT, "at_once": 4096}
            private_steps(clipper, watching, groups, lambda rows: torch.tensor(rows).double(), mechanism, **how)
            return np.concatenate(watching.seen, axis=1, dtype=np.float64)

        return outputs

    def log_ratio(outputs):
        along = outputs.reshape(len(outputs), mechanism.steps, 2) @ np.array(DIRECTION)
        told = (along * shift - shift**2 / 2) / width**2
        return np.log1p(mechanism.rate * np.expm1(told)).sum(axis=1)

    return play(world(True), world(False), epsilon=epsilon, delta=DELTA, seed=5, log_ratio=log_ratio)


@pytest.mark.slow
def test_no_player_beats_the_stated_epsilon_and_half_of_the_noise_is_caught():
    assert not game(MECHANISM).beaten
    assert game(replace(MECHANISM, sigma=MECHANISM.sigma / 2)).beaten
