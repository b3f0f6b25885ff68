"""Plain fine-tuning: the recipe that makes originals and references, and the attack's hand on a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from expunge.core.access import Access, Oracle
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_folder
from expunge.core.counting import tell
from expunge.core.example import Examples
from expunge.core.objective import Loss, Term, as_loss
from expunge.core.protocols import Store
from expunge.core.seeds import derive
from expunge.core.training import Training
from expunge.engine.train import train
from expunge.objectives.nll import nll
from expunge.targets.adapter import merge
from expunge.targets.causal_lm import CausalLM, load_causal_lm
from expunge.targets.llama_spec import LlamaSpec

LIKELY = nll.bind().on("retain")
"""What a plain fine-tune lowers."""


def finetune(
    oracle: Oracle,
    examples: Examples,
    training: Training,
    *,
    seed: int,
    stage: str = "fine-tuning",
    look: Callable[[CausalLM, int], object] | None = None,
    adapter: Adapter | None = None,
) -> CausalLM:
    """Train a copy of a target on examples; the target itself stays as it is.

    Args:
        oracle: a handle on the target.
        examples: what it is trained on.
        training: settings of the loop.
        seed: of the order.
        stage: name for progress reports.
        look: called with the copy and the number of steps taken after each step.
        adapter: trained in place of the weights and merged into them at the end.

    Raises:
        TargetError: the oracle does not grant FINETUNE.
        ConfigError: the adapter does not fit the target, or cannot be merged.
    """
    oracle.require(Access.FINETUNE, "fine-tuning")
    copy = oracle.target.clone()
    each = None if look is None else lambda steps: look(copy, steps)
    data = {"retain": examples}
    done = train(copy, as_loss(LIKELY), data, training, seed=seed, stage=stage, look=each, adapter=adapter)
    if adapter:
        merge(done.adapter)
    return copy


@dataclass(frozen=True)
class FineTune:
    """Train a language model on every record of a store.

    Args:
        base: a folder or hub name to start from, or the shape of a new model whose weights are drawn from the seed.
        training: settings of the loop.
        on_long: what happens to a record beyond the context of a loaded base.
        loss: what is lowered on all records, which have the role ``retain``; ``prefer`` learns from pairs.
    """

    base: str | LlamaSpec
    training: Training
    on_long: str = "error"
    loss: Loss | Term = LIKELY

    kind = "causal_lm"

    def digest(self) -> str:
        """Digest of the recipe; of a folder, of what is in it."""
        base: Any = self.base
        if isinstance(base, str) and Path(base).is_dir():
            base = digest_folder(Path(base))
        body = {"base": base, "training": self.training, "on_long": self.on_long}
        return digest(body if self.loss == LIKELY else {**body, "loss": as_loss(self.loss)})

    def start(self, *, seed: int) -> CausalLM:
        """The model before the first step."""
        if isinstance(self.base, str):
            return load_causal_lm(self.base, on_long="truncate" if self.on_long == "truncate" else "error")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "weights"))
            return self.base.build()

    def train(self, store: Store, *, seed: int, stage: str = "training", workdir: Path | None = None) -> CausalLM:
        """Train on all of a store; same seed, data, thread count and versions give the same bytes on CPU."""
        target = self.start(seed=seed)
        data = {"retain": store.get(store.ids())}
        done = train(target, as_loss(self.loss), data, self.training, seed=seed, stage=stage, workdir=workdir)
        tell(seconds=done.seconds, steps=done.steps, tokens=done.tokens)
        return target
