"""Certified unlearning with no assumption on loss or training. Source: Koloskova et al., arXiv 2506.06985.

The trained weights are clipped to a ball about a public centre, and T noisy steps on the retained data follow. Whatever
the weights were before, the distribution of the result is (epsilon, delta)-close to what the same steps make of weights
that never saw the records; so nothing has to be known of how the model was trained. How far the noise reaches follows
from epsilon, delta and the clips; ``targets.noisy.fine_tuning`` has the bounds. Steps without noise on the retained
data may follow: they are a function of the result and cost nothing.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from expunge.accounting.given import at_least_zero, count, positive, probability
from expunge.core.canonical import digest, digest_folder
from expunge.core.errors import ClaimError, ConfigError
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Guarantee, Unproven
from expunge.core.launch import started
from expunge.core.outcome import Outcome
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.record import record
from expunge.core.seeds import derive
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.methods.certified._public_centre import require_same_beside, started_from
from expunge.targets.noisy.block_schedule import BlockSchedule
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping
from expunge.targets.noisy.noise import DRAWN, Randomness

ADVERSARY: Literal["oblivious"] = "oblivious"
KEYED = "whoever knows or guesses the seed draws the noise again and subtracts it"


@record
class NoisyFineTuning:
    """Clip the weights to a public ball, then take noisy steps on the retained data.

    Args:
        epsilon: of the certificate, nats; the noise follows from it.
        delta: of the certificate.
        mode: what bounds a step: ``gradient``: its gradient is clipped; ``model``: the weights are, before each noise.
        centre: folder of a model that was trained without the records, about which the ball lies: the base that was
            fine-tuned. Empty for a ball about 0.
        trainable: a regular expression; only parameters whose whole name matches are clipped and changed, and all else
            has to be the centre's. Empty for all parameters.
        radius: of the ball, in the unit of the weights; of a block where there are several.
        gradient_clip: norm of a gradient at most, of a block where there are several; for mode ``gradient``.
        decay: pull towards the centre; for mode ``gradient``.
        lr: of the noisy steps.
        steps: with noise; of a block where there are several.
        blocks: parts of the vector that take their noisy steps one after another; for mode ``gradient``.
        batch_size: records a step.
        micro_batch: records a pass; 0 for the whole batch.
        repair_steps: steps of AdamW without noise afterwards.
        repair_lr: their learning rate.
        randomness: where the noise comes from: ``secret``: a key of the operating system that is thrown away;
            ``seed``: the run's seed, so that it repeats and proves nothing; ``secure``: a cryptographic generator.
        name: public name.
        version: raised when defaults change.
    """

    epsilon: float = 10.0
    delta: float = 1e-5
    mode: Literal["gradient", "model"] = "gradient"
    centre: str = ""
    trainable: str = ""
    radius: float = 0.01
    gradient_clip: float = 0.01
    decay: float = 0.0
    lr: float = 0.1
    steps: int = 10
    blocks: int = 1
    batch_size: int = 16
    micro_batch: int = 0
    repair_steps: int = 0
    repair_lr: float = 1e-3
    randomness: Randomness = "secret"
    name: str = "noisy_fine_tuning"
    version: str = "1"

    needs = Plain

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)
        probability("delta", self.delta)
        _ = self.plan(self.blocks)
        count("repair_steps", self.repair_steps)
        _ = self._training(max(1, self.repair_steps), self.repair_lr)
        if self.mode == "model" and (self.blocks > 1 or self.decay):
            raise ConfigError("mode model has neither blocks nor decay", next="Leave them out, or choose mode gradient")
        if self.trainable and not self.centre:
            raise ConfigError(
                "nothing says what the other parameters would be without the records",
                why="those that trainable does not match go out as they are",
                next="Name the centre: the folder of the base",
            )

    def _training(self, steps: int, lr: float) -> Training:
        # A pattern for all: what a caller had frozen would else go out as it is.
        sizes: dict[str, Any] = {"batch_size": self.batch_size, "micro_batch": self.micro_batch}
        return Training(lr=lr, steps=steps, **sizes, trainable=(self.trainable or ".*",))

    def plan(self, weights: int) -> GradientClipping | ModelClipping | BlockSchedule:
        """The noisy steps with the least noise that is (epsilon, delta).

        Args:
            weights: how many are trained.

        Raises:
            ConfigError: settings out of range, or fewer weights than blocks.
        """
        count("blocks", self.blocks, least=1)
        if weights < self.blocks:
            raise ConfigError(f"{weights} weights cannot be cut into {self.blocks} blocks", next="Ask for fewer")
        if self.mode == "model":
            clipped = ModelClipping(clip=self.radius, lr=self.lr, sigma=1.0, steps=self.steps)
            return clipped.calibrated(self.epsilon, self.delta)
        one = GradientClipping(
            start_clip=self.radius,
            gradient_clip=at_least_zero("gradient_clip", self.gradient_clip),
            lr=self.lr,
            decay=self.decay,
            sigma=1.0,
            steps=self.steps,
        )
        if self.blocks == 1:
            return one.calibrated(self.epsilon, self.delta)
        ends = [weights * number // self.blocks for number in range(self.blocks + 1)]
        sizes = tuple(end - first for first, end in pairwise(ends))
        return BlockSchedule(plan=one, sizes=sizes).calibrated(self.epsilon, self.delta)

    @property
    def claim(self) -> Guarantee:
        """What it aims at; nothing where the noise can be drawn again."""
        if self.randomness == "seed":
            return Unproven(f"the noise follows from the seed: {KEYED}")
        return Certified(self.epsilon, self.delta, ADVERSARY)

    def digest(self) -> str:
        """Digest of the method with all its settings; of the centre, of what is in its folder."""
        folder = Path(self.centre)
        centre = digest_folder(folder) if self.centre and folder.is_dir() else self.centre
        return digest({**vars(self), "centre": centre})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a model made of the clipped weights, noise and the retained records; the given one stays as it is.

        Args:
            target: a causal LM.
            selection: what is forgotten, of which only the number is read, and retained.
            seed: of batches and dropout; of the noise where ``randomness`` says so.
            workdir: not used: a checkpoint would be a release of its own. A killed run begins anew.

        Raises:
            ClaimError: no causal LM; weights of less than single precision; not the centre beside what is clipped.
            ConfigError: settings that do not fit, or several processes.
            ScopeError: nothing is retained.
            StoreError: a record does not fit into the context.
            TargetError: the result is not finite, or no centre can be loaded.
            UnknownName: ``trainable`` matches no parameter.
        """
        from expunge.engine.noisy_steps import noisy_steps
        from expunge.engine.spent import cost_of, start_counting
        from expunge.targets.noisy.noise import drawn_from

        start_counting()
        since = time.perf_counter()
        names, centre = self._ready(target, selection)
        changed, about = started_from(target, centre, names)
        weights = sum(value.numel() for name, value in changed.model.named_parameters() if name in names)
        plan = self.plan(weights)
        tokens = noisy_steps(
            changed,
            selection.retain,
            plan,
            centre=about,
            trainable=self._training(1, self.lr).trainable,
            batch_size=self.batch_size,
            micro_batch=self.micro_batch,
            seed=derive(seed, "noisy"),
            rng=drawn_from(self.randomness, seed, self.name),
            stage=self.name,
        )
        tokens += self._repair(changed, selection, seed=derive(seed, "repair"))
        steps = self.steps * self.blocks + self.repair_steps
        return Outcome(
            target=changed,
            before=target.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=cost_of(target, changed, seconds=time.perf_counter() - since, steps=steps, tokens=tokens),
            proof=self._proof(plan, centre, changed.digest(), units=len(selection.forget)),
            notes=self._notes(plan, weights),
        )

    def _repair(self, changed: Any, selection: Selection, *, seed: int) -> int:
        """Fine-tune on what is retained, without noise; returns the tokens that it took."""
        from expunge.core.objective import as_loss
        from expunge.engine.finetune import LIKELY
        from expunge.engine.train import train

        if not self.repair_steps:
            return 0
        training, data = self._training(self.repair_steps, self.repair_lr), {"retain": selection.retain}
        return train(changed, as_loss(LIKELY), data, training, seed=seed, stage=f"{self.name}: repair").tokens

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before its first step."""
        self._ready(target, selection)

    def _ready(self, target: Any, selection: Selection) -> tuple[list[str], Any]:
        """Names of the parameters that are clipped, and the centre; None for 0.

        Raises:
            ExpungeError: as ``unlearn``.
        """
        require_kind(self.name, ("causal_lm",), target)
        from expunge.core.objective import as_loss
        from expunge.engine.finetune import LIKELY
        from expunge.engine.noisy_steps import trained_names
        from expunge.engine.ready import require_ready
        from expunge.targets.causal_lm import load_causal_lm

        if started() > 1:
            raise ConfigError("each process would draw noise of its own", next="Start one process")
        coarse = sorted({str(p.dtype) for p in target.model.parameters()} - {"torch.float32", "torch.float64"})
        if coarse:
            raise ClaimError(
                f"nothing can be certified of weights held in {coarse[0].removeprefix('torch.')}",
                why="the noise is drawn in float64, and so coarse a grid takes its place",
                next="Load the model in float32",
            )
        settings = self._training(1, self.lr)
        require_ready(target, as_loss(LIKELY), {"retain": selection.retain}, settings)
        names = trained_names(target.model, settings.trainable)
        if not self.centre:
            return names, None
        centre = load_causal_lm(self.centre, on_long=target.on_long)
        require_same_beside(target, centre, names)
        return names, centre

    def _proof(self, plan: Any, centre: Any, after: str, *, units: int) -> Proof | None:
        """The argument behind the claim; None where there is none."""
        if not isinstance(self.claim, Certified):
            return None
        hidden = self.mode == "gradient" and not self.repair_steps
        return Proof(
            plan.accountant,
            self._assumptions(centre),
            tuple(sorted(plan.numbers.items())),
            epsilon=plan.epsilon(self.delta),
            delta=self.delta,
            adversary=ADVERSARY,
            after=after,
            units=units,
            valid_until=None,
            retained=(
                "protected as well, in this one result: a step counts as if its data were any other, so that whatever "
                "changes in what is retained stays within the same epsilon and delta"
                if hidden
                else "not protected: what the last steps read of them is under no noise that is counted"
            ),
        )

    def _assumptions(self, centre: Any) -> tuple[str, ...]:
        beside = "tokenizer, configuration and buffers of the model"
        if centre is not None:
            beside = f"the centre {centre.digest()}, whose tokenizer, configuration and other tensors the model has"
        return (
            "The records were named by somebody who had not seen the model, or did not choose by it.",
            "It is compared to the same steps from weights that never saw the records, not to a plain retraining.",
            f"Settings, seed, what is retained, and {beside}, owe nothing to the records or to a model that saw them.",
            "The weights are what is released, once: none from along the way, and not the best of several results.",
            "Epsilon is of one result, however many records it forgot; a later request is a run of its own, and an "
            "earlier result goes on telling of what it still retained.",
            DRAWN[self.randomness],
            "Noise is drawn and added in float64 and the result rounded to float32; last bits of float64 do not count.",
        )

    def _notes(self, plan: Any, weights: int) -> dict[str, Any]:
        """What follows from the settings and the shape of the model alone: what was seen on the way is not released."""
        one = plan.plan if isinstance(plan, BlockSchedule) else plan
        # Of a clipped model only the last step's noise is left whole; of the others what the decay leaves.
        kept = 1 - self.lr * self.decay if self.mode == "gradient" else 0.0
        variance = one.sigma**2 * sum(kept ** (2 * step) for step in range(self.steps))
        return {
            "mode": self.mode,
            "sigma": one.sigma,
            "trained_parameters": weights,
            "noise_norm": math.sqrt(weights * variance),
            "repair_steps": self.repair_steps,
        }


noisy_fine_tuning = NoisyFineTuning()
