"""Ascent, answers to other questions, distributions on retain. Source: Yao et al. 2023 (2310.10683), equations 2 to 5.

The paper holds the distributions on normal data of another task; here they are held on what is to be kept, with a
weight of 7, and training ends as soon as the forgotten answers cost 4 nats a token: both were found on the demo.
"""

from expunge.core.training import Stop
from expunge.methods.gradient._gradient import Gradient
from expunge.methods.gradient._short import short
from expunge.objectives.grad_ascent import grad_ascent as ascend
from expunge.objectives.kl import kl
from expunge.objectives.nll_alt import nll_alt

llmu = Gradient(
    loss=0.5 * ascend.bind() + 1.0 * nll_alt.bind() + 7.0 * kl.bind(),
    steps=120,
    alternative="mismatched",
    stop=Stop("loss", at_most=-4.0, every=5),
    name="llmu",
    tuned=(("retain_weight", 1, 10), ("steps", 90, 120), ("lr", 3e-3, 4e-3)),
    source="2310.10683, equations 2 to 5",
    **short(lr=3e-3),
)
