"""Gradient ascent on the forget set. Source: Jang et al. 2022 (2210.01504), equation 1."""

from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.grad_ascent import grad_ascent as ascend

grad_ascent = Gradient(
    loss=ascend.bind(),
    lr=3e-4,
    steps=60,
    batch_size=24,
    name="grad_ascent",
    tuned=(("lr", 1e-4, 1e-3), ("steps", 20, 60)),
    source="2210.01504, equation 1",
)
