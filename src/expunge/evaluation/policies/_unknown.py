"""What must not be known behind an answer of another kind. A model that says or relearns less than one is no failure.

Membership is not among it: that something was forgotten is what such an answer shows.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.core.policy import Criterion
from expunge.evaluation.policies.research_tofu import research_tofu

WORD = "a tenth of an answer's words, about one word; models that never knew differ by as much in form and common words"

UNKNOWN: tuple[Criterion, ...] = (
    Criterion("rouge_l", 0.1, ("TEXT",), "Which share of the forgotten answers is said?", side="above", why=WORD),
    *(replace(c, side="above") for c in research_tofu.criteria if c.attack != "min_k_auc"),
)
