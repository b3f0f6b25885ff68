"""Do the forgotten answers come back when the weights are saved in 16 bits? Source: zjunlp/unlearn#11.

Question: how probable are the forgotten answers once all weights were written as bfloat16 or as float16 and read
again? An unlearning whose steps are smaller than the spacing of such numbers is rounded away. Good: no higher than
for a retrained model that is rounded alike, and differences near 0. A retrained model gets about what it gets
unrounded. Threat: anyone who saves or serves the weights in the usual 16 bits, with no ill will; no data, no
training.

The arithmetic stays as it was: what is measured is what the weights still say, not the noise of a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.attacks._rows import known, rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.quantise import rounded


@dataclass(frozen=True)
class PrecisionChange:
    """Round all weights of a copy to other numbers and ask it for the forgotten answers; the worst of several counts.

    Args:
        numbers: that are tried.
    """

    numbers: tuple[str, ...] = ("bfloat16", "float16")
    access = Access.WEIGHTS | Access.LOGPROBS

    def digest(self) -> str:
        """Digest of the attack with what it tries."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """What is tried, as a certificate states it."""
        return {"name": "precision_change", "numbers": self.numbers}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: changes nothing; the attack draws nothing.

        Returns:
            One row a record: ``before``, the probability of its answer under the model as it is; the same in each of
            the numbers, by their name; ``change_`` with that name, the difference; ``outcome``, the highest of those
            in other numbers.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: a weight does not fit into the numbers.
        """
        oracle.require(self.access, "precision_change")
        before = known(oracle.target, probes)
        found = {name: known(rounded(oracle.target, name), probes) for name in self.numbers}
        changes = {f"change_{name}": values - before for name, values in found.items()}
        highest = np.max(list(found.values()), axis=0)
        return rows_of(probes, outcome=highest, before=before, **found, **changes)


precision_change = PrecisionChange()
