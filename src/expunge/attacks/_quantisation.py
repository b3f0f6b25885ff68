"""Ask a model for the forgotten answers after its weights were made coarser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expunge.attacks._rows import known, rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.quantise import Grid, quantised
from expunge.engine.score import score
from expunge.metrics.truth_ratio import truth_ratio


@dataclass(frozen=True)
class Quantisation:
    """Quantise a copy of the model and ask it for the forgotten answers.

    Args:
        name: of the attack.
        grid: where the linear weights of the copy may lie.
    """

    name: str
    grid: Grid
    access = Access.WEIGHTS | Access.LOGPROBS

    def digest(self) -> str:
        """Digest of the attack with its grid."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The grid, as a certificate states it."""
        return {"name": self.name, "grid": self.grid, "kept": "embeddings, head, norms, biases"}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: changes nothing; the attack draws nothing.

        Returns:
            One row a record: ``outcome``, the probability of its answer under the quantised copy; ``before``, the same
            under the model as it is; and, where every record has a rewording and wrong answers, the quantised copy's
            ``truth_ratio``.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: the model has no linear layer.
        """
        oracle.require(self.access, self.name)
        copy = quantised(oracle.target, self.grid)
        columns = {"outcome": known(copy, probes), "before": known(oracle.target, probes)}
        if all(e.paraphrased_answer and e.perturbed_answer for e in probes):
            columns["truth_ratio"] = truth_ratio.of(score(copy, probes, truth_ratio.needs))
        return rows_of(probes, **columns)
