"""The policy for research on TOFU-like question answering: forgotten answers must look as if they were never seen."""

from __future__ import annotations

from expunge.core.policy import Criterion, Policy

research_tofu = Policy(
    name="research-tofu",
    version="1",
    criteria=(
        Criterion(
            attack="forget_quality",
            margin=0.15,
            access=("LOGPROBS",),
            question="Do right and wrong answers look as they do to a model that never saw the records?",
        ),
        Criterion(
            attack="min_k_auc",
            margin=0.1,
            access=("LOGPROBS",),
            question="Can forgotten records be told from records that were never seen?",
        ),
        Criterion(
            attack="relearning",
            margin=0.1,
            access=("FINETUNE",),
            question="Does a little training bring back more than it gives a model that never knew?",
        ),
    ),
    utility_floor=0.9,
    level=0.9,
    positive_control=3.0,
)
