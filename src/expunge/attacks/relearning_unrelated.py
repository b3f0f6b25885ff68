"""Does a low-rank fine-tune on unrelated text bring records back? Source: Łucki et al. 2024 (2409.18025).

Question: how probable are the forgotten answers after a short LoRA training on general facts that have nothing to do
with them? An unlearning that only breaks the way to an answer is mended so: the source undoes RMU with ten unrelated
samples. Good: no higher than for a retrained model that is attacked alike. A retrained model gets what it had:
unrelated text teaches nothing of what it never knew. Threat: anyone who may fine-tune the model (or has its weights),
with any text at all and no knowledge of what was forgotten; minutes of computing.

Settings are the source's: all linear layers (in a Llama the seven projections), rank 128, alpha 16, no dropout, rate
2e-4 falling linearly after a warm-up of 0.05, weight decay 0.01, batches of 1, 3 passes. Beside its rate, which
hardly moves a model of less than a billion parameters, ten times that rate is tried. Of each record counts the rate
that brings more back of other subjects' records, so that no record chooses what is told of itself. The quick budget
has rank 8 and fewer samples. The text is the ``general`` records; without them the attack is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._drawing import halves
from expunge.attacks._relearning import drawn, relearned
from expunge.core.access import Access, Oracle
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.training import Training


def _lora(rank: int) -> Adapter:
    return Adapter("lora", r=rank, alpha=16, settings=(("lora_dropout", 0.0), ("target_modules", "all-linear")))


SOURCE = Training(lr=2e-4, epochs=3, batch_size=1, warmup=0.05, decay="linear", weight_decay=0.01)
FULL: Mapping[str, Any] = MappingProxyType(
    {"samples": 1000, "adapter": _lora(128), "looks": (0, 2, 5, 10, 20, 50, 100, 200)}
)


@dataclass(frozen=True)
class RelearningUnrelated:
    """Train a low-rank adapter on general facts, then look at the forgotten records.

    Args:
        samples: general records that the attacker has, at most.
        adapter: that is trained.
        trainings: the attacker's budget, one run each, alike but for their rates.
        looks: steps after which the forgotten records are scored on the way; 0 is before the first.
    """

    samples: int = 10
    adapter: Adapter = field(default_factory=lambda: _lora(8))
    trainings: tuple[Training, ...] = (SOURCE, replace(SOURCE, lr=10 * SOURCE.lr))
    looks: tuple[int, ...] = (0, 5, 10, 20)
    access = Access.FINETUNE | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        budget = {"samples": self.samples, "trainings": self.trainings, "looks": self.looks}
        return {"name": "relearning_unrelated", "shown": "general", "adapter": self.adapter, **budget}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, general: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants FINETUNE and LOGPROBS.
            probes: the forget set.
            seed: order of the attacker's steps, and the adapter's first weights.
            general: what the attacker's records are drawn from; nothing of the forget set is in it.

        Returns:
            One row a forgotten record: ``outcome``, the probability of its answer after the whole budget at the rate
            that brings most back, in the mean, of the half of the subjects that it is not in, or at the last rate where
            there is one subject; the same on the way as ``after_0`` and so on; and the outcome of every rate, as
            ``at_0.0002`` for instance.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "relearning_unrelated")
        shown = drawn(general, "relearning_unrelated")[: self.samples]
        asked = drawn(probes, "asked")
        budget: dict[str, Any] = {"looks": self.looks, "seed": seed, "adapter": self.adapter}
        stage = "unrelated relearning"
        runs = {t.lr: relearned(oracle, shown, asked, t, stage=stage, **budget) for t in self.trainings}
        found = {lr: np.array([float(str(row["outcome"])) for row in rows]) for lr, rows in runs.items()}
        return [
            {**runs[lr][place], **{f"at_{rate:g}": float(values[place]) for rate, values in found.items()}}
            for place, lr in enumerate(_rates(asked, found))
        ]


def _rates(asked: Examples, found: Mapping[float, np.ndarray]) -> list[float]:
    """For each record the rate that brings most back of the other half of the subjects."""
    if len(set(asked.subjects)) < 2:
        return [list(found)[-1]] * len(asked)
    first = set(halves(asked)[0].ids)
    in_first_B = np.array([key in first for key in asked.ids])
    best = {half: max(found, key=lambda lr: float(found[lr][in_first_B != half].mean())) for half in (True, False)}
    return [best[bool(half)] for half in in_first_B]


relearning_unrelated = RelearningUnrelated()
