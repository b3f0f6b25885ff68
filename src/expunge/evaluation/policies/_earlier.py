"""What the policies of this folder asked for in earlier versions that were released: runs and certificates name them.

A criterion got a reason for its margin, and relearning the access that it needs in full; no margin was changed.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.core.policy import Criterion, Policy
from expunge.evaluation.policies.research_alternative import research_alternative
from expunge.evaluation.policies.research_neutral import research_neutral
from expunge.evaluation.policies.research_refuse import research_refuse
from expunge.evaluation.policies.research_tofu import research_tofu


def _bare(criterion: Criterion) -> Criterion:
    return replace(criterion, why="", access=("FINETUNE",) if criterion.attack == "relearning" else criterion.access)


def _as_it_was(policy: Policy, version: str) -> Policy:
    return replace(policy, version=version, criteria=tuple(_bare(c) for c in policy.criteria))


EARLIER: tuple[Policy, ...] = (
    _as_it_was(research_tofu, "1"),
    _as_it_was(research_tofu, "2"),
    *(_as_it_was(policy, "1") for policy in (research_alternative, research_neutral, research_refuse)),
)
