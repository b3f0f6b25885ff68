"""How far did the unlearning move the weights? Source: as read beside Zhang et al. 2024 (2410.16454).

Question: how large is the change of each tensor beside the tensor itself? A small one is the easier to round away and
to train away. Good: there is no good value; a retrained model took another course and gets values near 1 and above,
and a model that was not changed gets 0. Threat: none of its own; a look at both sets of weights that says where to
attack.

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


@dataclass(frozen=True)
class WeightDelta:
    """Norm of the change over norm of the original, tensor by tensor: ||W - W0|| / ||W0||, Frobenius."""

    access = Access.WEIGHTS
    unit = "tensor"

    def digest(self) -> str:
        """Digest of the attack; it has no settings."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The name alone."""
        return {"name": "weight_delta"}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle) -> list[dict[str, object]]:
        """Compare one model with the original.

        Args:
            oracle: grants WEIGHTS.
            probes: not read.
            seed: changes nothing; nothing is drawn.
            original: the model before unlearning; grants WEIGHTS.

        Returns:
            One row a tensor, by its name, tied ones once: ``outcome``, the relative change; ``change``, its norm;
            ``weights``, how many it has. A tensor that was all zeros has no relative change and no row.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: the two models do not have the same tensors.
        """
        oracle.require(self.access, "weight_delta")
        original.require(self.access, "weight_delta")
        now, then = (dict(o.target.model.named_parameters()) for o in (oracle, original))
        if {n: w.shape for n, w in now.items()} != {n: w.shape for n, w in then.items()}:
            raise EvidenceError("weight changes need two models of one shape", why="their tensors differ")
        rows: list[dict[str, object]] = []
        for name in sorted(now):
            before = then[name].detach().double()
            change = float((now[name].detach().double() - before.to(now[name].device)).norm())
            if size := float(before.norm()):
                numbers = {"outcome": change / size, "change": change, "weights": float(before.numel())}
                rows.append({"record_id": name, "subject": name, **numbers})
        return rows


weight_delta = WeightDelta()
