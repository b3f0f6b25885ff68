"""The gradient method: a loss over named views, and how to step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.guarantee import Empirical
from expunge.core.objective import Loss, Term, as_loss
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Plain
from expunge.core.record import record
from expunge.core.selection import Selection
from expunge.core.training import Stop, Training
from expunge.methods.provenance_check import require_kind


@record
class Gradient:
    """Unlearn by gradient steps.

    Args:
        loss: terms over the forget and retain roles.
        training: settings of the loop.
        name: public name.
        version: raised when defaults change.
        source: paper and equation.
        stop: early stop.
        policy: name of the policy that its claim is judged by.
    """

    loss: Loss | Term
    training: Training
    name: str = "custom"
    version: str = "1"
    source: str = ""
    stop: Stop | None = None
    policy: str = "research-tofu"

    needs = Plain

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest({"name": self.name, "version": self.version, "loss": as_loss(self.loss), **self._settings()})

    def _settings(self) -> dict[str, Any]:
        return {"training": self.training, "stop": self.stop}

    def unlearn(
        self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None
    ) -> Outcome[Any]:
        """Return a target with changed weights; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: forget, retain and, for calibrated losses, holdout examples.
            seed: of the run.
            workdir: where checkpoints go; a killed run continues from them.

        Raises:
            ClaimError: the target is not a causal LM.
            ScopeError: a role that the loss reads is empty.
            TargetError: the loss is not finite.
        """
        from expunge.engine.train import train

        require_kind(self.name, ("causal_lm",), target)
        started = time.perf_counter()
        before = target.digest()
        data = {role: selection.role(role) for role in ("forget", "retain", "holdout")}
        changed = target.clone()
        done = train(
            changed, as_loss(self.loss), data, self.training, seed=seed, stage=self.name, stop=self.stop, workdir=workdir
        )
        cost = Cost(time.perf_counter() - started, done.steps, done.tokens)
        return Outcome(
            target=changed,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=Empirical(self.policy),
            selection=selection.digest(),
            seed=seed,
            cost=cost,
            notes={"constants": done.constants, "last": done.last, "stopped": done.stopped},
        )
