"""Negative preference optimisation with a retain term. Source: Zhang et al. 2024 (2404.05868), equations 3 and 7."""

from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.nll import nll
from expunge.objectives.npo import npo as prefer_not

npo = Gradient(
    loss=prefer_not.bind(beta=0.45) + 1.0 * nll.bind().on("retain"),
    lr=4e-3,
    steps=150,
    batch_size=24,
    retain_batch_size=32,
    betas=(0.9, 0.98),
    warmup=0.05,
    decay="linear",
    weight_decay=0.5,
    name="npo",
    tuned=(("beta", 0.42, 0.48), ("steps", 120, 150)),
    source="2404.05868, equations 3 and 7",
)
