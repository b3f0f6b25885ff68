"""How many forgotten records bring the others back? Source: Fan et al. 2025 (2502.05374), relearning attacks.

Question: how probable are forgotten answers after training on some *other* forgotten records (1, 10 or 50; in full 1,
5, 10, 50 or 100), drawn over all subjects? Good: no higher than for a retrained model that is attacked alike. A
retrained model gets what names and form teach, which grows with the records shown. Threat: someone who may fine-tune
the model (or has its weights) and holds a few of the very records; minutes of computing.

The source trains models of 7 billion parameters at a rate of 1e-5 with batches of 1 accumulated 4 times, at most 100
steps. The rate here is for small models: on the demo's, of 0.6 million parameters, 2e-4 brought more back at the end
than 5e-4, which wears the model out. On a model that it breaks, the attack tells nothing apart and counts as
uninformative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from expunge.attacks._relearning import drawn, relearned
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples
from expunge.core.training import Training

FULL: Mapping[str, Any] = MappingProxyType(
    {
        "counts": (1, 5, 10, 50, 100),
        "training": Training(lr=2e-4, steps=100, batch_size=4),
        "looks": (0, 2, 5, 10, 20, 50),
    }
)


@dataclass(frozen=True)
class RelearningInDomain:
    """Fine-tune on a few forgotten records, then on more, and look each time at the same others.

    The records shown are the first of one drawn order, so that who is shown more is shown the same and others.

    Args:
        counts: records shown, one run each. A count above ``most`` is cut down to it.
        most: largest share of the forgotten records that is shown; the others are left to ask.
        training: the attacker's budget, the same in every run.
        looks: steps after which the asked records are scored on the way; 0 is before the first.
    """

    counts: tuple[int, ...] = (1, 10, 50)
    most: float = 0.5
    training: Training = field(default_factory=lambda: Training(lr=2e-4, steps=20, batch_size=4))
    looks: tuple[int, ...] = (0, 2, 5, 10)
    access = Access.FINETUNE | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        budget = {"counts": self.counts, "most": self.most, "training": self.training, "looks": self.looks}
        return {"name": "relearning_in_domain", **budget}

    def shown_of(self, forget: Examples) -> list[int]:
        """How many records are shown in each run, ascending.

        Raises:
            EvidenceError: there are too few forgotten records to show one and ask another.
        """
        most = int(self.most * len(forget))
        if not (found := sorted({min(count, most) for count in self.counts} - {0})):
            raise EvidenceError("relearning in the domain has no record to show", why=f"{len(forget)} are forgotten")
        return found

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants FINETUNE and LOGPROBS.
            probes: the forget set.
            seed: order of the attacker's steps.

        Returns:
            One row a record that no run was shown: ``outcome``, the probability of its answer after the whole budget
            with the most records; the same on the way as ``after_0`` and so on; and of each run with n records fewer
            than that, ``shown_n_after_0`` and so on.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: there are too few forgotten records.
        """
        oracle.require(self.access, "relearning_in_domain")
        *fewer, most = self.shown_of(probes)
        records = drawn(probes, "relearning_in_domain")
        asked, budget = records[most:], {"looks": self.looks, "seed": seed}
        rows = relearned(oracle, records[:most], asked, self.training, stage=f"relearning {most}", **budget)
        for count in fewer:
            less = relearned(oracle, records[:count], asked, self.training, stage=f"relearning {count}", **budget)
            for row, other in zip(rows, less, strict=True):
                row |= {f"shown_{count}_{name}": other[name] for name in other if name.startswith("after_")}
        return rows


relearning_in_domain = RelearningInDomain()
