"""Are the inner states still those of the original? Source: linear CKA, Kornblith et al. 2019 (1905.00414)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._drawing import evenly
from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples
from expunge.engine.activations import pooled, require_alike

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


def cka_contributions(first: Any, second: Any) -> np.ndarray:
    """What each item adds to the likeness of two sets of states; the mean is the linear CKA.

    c_i = n * sum_j K_ij L_ij / (||K|| ||L||),  K = X X^T, L = Y Y^T of centred X and Y, Frobenius norms

    Args:
        first: (n, D) states of one model.
        second: (n, E) states of the other on the same items.

    Returns:
        (n,) shares; their mean is 1 for equal states, whatever their rotation and scale. All zero where the states of
        a model do not differ between items.

    Raises:
        EvidenceError: they are not about the same number of items.

    >>> cka_contributions([[1.0], [2.0], [6.0]], [[5.0], [7.0], [15.0]]).mean().item()  # y = 2 x + 3
    1.0
    >>> x, y = [[2.0], [-2.0], [0.0], [0.0]], [[1.0], [-1.0], [3.0], [-3.0]]  # 4 * (4 * 1 + 4 * 1) / (8 * 20)
    >>> cka_contributions(x, y)
    array([0.2, 0.2, 0. , 0. ])
    """
    centred = [np.asarray(states, dtype=np.float64) for states in (first, second)]
    if len(centred[0]) != len(centred[1]):
        raise EvidenceError(f"states of {len(centred[0])} items cannot be compared with those of {len(centred[1])}")
    gram_first, gram_second = ((s := states - states.mean(0)) @ s.T for states in centred)
    norms = float(np.linalg.norm(gram_first) * np.linalg.norm(gram_second))
    if norms == 0.0:
        return np.zeros(len(centred[0]))
    return len(gram_first) * (gram_first * gram_second).sum(1) / norms


@dataclass(frozen=True)
class CKA:
    """Compare the states of forgotten records, layer by layer, with those of the model before unlearning.

    Threat model: whoever holds the weights, and those from before, can see how little was changed inside. The question:
    did unlearning rewrite how the model represents the records, or only what it says of them? Near the value of a
    retrained model is good; 1 means that nothing inside has moved. A retrained model gets what two trainings on nearly
    the same data have in common, well below 1, and less from other first weights.

    Not for a policy: a model that started from the original resembles it on every record, forgotten or not, more than
    any retrained one does. It says how deep a change went, never that a record is gone.

    The outcome is the mean over layers, not the highest: the first layers hardly change in any model. A record's part
    in it holds the norms and the centre of all records fixed, so an interval that resamples subjects does so too.

    Args:
        records: forgotten records, drawn evenly over subjects; None for all.
    """

    records: int | None = 200
    access = Access.WEIGHTS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "cka", **vars(self)}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle) -> list[dict[str, object]]:
        """Compare one model with the original.

        Args:
            oracle: grants WEIGHTS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            original: the model before unlearning; grants WEIGHTS.

        Returns:
            One row a record: its part in the mean CKA as ``outcome``, and in each layer's as ``layer_1`` and so on.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: the models' states cannot be compared, or there are fewer than two records.
        """
        for source in (oracle, original):
            source.require(self.access, "cka")
        chosen = evenly(probes, self.records)
        if len(chosen) < 2:
            raise EvidenceError("cka compares how records differ", why=f"there is {len(chosen)}")
        require_alike(oracle.target, original.target, chosen)
        states = [pooled(o.target, o.target.template.encode_all(chosen), "mean").numpy() for o in (oracle, original)]
        layers = [cka_contributions(states[0][:, i], states[1][:, i]) for i in range(states[0].shape[1])]
        each = {f"layer_{i}": values for i, values in enumerate(layers, start=1)}
        return rows_of(chosen, outcome=np.mean(layers, axis=0), **each)


cka = CKA()
