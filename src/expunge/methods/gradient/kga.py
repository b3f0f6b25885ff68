"""Knowledge gap alignment. Source: Wang et al. 2023 (2305.06535), equations 3 to 5; needs never-seen records.

The paper ends training by how far the gap has closed; here the number of steps is fixed. The weight of 3 on what is
kept was found on the demo.
"""

from expunge.core.auxiliary import Auxiliary
from expunge.core.objective import constant
from expunge.core.training import Training
from expunge.methods.gradient._gradient import Gradient
from expunge.methods.gradient._short import short
from expunge.objectives.kga import kga as align
from expunge.objectives.reverse_kl import reverse_kl

LEARNING = Training(lr=4e-3, epochs=30, batch_size=32, warmup=0.05, decay="linear", betas=(0.9, 0.98))

kga = Gradient(
    loss=align.bind(gap=constant("knowledge_gap")) + 3.0 * reverse_kl.bind().on("retain"),
    auxiliaries=(
        Auxiliary("expert", role="forget", training=LEARNING, start="fresh"),
        Auxiliary("novice", role="never_seen", training=LEARNING, start="fresh"),
    ),
    steps=120,
    name="kga",
    tuned=(("retain_weight", 0.1, 3),),
    source="2305.06535, equations 3 to 5",
    **short(),
)
