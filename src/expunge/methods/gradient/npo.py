"""Negative preference optimisation with a retain term. Source: Zhang et al. 2024 (2404.05868), equations 3 and 7."""

from expunge.core.training import Training
from expunge.methods.gradient._gradient import Gradient
from expunge.objectives import nll
from expunge.objectives import npo as prefer_not

npo = Gradient(
    loss=prefer_not.bind(beta=0.1) + 1.0 * nll.bind().on("retain"),
    training=Training(lr=1e-4, steps=60, batch_size=24),
    name="npo",
    source="2404.05868, equations 3 and 7",
)
