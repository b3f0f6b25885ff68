"""The gradient method: a loss over named views, and how to step."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.guarantee import Empirical, Guarantee
from expunge.core.objective import Loss, Term, as_loss
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Plain
from expunge.core.record import record
from expunge.core.selection import Selection
from expunge.core.training import Decay, Stop, Training
from expunge.methods.provenance_check import require_kind


@record
class Gradient:
    """Unlearn by gradient steps.

    Args:
        loss: terms over the forget and retain roles.
        lr: peak learning rate.
        steps: optimiser steps; 0 means ``epochs`` decides.
        epochs: passes over the forget set.
        name: public name.
        version: raised when defaults change.
        source: paper and equation.
        stop: early stop.
        policy: name of the policy that its claim is judged by.
        tuned: (setting, lowest, highest) that were tried on equal terms when the defaults were chosen.
        batch_size: and all that follow: as in ``core.training.Training``.
    """

    loss: Loss | Term
    lr: float
    steps: int = 0
    epochs: float = 0.0
    name: str = "custom"
    version: str = "1"
    source: str = ""
    stop: Stop | None = None
    policy: str = "research-tofu"
    tuned: tuple[tuple[str, float, float], ...] = ()
    batch_size: int = 16
    retain_batch_size: int = 0
    micro_batch: int = 0
    warmup: float = 0.0
    decay: Decay = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    save_every: int = 100

    def __post_init__(self) -> None:
        _ = self.training

    @property
    def training(self) -> Training:
        """The settings of the loop.

        Raises:
            ConfigError: they do not fit together.
        """
        return Training(**{f.name: getattr(self, f.name) for f in fields(Training)})  # pyright: ignore[reportArgumentType]

    needs = Plain

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Empirical(self.policy)

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest([self.name, self.version, as_loss(self.loss), self.training, self.stop, self.policy])

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a target with changed weights; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: forget, retain and, for calibrated losses, never-seen examples.
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
        data = {"forget": selection.forget, "retain": selection.retain, "never_seen": selection.never_seen}
        changed = target.clone()
        done = train(
            changed,
            as_loss(self.loss),
            data,
            self.training,
            seed=seed,
            stage=self.name,
            stop=self.stop,
            workdir=workdir,
        )
        cost = Cost(max(done.seconds, time.perf_counter() - started), done.steps, done.tokens)
        return Outcome(
            target=changed,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=cost,
            notes={
                "constants": done.constants,
                "calibrated_on": ("validation" if selection.validation else "holdout") if done.constants else "nothing",
                "last": done.last,
                "stopped": done.stopped,
                "truncated_tokens": done.truncated,
            },
        )
