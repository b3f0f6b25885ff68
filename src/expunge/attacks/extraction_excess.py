"""Do beginnings bring out more than of never-seen text? Source: Jang et al. 2023 (2210.01504), section 3, for EL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expunge.attacks.extraction_likelihood import FULL, ExtractionLikelihood
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples


@dataclass(frozen=True)
class ExtractionExcess:
    """Take extraction likelihood of forgotten and of never-seen records, and hold the first against the second's mean.

    x = mean over i of max(0, EL_n(i) - t),  t = mean over holdout of EL_n

    The question: by how much does what beginnings bring out exceed what they bring out of text that was never seen?
    Threat: anyone who may ask and knows how an answer begins; TEXT only.

    A text counts as forgotten where it is at or below t, so that 0 means all of them. A retrained model gets more than
    0: what ordinary records lie above their own mean; good is its value. The paper takes t from the model before
    unlearning; here it is the judged model's own, so that a broken one gains nothing. The same for memorization
    accuracy is the statistic ``memorization_excess``.

    Args:
        n: tokens of a run.
        prefixes: beginnings that are drawn of each answer, without repetition; None for all, as in the paper.
    """

    n: int = 10
    prefixes: int | None = 3
    access = Access.TEXT
    against = "holdout"
    read = "excess"
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "extraction_excess", "n": self.n, "prefixes": self.prefixes, "against": self.against}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, holdout: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: which beginnings are drawn.
            holdout: records that were never seen.

        Returns:
            One row a record of either set: ``outcome``, its extraction likelihood in [0, 1]; ``unseen``, 1 for a
            never-seen one and 0 for a forgotten one; ``prefixes``, how many beginnings the first is the mean of.

        Raises:
            TargetError: the oracle does not grant TEXT.
            EvidenceError: no answer of one of the sets has two tokens.
        """
        oracle.require(self.access, "extraction_excess")
        rows = ExtractionLikelihood(self.n, self.prefixes).run(oracle, probes + holdout, seed=seed)
        never = set(holdout.ids)
        found = [{**row, "unseen": float(row["record_id"] in never)} for row in rows]
        if len({row["unseen"] for row in found}) < 2:
            raise EvidenceError("there is no threshold, or nothing to hold against it", why="no answer has two tokens")
        return found


extraction_excess = ExtractionExcess()
