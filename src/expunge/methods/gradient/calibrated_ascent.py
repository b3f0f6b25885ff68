"""Calibrated ascent with a retain term. Source: this project; see ``objectives/calibrated_ascent.py``."""

from expunge.core.objective import constant
from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.calibrated_ascent import calibrated_ascent as rise_to
from expunge.objectives.nll import nll

calibrated_ascent = Gradient(
    loss=rise_to.bind(level=constant("never_seen_level", scale=0.58)) + 1.0 * nll.bind().on("retain"),
    lr=4e-3,
    steps=120,
    batch_size=24,
    retain_batch_size=48,
    betas=(0.9, 0.98),
    warmup=0.05,
    decay="linear",
    weight_decay=0.5,
    name="calibrated_ascent",
    tuned=(("scale", 0.5, 0.66), ("steps", 120, 150)),
    source="this project",
)
