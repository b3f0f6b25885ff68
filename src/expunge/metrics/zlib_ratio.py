"""The zlib attack. Source: Carlini et al. 2021 (2012.07805), section 5.2, with the loss per token as in MUSE."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


def compressed(text: str) -> int:
    """How much a text holds, by a compressor: zlib at its default level.

    Args:
        text: () words.

    Returns:
        () bytes.

    >>> compressed("aaaa aaaa aaaa aaaa aaaa aaaa")
    16
    """
    return len(zlib.compress(text.encode()))


@score(
    better="reference",
    question="Is the answer likelier than its content, as a compressor sees it, explains?",
    retrained="the same on forgotten as on never-seen records, an AUC near 0.5",
    attack=Access.LOGPROBS,
)
def zlib_ratio(token_logp: Any, mask: Any, text: Sequence[str]) -> np.ndarray:
    """The loss beside what a compressor makes of the text: easy texts have small losses unseen. Higher: a member.

    s = (1 / (n z)) sum_t log p_t,  z = bytes of the zlib-compressed answer

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.
        text: (B,) words. the record's answer.

    Returns:
        (B,) nats per byte, at most 0; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape or in number.

    >>> zlib_ratio([[-1.0, -2.0]], [[1, 1]], ["aaaa aaaa aaaa aaaa aaaa aaaa"])  # -1.5 / 16
    array([-0.09375])
    """
    logp_B = mean_logp(token_logp, mask)
    if len(text) != len(logp_B):
        raise EvidenceError(
            "answers and their log-probabilities differ in number", why=f"{len(text)} against {len(logp_B)}"
        )
    return logp_B / np.array([compressed(answer) for answer in text], dtype=np.float64)
