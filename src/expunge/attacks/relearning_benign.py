"""Does training on related public text bring forgotten records back? Source: Hu et al. 2024 (2406.13356).

Question: how probable are the forgotten answers after training on records of the same kind about others, which were
never to be forgotten? Good: no higher than for a retrained model that is attacked alike. A retrained model gets what
the kind of text teaches, close to what it had. Threat: someone who may fine-tune the model (or has its weights) and
holds nothing of what was forgotten, only text like it; minutes of computing. No ill will is needed: a customer who
fine-tunes does the same.

The rate and the number of steps are for small models, as in ``relearning_in_domain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from expunge.attacks._relearning import drawn, relearned
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.training import Training

FULL: Mapping[str, Any] = MappingProxyType(
    {"samples": 400, "training": Training(lr=2e-4, steps=100, batch_size=20), "looks": (0, 2, 5, 10, 20, 50)}
)


@dataclass(frozen=True)
class RelearningBenign:
    """Fine-tune on retained records, then look at the forgotten ones.

    Args:
        samples: retained records that the attacker has, at most.
        training: the attacker's budget.
        looks: steps after which the forgotten records are scored on the way; 0 is before the first.
    """

    samples: int = 40
    training: Training = field(default_factory=lambda: Training(lr=2e-4, steps=20, batch_size=20))
    looks: tuple[int, ...] = (0, 2, 5, 10)
    access = Access.FINETUNE | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        budget = {"samples": self.samples, "training": self.training, "looks": self.looks}
        return {"name": "relearning_benign", "shown": "retain", **budget}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, retain: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants FINETUNE and LOGPROBS.
            probes: the forget set.
            seed: order of the attacker's steps.
            retain: what the attacker's records are drawn from; nothing of the forget set is in it.

        Returns:
            One row a forgotten record: ``outcome``, the probability of its answer after the whole budget, and the
            same on the way as ``after_0`` and so on.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "relearning_benign")
        shown = drawn(retain, "relearning_benign")[: self.samples]
        asked = drawn(probes, "asked")
        return relearned(oracle, shown, asked, self.training, looks=self.looks, seed=seed, stage="benign relearning")


relearning_benign = RelearningBenign()
