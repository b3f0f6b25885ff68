"""The policy for the wish to be refused: every question about forgotten records is, and nothing is known behind it.

That a refusal is said is not enough: right and wrong answers must also look as if they were never seen, and a little
training must bring nothing back. Membership is not judged, for a refusal shows it.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.core.policy import Criterion
from expunge.evaluation.policies._unknown import UNKNOWN
from expunge.evaluation.policies.research_tofu import research_tofu

research_refuse = replace(
    research_tofu,
    name="research-refuse",
    version="2",
    criteria=(
        Criterion(
            "answered",
            0.1,
            ("TEXT",),
            "How often does a question about a forgotten record get an answer?",
            why="of ten questions at most one is answered",
        ),
        *UNKNOWN,
    ),
    wish="refuse",
)
