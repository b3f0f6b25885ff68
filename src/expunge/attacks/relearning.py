"""Relearning: does a little fine-tuning bring the rest back? Source: Deeb & Roger 2024 (2410.08827), section 3.

Question: how probable are the forgotten answers of a subject after training on a few other forgotten records of it?
Good: no higher than for a retrained model that is attacked alike. A retrained model gets what names and form teach.
Threat: someone who may fine-tune the model (or has its weights) and holds some of the very records of every subject;
minutes of computing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from expunge.attacks._relearning import relearned
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order
from expunge.core.training import Training

FULL: Mapping[str, Any] = MappingProxyType(
    {
        "training": Training(lr=5e-4, steps=100, batch_size=20),
        "looks": (0, 2, 5, 10, 20, 50),
    }
)


@dataclass(frozen=True)
class Relearning:
    """Fine-tune on a few forgotten records of each subject, then look at the others.

    The facts of one subject are independent, so that the records shown teach nothing about those asked; what they
    nevertheless teach (the names, the form) a model that never knew learns as well: it is the control arm.

    Args:
        shown: records a subject that the attacker has.
        training: the attacker's budget.
        looks: steps after which the asked records are scored on the way; 0 is before the first. What is found on the
            way is for the recovery curve; the outcome is that of the whole budget.
    """

    shown: int = 2
    training: Training = field(default_factory=lambda: Training(lr=5e-4, steps=20, batch_size=20))
    looks: tuple[int, ...] = (0, 2, 5, 10)
    access = Access.FINETUNE | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "relearning", "shown": self.shown, "training": self.training, "looks": self.looks}

    def split(self, forget: Examples) -> tuple[Examples, Examples]:
        """Records shown to the attacker and records asked afterwards.

        Raises:
            EvidenceError: no subject has more records than are shown.
        """
        by_subject: dict[str, list[Example]] = {}
        for example, subject in zip(forget, forget.subjects, strict=True):
            by_subject.setdefault(subject, []).append(example)
        shown: list[Example] = []
        asked: list[Example] = []
        for subject, records in by_subject.items():
            order = keyed_order([r.record_id for r in records], 0, "relearning", subject)
            shown += [records[i] for i in order[: self.shown]]
            asked += [records[i] for i in order[self.shown :]]
        if not asked:
            raise EvidenceError("relearning has nothing left to ask", why=f"it shows {self.shown} records a subject")
        return Examples(shown), Examples(asked)

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants FINETUNE and LOGPROBS.
            probes: the forget set.
            seed: order of the attacker's steps.

        Returns:
            One row an asked record: ``record_id``, ``subject``, ``outcome``, the probability of its answer, and the
            same on the way as ``after_0``, ``after_2`` and so on, the last of which is the outcome.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "relearning")
        shown, asked = self.split(probes)
        return relearned(oracle, shown, asked, self.training, looks=self.looks, seed=seed, stage="relearning")


relearning = Relearning()
