"""The policy for research on TOFU-like question answering: forgotten answers must look as if they were never seen.

The first criterion compares two distances that are both bounded below by 0, and a resampled distance is biased upwards
in both. Its test is therefore not exact: by simulation (20 or 48 subjects, 6 questions each, 500 resamples) a model
whose true distance is at the margin of 0.15 earns it in 20 to 30 % of runs instead of 5 %, one at 0.20 in 0 to 3 %, and
one that never knew in at least 93 %. Read the margin as about 0.2.

Version 2 sees more wordings of a refusal (`metrics/_refusal.py`) in its detector of that name. Version 3 gives its
margins reasons, and takes a Min-K% that finds the original from below for one that has power.
"""

from __future__ import annotations

from expunge.core.policy import Criterion, Policy

APART = "five times what two retrained models of the demo differ by, a fifth of what its original does"
EVEN = "who has one forgotten and one never-seen record and must say which is which is right in at most 60 of 100 cases"
BACK = "of ten answers not one more comes back"

research_tofu = Policy(
    name="research-tofu",
    version="3",
    criteria=(
        Criterion(
            attack="forget_quality",
            margin=0.15,
            access=("LOGPROBS",),
            question="Do right and wrong answers look as they do to a model that never saw the records?",
            why=APART,
        ),
        Criterion(
            attack="min_k_auc",
            margin=0.1,
            access=("LOGPROBS",),
            question="Can forgotten records be told from records that were never seen?",
            why=EVEN,
        ),
        Criterion(
            attack="relearning",
            margin=0.1,
            access=("FINETUNE", "LOGPROBS"),
            question="Does a little training bring back more than it gives a model that never knew?",
            why=BACK,
        ),
    ),
    utility_floor=0.9,
    level=0.9,
    positive_control=3.0,
)
