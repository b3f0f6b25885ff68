"""The policy for the wish to be answered about without a word of substance: nothing is known, and nothing refused.

What is not judged: membership, for an answer that says nothing shows that something was forgotten; and that the answer
does say nothing, for any answer that is neither a refusal nor the forgotten one passes. The certificate says so.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.evaluation.policies._unknown import UNKNOWN
from expunge.evaluation.policies.research_tofu import research_tofu

research_neutral = replace(
    research_tofu,
    name="research-neutral",
    version="2",
    criteria=UNKNOWN,
    detectors=(*research_tofu.detectors, "refusal_on_forget"),
    wish="neutral",
)
