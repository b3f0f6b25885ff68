"""Newton steps away from records. Source: Koh & Liang 2017 (1703.04730), eq. 1; Guo et al. 2019 (1911.03030), eq. 3."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, ScopeError, TargetError
from expunge.core.example import Examples
from expunge.core.guarantee import Empirical, Guarantee
from expunge.core.outcome import Outcome
from expunge.core.progress import report
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.record import record
from expunge.core.seeds import keyed_order
from expunge.core.selection import Selection

UNDIGESTED = ("source", "policy", "tuned")


@record
class Newton:
    """Move the weights as their influence on the forgotten records says, a few steps of second order.

    theta <- theta + s x,  (G + damping I) x = (1 / n) g,  g = sum_forget grad nll,  s = min(scale, limit n_f / g' x)

    G is the Gauss-Newton matrix of the mean loss a token on retained records, taken over a sample of them; n are the
    tokens of all of them, n_f the forgotten tokens. A few steps of conjugate residuals bring x nearer to the solution;
    the notes say how near: ``residual``, a share of the right side's length, below 1. Solved exactly, with ``scale`` 1,
    one round and no limit, it is the update of both papers, but with G for the Hessian, which is indefinite away from
    an optimum. On deep networks that update is too long and breaks the model (2406.14507): ``limit`` shortens it to
    where, to first order, the forgotten loss has risen by so much.

    Args:
        scale: multiplies the update.
        limit: nats per token. first-order rise of the forgotten records' mean loss that a round may aim at.
        rounds: updates, each from where the last one ended.
        damping: added to G's eigenvalues, which are of the order of nats per squared unit of weight.
        iterations: products with G a round, at most.
        tolerance: relative residual at which it stops earlier.
        sample: retained records that G is taken over, drawn anew for each round; all, if there are fewer.
        trainable: regular expressions; only parameters whose whole name matches one are moved. All, if there is none.
        name: public name.
        version: raised when defaults change.
        source: paper and equation.
        policy: name of the policy that its claim is judged by.
        tuned: (setting, lowest, highest) that were tried.
    """

    scale: float = 1.0
    limit: float = 0.5
    rounds: int = 8
    damping: float = 1e-2
    iterations: int = 10
    tolerance: float = 1e-2
    sample: int = 192
    trainable: tuple[str, ...] = ()
    name: str = "custom"
    version: str = "1"
    source: str = ""
    policy: str = "research-tofu"
    tuned: tuple[tuple[str, float, float], ...] = ()

    needs = Plain

    def __post_init__(self) -> None:
        positive = (self.scale, self.limit, self.damping, self.rounds, self.iterations, self.sample)
        if min(positive) <= 0 or not 0 <= self.tolerance < 1:
            raise ConfigError("a Newton step needs positive settings and a tolerance below 1")

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Empirical(self.policy)

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest({f.name: getattr(self, f.name) for f in fields(self) if f.name not in UNDIGESTED})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a target with changed weights; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: forget and retain examples.
            seed: of the retained samples.
            workdir: not used: a run is short, and one that was interrupted starts again.

        Raises:
            ClaimError: the target is not a causal LM.
            ScopeError: there is nothing to retain.
            TargetError: the weights are no longer numbers.
            UnknownName: a pattern of ``trainable`` matches no parameter.
        """
        from expunge.engine.curvature import Curvature
        from expunge.engine.precision import placed
        from expunge.engine.spent import cost_of, start_counting
        from expunge.engine.threads import threads_for
        from expunge.engine.train import only

        self.check(target, selection, seed=seed)
        start_counting()
        started = time.perf_counter()
        changed = target.clone()
        rows: list[dict[str, float]] = []
        with threads_for(changed.model), placed(changed.model), only(changed.model, self.trainable):
            curvature = Curvature(changed)
            forget = sorted(changed.template.encode_all(selection.forget), key=lambda item: (len(item.ids), item.key))
            n = sum(item.n_scored for item in changed.template.encode_all(selection.retain))
            for number in range(self.rounds):
                kept = changed.template.encode_all(self._drawn(selection.retain, seed, number))
                rows.append(self._round(curvature, forget, kept, n))
                if not all(bool(p.isfinite().all()) for p in changed.model.parameters()):
                    raise TargetError("the weights are not numbers", next="Lower limit, or raise damping")
                report(self.name, number + 1, self.rounds, f"{rows[-1]['loss']:.3f}")
        seconds = time.perf_counter() - started
        return Outcome(
            target=changed,
            original=target,
            before=target.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            seed=seed,
            cost=cost_of(target, changed, seconds=seconds, steps=self.rounds, tokens=curvature.tokens),
            notes={"rounds": rows},
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before its first round; see ``Gradient.check``.

        Raises:
            ClaimError: the target is not a causal LM.
            ScopeError: there is nothing to retain.
            UnknownName: a pattern of ``trainable`` matches no parameter.
        """
        from expunge.engine.ready import require_parameters

        require_kind(self.name, ("causal_lm",), target)
        require_parameters(target.model, self.trainable)
        if not selection.retain:
            raise ScopeError("the retain set is empty", why="the curvature is that of the retained records' loss")

    def tokens(self, target: Any, selection: Selection, *, seed: int) -> int:
        """The most tokens that a run takes, if no round ends before its last product; see ``Gradient.tokens``.

        Args:
            target: a causal LM; only its template is asked.
            selection: what the run will be given.
            seed: of the run.
        """

        def length(examples: Examples) -> int:
            return sum(len(item.ids) for item in target.template.encode_all(examples))

        kept = sum(length(self._drawn(selection.retain, seed, number)) for number in range(self.rounds))
        return self.rounds * length(selection.forget) + self.iterations * kept

    def _drawn(self, retain: Examples, seed: int, number: int) -> Examples:
        order = keyed_order(retain.ids, seed, "curvature", number)
        return Examples(retain[i] for i in order[: self.sample])

    def _round(self, curvature: Any, forget: Any, kept: Any, n: int) -> dict[str, float]:
        """One update; returns the forgotten loss before it in nats per token, the residual, the step's length."""
        from expunge.engine.curvature import conjugate_residual

        total, loss = curvature.gradient(forget)
        n_forget = sum(item.n_scored for item in forget)
        right = total / n
        solved, residual = conjugate_residual(
            lambda vector: curvature.product(kept, vector),
            right,
            damping=self.damping,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        rise = float(total @ solved) / n_forget
        factor = min(self.scale, self.limit / rise) if rise > 0 else 0.0
        curvature.move(factor * solved)
        return {"loss": loss / n_forget, "residual": residual, "length": factor * float(solved.norm())}
