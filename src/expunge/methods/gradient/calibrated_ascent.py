"""Calibrated ascent with a retain term. Source: this project; see ``objectives/calibrated_ascent.py``."""

from expunge.core.objective import constant
from expunge.methods.gradient._gradient import Gradient
from expunge.objectives.calibrated_ascent import calibrated_ascent as rise_to
from expunge.objectives.nll import nll

calibrated_ascent = Gradient(
    loss=rise_to.bind(level=constant("never_seen_level", quantile=0.03)) + 1.0 * nll.bind().on("retain"),
    lr=1e-4,
    steps=60,
    batch_size=24,
    name="calibrated_ascent",
    source="this project",
)
