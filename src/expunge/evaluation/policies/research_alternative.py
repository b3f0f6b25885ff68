"""The policy for the wish to be answered about otherwise, read against models that learned the other answers instead.

The references are trained on what is kept and on the alternative answers: `expunge.methods.exact.retrain` makes them
when it is set to answer this wish.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.core.policy import Criterion
from expunge.evaluation.policies._unknown import WORD
from expunge.evaluation.policies.research_tofu import research_tofu

research_alternative = replace(
    research_tofu,
    name="research-alternative",
    version="2",
    criteria=(
        Criterion("unsaid", 0.1, ("TEXT",), "How much of the alternative answers is left unsaid?", why=WORD),
        Criterion("rouge_l", 0.1, ("TEXT",), "Which share of the forgotten answers is said?", why=WORD),
        *(c for c in research_tofu.criteria if c.attack != "min_k_auc"),
    ),
    wish="alternative",
)
