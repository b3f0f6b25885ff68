"""Gradient difference: ascend on forget, descend on retain. Source: Liu et al. 2022 (2203.12817); TOFU (2401.06121), 3.2."""

from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.grad_ascent import grad_ascent as ascend
from expunge.objectives.nll import nll

grad_diff = Gradient(
    loss=ascend.bind() + 1.0 * nll.bind().on("retain"),
    lr=1e-4,
    steps=60,
    batch_size=24,
    name="grad_diff",
    source="2401.06121, section 3.2",
)
