"""Layered unlearning around a gradient method. Source: Qian et al. 2025 (2505.09500), section 3."""

from __future__ import annotations

import dataclasses
from itertools import repeat
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.errors import ConfigError
from expunge.core.example import Examples
from expunge.core.guarantee import Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.record import record
from expunge.core.request import Wish
from expunge.core.seeds import keyed_order
from expunge.core.selection import Selection
from expunge.methods.gradient._gradient import Gradient


@record
class Layered:
    """Forget a growing part of the forget set, and retain the rest of it meanwhile.

    theta_i = U(theta_{i-1}; forget F_1 + ... + F_i, retain R + F_{i+1} + ... + F_k),  i = 1, ..., k

    What inhibits one fold is thereby not what inhibits the next, and relearning some folds does not bring the others
    back. A fold holds whole subjects. What a method reads of the model before unlearning, it reads at each stage of the
    model that the stage before gave back.

    Args:
        method: U.
        folds: k; as many as there are subjects, if there are fewer.
        name: public name.
        version: raised when defaults change.
        source: paper and section.
        tuned: (setting, lowest, highest) that were tried on equal terms when the defaults were chosen.
    """

    method: Gradient
    folds: int = 3
    name: str = "layered"
    version: str = "1"
    source: str = ""
    tuned: tuple[tuple[str, float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise ConfigError(f"there are no {self.folds} folds", next="Give at least one")
        if self.method.keep_overlay:
            raise ConfigError("an overlay cannot be laid fold by fold", next="Leave keep_overlay out")

    needs = Plain

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return self.method.claim

    def answering(self, wish: Wish) -> Layered:
        """The method whose stages answer a wish; see ``Gradient.answering``."""
        method = self.method.answering(wish)
        return self if method is self.method else dataclasses.replace(self, method=method)

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest([self.name, self.version, self.folds, self.method.digest()])

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a target with changed weights; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: forget, retain and, for calibrated losses, never-seen examples.
            seed: of the split and of every stage.
            workdir: where finished stages and checkpoints go; a killed run continues from them, a finished one
                removes them.

        Raises:
            ClaimError: the target is not a causal LM.
            ConfigError: the method's settings do not fit the target.
            ScopeError: a role that the loss reads is empty.
            TargetError: the loss is not finite.
        """
        from expunge.engine.kept_model import let_go
        from expunge.engine.spent import together

        self.check(target, selection, seed=seed, whole=False)
        before = target.digest()
        now, reports = target, list[dict[str, Any]]()
        parts = stages(selection, self.folds, seed=seed)
        folders = [workdir / f"stage-{number}" for number in range(1, len(parts) + 1)] if workdir else []
        for part, folder in zip(parts, folders or repeat(None), strict=False):
            now, report = self._stage(now, part, seed=seed, folder=folder)
            reports.append(report)
        let_go(folders)
        return Outcome(
            target=now,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=together(target, now, [Cost.read(r["cost"]) for r in reports]),
            notes={**reports[-1]["notes"], "stages": [r["notes"] for r in reports]},
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what any stage would raise before its first step; see ``Gradient.check``.

        Args:
            target: a causal LM.
            selection: what the run will be given.
            seed: of the run.
            whole: also run the model, as the first stage finds it.

        Raises:
            ExpungeError: as ``unlearn``.
        """
        require_kind(self.name, ("causal_lm",), target)
        for part in stages(selection, self.folds, seed=seed):
            self.method.check(target, part, seed=seed, whole=whole)

    def tokens(self, target: Any, selection: Selection, *, seed: int) -> int:
        """Tokens that a run takes forward and backward, known before it; see ``Gradient.tokens``.

        Args:
            target: a causal LM.
            selection: what the run will be given.
            seed: of the run.
        """
        return sum(self.method.tokens(target, part, seed=seed) for part in stages(selection, self.folds, seed=seed))

    def _stage(
        self, target: Any, selection: Selection, *, seed: int, folder: Path | None
    ) -> tuple[Any, dict[str, Any]]:
        """One stage and what it reports; found again in its folder if it was finished there."""
        from expunge.engine.kept_model import kept_model

        def make() -> tuple[Any, dict[str, Any]]:
            done = self.method.unlearn(target, selection, seed=seed, workdir=folder)
            return done.target, {"cost": done.cost.told(), "notes": done.notes}

        return kept_model(folder, digest([self.digest(), target.digest(), selection.digest(), seed]), make)


def stages(selection: Selection, folds: int, *, seed: int) -> list[Selection]:
    """What is forgotten and retained at each stage.

    Args:
        selection: the whole.
        folds: how many; as many as there are subjects, if there are fewer.
        seed: of the order in which subjects are dealt out.

    Returns:
        One selection a stage; the last one is the whole.
    """
    pairs = list(zip(selection.forget, selection.forget.subjects, strict=True))
    names = sorted({name for _, name in pairs})
    order = [names[i] for i in keyed_order(names, seed, "fold")]
    folds = min(folds, len(order))
    found: list[Selection] = []
    for number in range(1, folds):
        gone = set(order[: len(order) * number // folds])
        forget = Examples(example for example, name in pairs if name in gone)
        retain = selection.retain + (example for example, name in pairs if name not in gone)
        found.append(dataclasses.replace(selection, forget=forget, retain=retain))
    return [*found, selection]
