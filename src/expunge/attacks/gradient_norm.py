"""The gradient norm attack. Source: Wang et al. 2024 (2402.09910), white-box; as MUSE (2407.06460) means it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.gradient_norms import batched_gradient_norms


@dataclass(frozen=True)
class GradientNorm:
    """Would the answers of forgotten records move the weights less than answers that were never seen?

    Threat model: whoever holds the weights and records that were never seen. The question: do gradients of forgotten
    answers give away that they were trained on? A text that was lies near an optimum, so that its loss has a small
    gradient. The norm of a record is the mean over parameter tensors of

    norm_p = || d/dp (-1 / n) sum_t log p(y_t) ||_2,  over all n scored tokens, the end token too

    in evaluation mode. There are rows of forgotten and of never-seen records, and they are read as the AUC between the
    two, over resamples of both: 0.5 where they cannot be told apart, which is what a retrained model has but for what
    one of the two sets has by itself. Good is the value of the retrained model; below it the forgotten records stand
    out as well.
    """

    access = Access.WEIGHTS | Access.LOGPROBS
    against = "holdout"

    def digest(self) -> str:
        """Digest of the attack; it has no budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """What a certificate states."""
        return {"name": "gradient_norm", "against": self.against}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, holdout: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            holdout: records that were never seen.

        Returns:
            One row a record of either set: ``outcome``, minus its norm in nats per unit of weight, and ``unseen``, 1
            for a never-seen one and 0 for a forgotten one.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "gradient_norm")
        target, both = oracle.target, probes + holdout
        norms = batched_gradient_norms(target.model, target.facts, target.template.encode_all(both)).mean(1)
        unseen = np.repeat([0.0, 1.0], [len(probes), len(holdout)])
        return rows_of(both, outcome=-norms, unseen=unseen)


gradient_norm = GradientNorm()
