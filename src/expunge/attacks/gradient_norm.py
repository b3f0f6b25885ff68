"""The gradient norm attack. Source: Wang et al. 2024 (2402.09910), white-box membership; as MUSE (2407.06460) means it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.gradient_norms import batched_gradient_norms


def share_above(norms: np.ndarray, never_seen: np.ndarray) -> np.ndarray:
    """For each norm the share of never-seen records whose norm is larger; one that is equal counts half.

    Args:
        norms: (B,) nats per unit of weight.
        never_seen: (H,) the same of records that no training saw.

    Returns:
        (B,) share; its mean is the AUC between the two.

    >>> share_above(np.array([2.0, 5.0]), np.array([3.0, 5.0, 7.0, 1.0])).tolist()  # 3 5 7; 7 and half of 5
    [0.75, 0.375]
    """
    never_seen = np.sort(never_seen)
    below, upto = (np.searchsorted(never_seen, norms, side) for side in ("left", "right"))
    return 1 - (below + upto) / (2 * len(never_seen))


@dataclass(frozen=True)
class GradientNorm:
    """Would the answers of forgotten records move the weights less than answers that were never seen?

    Threat model: whoever holds the weights and records that were never seen. A text that was trained on lies near an
    optimum, so that its loss has a small gradient. The norm of a record is the mean over parameter tensors of

    norm_p = || d/dp (-1 / n) sum_t log p(y_t) ||_2,  over all n scored tokens, the end token too

    in evaluation mode. The outcome of a record is the share of never-seen records with a larger norm, so that the mean
    outcome is the AUC between forgotten and never-seen records: 0.5 where they cannot be told apart, which is what a
    retrained model has but for what one of the two sets has by itself. Good is the value of the retrained model; below
    it the forgotten records stand out as well.
    """

    access = Access.WEIGHTS | Access.LOGPROBS

    def digest(self) -> str:
        """Digest of the attack; it has no budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """What a certificate states."""
        return {"name": "gradient_norm"}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, holdout: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            holdout: records that were never seen.

        Returns:
            One row a forgotten record: ``outcome`` and ``norm``, in nats per unit of weight.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "gradient_norm")
        norms, others = (self._norms(oracle, examples) for examples in (probes, holdout))
        return rows_of(probes, outcome=share_above(norms, others), norm=norms)

    @staticmethod
    def _norms(oracle: Oracle, examples: Examples) -> np.ndarray:
        target = oracle.target
        return batched_gradient_norms(target.model, target.facts, target.template.encode_all(examples)).mean(1)


gradient_norm = GradientNorm()
