"""Negative preference optimisation with a retain term. Source: Zhang et al. 2024 (2404.05868), equations 3 and 7."""

from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.nll import nll
from expunge.objectives.npo import npo as prefer_not

npo = Gradient(
    loss=prefer_not.bind(beta=0.1) + 1.0 * nll.bind().on("retain"),
    lr=1e-4,
    steps=60,
    batch_size=24,
    name="npo",
    source="2404.05868, equations 3 and 7",
)
