"""Which share of the weights would quantisation still tell from the original's? Source: Zhang et al. 2024 (2410.16454).

Question: how many weights have another k-bit code than before the unlearning? Where next to none has, the quantised
model is the quantised original, and what was forgotten comes back with it. Good: as many as in a retrained model,
whose weights took another course and share few codes beyond chance; a model that was not changed gets 0. Threat: none
of its own; a look at both sets of weights that predicts how the quantisation attacks end, without a forward pass.

A predictor, not an outcome about a person: higher is not "knows more" here, so that the original can never exceed the
control, the positive control of a policy never fires, and a policy that names it is never earned by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples
from expunge.engine.quantise import Grid, NormalFloat4, RoundToNearest, linear_weights

GRIDS: dict[str, Grid] = {
    "outcome": RoundToNearest(bits=4),
    "flips_8bit": RoundToNearest(bits=8),
    "flips_nf4": NormalFloat4(block=64),
}


@dataclass(frozen=True)
class BucketFlips:
    """Quantise the weights before and after the unlearning and count the codes that differ, tensor by tensor."""

    access = Access.WEIGHTS
    unit = "tensor"

    def digest(self) -> str:
        """Digest of the attack with its grids."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The grids, as a certificate states them."""
        return {"name": "bucket_flips", "grids": GRIDS}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle) -> list[dict[str, object]]:
        """Compare one model with the original.

        Args:
            oracle: grants WEIGHTS.
            probes: not read.
            seed: changes nothing; nothing is drawn.
            original: the model before unlearning; grants WEIGHTS.

        Returns:
            One row a tensor of a linear layer, by its name: ``outcome``, the share of its weights whose 4-bit code
            differs; ``flips_8bit`` and ``flips_nf4``, the same on other grids; ``weights``, how many it has.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: the two models do not have the same tensors.
        """
        oracle.require(self.access, "bucket_flips")
        original.require(self.access, "bucket_flips")
        now, then = linear_weights(oracle.target.model), linear_weights(original.target.model)
        if {n: w.shape for n, w in now.items()} != {n: w.shape for n, w in then.items()}:
            raise EvidenceError("bucket flips need two models of one shape", why="their linear layers differ")
        rows: list[dict[str, object]] = []
        for name, weight in now.items():
            before = then[name].to(weight.device)
            flips = {key: _flipped(grid, weight, before) for key, grid in GRIDS.items()}
            rows.append({"record_id": name, "subject": name, **flips, "weights": float(weight.numel())})
        return rows


def _flipped(grid: Grid, now: Any, then: Any) -> float:
    return float((grid.coded(now)[0] != grid.coded(then)[0]).double().mean())


bucket_flips = BucketFlips()
