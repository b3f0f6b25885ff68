"""The gradient method: a loss over named views, and how to step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from expunge.core.adapter import Adapter
from expunge.core.auxiliary import Auxiliary
from expunge.core.canonical import digest
from expunge.core.control import Control
from expunge.core.errors import ConfigError
from expunge.core.example import Examples
from expunge.core.guarantee import Empirical, Guarantee, Suppressed
from expunge.core.objective import Loss, Term, as_loss
from expunge.core.outcome import Outcome, Overlay
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.record import record
from expunge.core.registry import alternatives
from expunge.core.request import Wish
from expunge.core.selection import Selection
from expunge.core.space import with_settings
from expunge.core.training import Decay, Precision, Stop, Training
from expunge.core.wishes import meaning


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
        alternative: where the other answer of a forgotten record comes from that a term reads as ``_alt``: name in
            the registry of alternatives.
        controls: step controls, the outermost first.
        auxiliaries: models that are trained first, on one role each, for views named after them.
        adapter: trained instead of the weights, and merged into them.
        keep_overlay: leave the adapter unmerged: it can be taken off, and claims no more than ``Suppressed``.
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
    alternative: str = "given"
    controls: tuple[Control, ...] = ()
    auxiliaries: tuple[Auxiliary, ...] = ()
    adapter: Adapter | None = None
    keep_overlay: bool = False
    batch_size: int = 16
    retain_batch_size: int = 0
    micro_batch: int = 0
    warmup: float = 0.0
    decay: Decay = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    save_every: int = 100
    trainable: tuple[str, ...] = ()
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        _ = self.training
        if self.keep_overlay and self.adapter is None:
            raise ConfigError("changed weights are no overlay", next="Give an adapter, or leave keep_overlay out")

    @property
    def training(self) -> Training:
        """The settings of the loop.

        Raises:
            ConfigError: they do not fit together.
        """
        return Training(**{f.name: getattr(self, f.name) for f in fields(Training)})  # pyright: ignore[reportArgumentType]

    needs = Plain

    def answering(self, wish: Wish) -> Gradient:
        """The method set to answer a wish. Where no term reads another answer, one is added that teaches it.

        >>> from expunge.methods.gradient.npo import npo
        >>> refusing = npo.answering("refuse")
        >>> refusing.loss.terms[-1].objective, refusing.alternative, refusing.policy, refusing.version
        ('nll_alt', 'refusal', 'research-refuse', '1+refuse')
        >>> refusing.answering("refuse") == refusing, npo.answering("as_retrained") == npo
        (True, True)
        """
        from expunge.objectives.nll_alt import nll_alt

        wished, loss = meaning(wish), as_loss(self.loss)
        if not wished.alternative:
            return self
        if not any(need.answer for term in loss.terms for need in term.formula.needs):
            loss += nll_alt.bind()
        set_to = replace(self, loss=loss, alternative=wished.alternative, policy=wished.policy)
        return self if set_to == self else replace(set_to, version=f"{self.version}+{wish}")

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Suppressed() if self.keep_overlay else Empirical(self.policy)

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        extras = [self.stop, self.policy, self.alternative, self.adapter, self.keep_overlay]
        extras += [list(self.controls), list(self.auxiliaries)]
        return digest([self.name, self.version, as_loss(self.loss), self.training, *extras])

    def unlearn(
        self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None
    ) -> Outcome[Any] | Overlay[Any]:
        """Return a target with changed weights, or with an adapter over them; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: forget, retain and, for calibrated losses, never-seen examples.
            seed: of the run.
            workdir: where checkpoints go; a killed run continues from them.

        Raises:
            ClaimError: the target is not a causal LM.
            ConfigError: the adapter does not fit the target, or cannot be merged or taken off as asked.
            ScopeError: a role that the loss reads is empty.
            TargetError: the loss is not finite.
            UnknownName: a pattern of ``trainable`` matches no parameter; no such control or source of alternatives.
        """
        from expunge.engine.adapting import adapted_copy, finished
        from expunge.engine.spent import cost_of, start_counting
        from expunge.engine.train import train

        self.check(target, selection, seed=seed, whole=False)
        start_counting()
        started = time.perf_counter()
        before = target.digest()
        changed = adapted_copy(target, self.adapter, keep_overlay=self.keep_overlay)
        done = train(
            changed,
            as_loss(self.loss),
            self.data(target, selection, seed=seed),
            self.training,
            seed=seed,
            stage=self.name,
            stop=self.stop,
            workdir=workdir,
            adapter=self.adapter,
            to_merge=not self.keep_overlay,
            stepping=self.controls,
            auxiliaries=self.auxiliaries,
        )
        shared: dict[str, Any] = {
            "target": finished(target, changed, done, self.adapter, keep_overlay=self.keep_overlay),
            "before": before,
            "method": f"{self.name}/{self.version}",
            "recipe": self.digest(),
            "selection": selection,
            "seed": seed,
            "notes": {**self._notes(selection, done), "precision": self.precision},
        }
        changed_to = target if self.keep_overlay else shared["target"]
        seconds = max(done.seconds, time.perf_counter() - started)
        shared["cost"] = cost_of(target, changed_to, seconds=seconds, steps=done.steps, tokens=done.tokens)
        if self.keep_overlay:
            return Overlay(base=target, **shared)
        return Outcome(original=target, claim=self.claim, **shared)

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before its first step. Trains nothing, changes nothing.

        Args:
            target: a causal LM.
            selection: what the run will be given.
            seed: of the run.
            whole: also make other answers and find constants, for which the model is run.

        Raises:
            ExpungeError: as ``unlearn``.
        """
        from expunge.engine.ready import rehearse, require_ready

        require_kind(self.name, ("causal_lm",), target)
        alternatives.get(self.alternative)
        roles = {"forget": selection.forget, "retain": selection.retain, "never_seen": selection.never_seen}
        trained: dict[str, Any] = {"adapter": self.adapter, "auxiliaries": self.auxiliaries}
        loss = as_loss(self.loss)
        require_ready(target, loss, roles, self.training, stop=self.stop, stepping=self.controls, **trained)
        if whole:
            data = self.data(target, selection, seed=seed)
            rehearse(target, loss, data, seed=seed, to_merge=not self.keep_overlay, **trained)

    def data(self, target: Any, selection: Selection, *, seed: int) -> dict[str, Examples]:
        """What it trains on, by role; the forgotten records with their other answers.

        Raises:
            UnknownName: no such source of alternatives.
        """
        other = alternatives.get(self.alternative)
        forget = other(target, selection.forget, retain=selection.retain, seed=seed)
        return {"forget": forget, "retain": selection.retain, "never_seen": selection.never_seen}

    def tokens(self, target: Any, selection: Selection, *, seed: int) -> int:
        """Tokens that a run takes forward and backward, known before it: what a tuning budget is counted in.

        Args:
            target: a causal LM; its template is asked, and the model itself only for other answers that it makes.
            selection: what the run will be given.
            seed: of the run.
        """
        from expunge.engine.cost import tokens_of

        data = self.data(target, selection, seed=seed)
        extras: dict[str, Any] = {"stepping": self.controls, "auxiliaries": self.auxiliaries}
        return tokens_of(target, as_loss(self.loss), data, self.training, seed=seed, **extras)

    def with_settings(self, settings: Mapping[str, Any]) -> Gradient:
        """The same method with other settings; see ``core.space.with_settings``.

        >>> from expunge.methods.gradient.npo import npo
        >>> npo.with_settings({"beta": 0.2, "lr": 1e-5}).loss.terms[0].settings
        (('beta', 0.2),)
        """
        return with_settings(self, settings)

    def _calibrated_on(self, selection: Selection, asked: Sequence[str]) -> str:
        """What the constants of the loss were found from."""
        roles = {"never_seen": "validation" if selection.validation else "holdout"}
        trained = {a.name: f"a {a.name} trained on {roles.get(a.role, a.role)}" for a in self.auxiliaries}
        return ", ".join(trained.get(name) or roles.get(name, name) for name in asked) or "nothing"

    def _notes(self, selection: Selection, done: Any) -> dict[str, Any]:
        return {
            "constants": done.constants,
            "calibrated_on": self._calibrated_on(selection, done.asked),
            "last": done.last,
            "stopped": done.stopped,
            "truncated_tokens": done.truncated,
            "trained_parameters": done.trained,
        }
