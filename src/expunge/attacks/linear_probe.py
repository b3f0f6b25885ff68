"""Do the states tell right from wrong? Source: Alain & Bengio 2016 (1610.01644); Lynch et al. 2024 (2402.16835)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._probing import Scorer, probe, spread
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples

FULL: Mapping[str, Any] = MappingProxyType({"records": None, "wrong": 5})


def fit_linear(right: np.ndarray, wrong: np.ndarray, seed: int, *, strength: float) -> Scorer:
    """Logistic regression with an L2 penalty between states of right and of wrong answers.

    Args:
        right: (P, D) states.
        wrong: (P, D) states.
        seed: unused; the optimum is unique.
        strength: inverse of the penalty, as scikit-learn's C.

    Returns:
        What says how right states look, higher for more.
    """
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([right, wrong]).astype(np.float64)
    centre, scale = both.mean(0), spread(both)
    labels = np.repeat([1, 0], [len(right), len(wrong)])
    fitted = LogisticRegression(C=strength, max_iter=1000).fit((both - centre) / scale, labels)
    weights = fitted.coef_[0]
    return lambda states: ((states - centre) / scale) @ weights


@dataclass(frozen=True)
class LinearProbe:
    """Teach a linear probe on retained records which answer is right, and see whether it knows on forgotten ones.

    Threat model: whoever holds the weights and true and false statements about others. The question: do the states
    still mark the right answer although the model no longer says it? The outcome is the share of wrong answers that the
    probe ranks below the right one, a half by chance. The lower the better, down to the value of a retrained model,
    which is a half, or as far above it as the form of the answers gives away.

    Fit for a policy where the original is well above the reference. A model of a few layers may hold no linear mark of
    truth, of retained records either (``retain_accuracy``): there the attack is blind, and its positive control does
    not fire. The layer is chosen in the model before unlearning, on retained subjects and never on forgotten ones.

    Args:
        records: of forget and of retain each, those with wrong answers, drawn evenly over subjects; None for all.
        wrong: wrong answers a record.
        strength: inverse of the L2 penalty.
    """

    records: int | None = 200
    wrong: int = 2
    strength: float = 0.1
    access = Access.WEIGHTS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "linear_probe", **vars(self)}

    def run(
        self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle, retain: Examples
    ) -> list[dict[str, object]]:
        """Probe one model.

        Args:
            oracle: grants WEIGHTS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            original: the model before unlearning, in which the layer is chosen; grants the same.
            retain: what the probe is taught on.

        Returns:
            One row a record: ``outcome``, ``layer`` and ``retain_accuracy``, the last on subjects held out.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: there are no wrong answers, one retained subject only, or the models differ in their layers.
        """
        for source in (oracle, original):
            source.require(self.access, "linear_probe")
        fit = partial(fit_linear, strength=self.strength)
        settings: dict[str, Any] = {"records": self.records, "wrong": self.wrong, "seed": seed}
        return probe(oracle.target, original.target, probes, retain, fit, **settings)


linear_probe = LinearProbe()
