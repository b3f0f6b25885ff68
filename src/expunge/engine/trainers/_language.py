"""What the trainers of language models share: a model between two slices, and training that goes on from there.

Weights, AdamW's moments and its step count go on from slice to slice. The learning rate's rise and fall start anew with
each slice: its length is that slice's own. Order, the adapter's first weights and dropout are drawn from the seed and
the names of shard and slice, so what a slice does follows from the base, the settings, those names, the records of
this slice and of the slices before it, and from nothing else. Batches are the loop's, of records of similar length: a
record that is gone keeps the others' drawn order, but may move them to another batch of the same slice, and so to other
dropout masks. Nothing outside the slices that are trained again anyway can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_bytes, digest_folder, read_json
from expunge.core.errors import TargetError
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.objective import as_loss
from expunge.core.progress import report
from expunge.core.seeds import derive
from expunge.core.training import Training
from expunge.engine.checkpoint import load_checkpoint, save_checkpoint
from expunge.engine.finetune import LIKELY, FineTune
from expunge.engine.parallel_shards import like
from expunge.engine.run import Run
from expunge.engine.score import token_logp_rows
from expunge.engine.threads import threads_for
from expunge.engine.train import only
from expunge.targets.causal_lm import CausalLM
from expunge.targets.llama_spec import LlamaSpec

WEIGHTS, MOMENTS, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class LanguageState:
    """What training has made of a base so far.

    Args:
        weights: trained tensors by the model's names of them; none before the first step.
        moments: AdamW's state, by ``name|field``.
        steps: optimiser steps taken.
        tokens: that went forward and backward.
    """

    weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    moments: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    steps: int = 0
    tokens: int = 0

    def digest(self) -> str:
        """Digest over the bytes of all tensors and the count of steps."""
        return digest([tensors_digest(self.weights), tensors_digest(self.moments), self.steps])


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """Digest over names, types, shapes and bytes."""

    def own(value: Tensor) -> list[Any]:
        data = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return [str(value.dtype), list(value.shape), digest_bytes(data)]

    return digest({name: own(value) for name, value in sorted(tensors.items())})


def base_digest(base: str | LlamaSpec, seed: int) -> str:
    """Digest of a base before it is loaded: of a folder what is in it, of a shape that with its seed."""
    if isinstance(base, str):
        return digest_folder(Path(base)) if Path(base).is_dir() else digest(base)
    return digest([base, seed])


def _seen(base: str | LlamaSpec) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a folder's files: another base in the same place is told from the one before."""
    place = Path(base) if isinstance(base, str) else None
    if place is None or not place.is_dir():
        return ()
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def base_of(base: str | LlamaSpec, seed: int, on_long: str) -> CausalLM:
    """The frozen base, loaded once a process for as long as its files stay. Nobody may change its weights.

    Args:
        base: a folder or hub name, or the shape of a model whose weights are drawn.
        seed: of those weights.
        on_long: what happens to a record beyond the context.
    """
    return _loaded(base, seed, on_long, _seen(base))


@lru_cache(maxsize=2)
def _loaded(base: str | LlamaSpec, seed: int, on_long: str, seen: tuple[tuple[str, int, int], ...]) -> CausalLM:
    return FineTune(base, Training(lr=1e-3, steps=1), on_long).start(seed=seed)


def _restore(run: Run, state: LanguageState) -> None:
    if state.weights and set(state.weights) != set(run.named):
        raise TargetError("a checkpoint does not fit the model", why="it holds other parameters than are trained")
    with torch.no_grad():
        for name, value in state.weights.items():
            run.named[name].copy_(value)
    for key, value in state.moments.items():
        name, _, part = key.rpartition("|")
        own = run.named[name]
        run.optimizer.state[own][part] = value.reshape(()).clone() if part == "step" else like(value, own).clone()


def _moments(run: Run) -> dict[str, Tensor]:
    return {
        f"{name}|{part}": value.detach().cpu().reshape(-1).clone() if value.dim() == 0 else value.detach().cpu().clone()
        for name, parameter in run.named.items()
        for part, value in run.optimizer.state[parameter].items()
    }


def go_on(
    base: CausalLM,
    state: LanguageState,
    rows: Examples,
    training: Training,
    *,
    epochs: float,
    seed: int,
    names: Sequence[str | int],
    adapter: Adapter | None = None,
    workdir: Path | None = None,
) -> LanguageState:
    """Train on the records of a slice and of those before it, from where the slice before ended.

    Args:
        base: keeps its weights.
        state: after the slice before.
        rows: every record that is trained on.
        training: settings of the loop.
        epochs: passes over the rows, in place of those of ``training``.
        seed: of the run.
        names: of shard and slice.
        adapter: trained in place of the weights.
        workdir: where an interrupted call is taken up again.

    Raises:
        TargetError: the loss or the weights are not finite.
    """
    if epochs <= 0 or not len(rows):
        return state
    own, training = derive(seed, *names), replace(training, epochs=epochs, steps=0)
    identity = digest([base.digest(), state.digest(), rows.digest(), training, own, adapter])
    copy = base.clone()
    with threads_for(copy.model), only(copy.model, training.trainable):
        run = Run(copy, as_loss(LIKELY), {"retain": rows}, training, own, adapter=adapter)
        _restore(run, state)
        _steps(run, identity, "/".join(map(str, names)), workdir)
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in run.named.items()}
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise TargetError("the weights are not numbers after the last step", next="Lower the learning rate")
        return LanguageState(weights, _moments(run), state.steps + run.total, state.tokens + run.report.tokens)


def _steps(run: Run, identity: str, stage: str, workdir: Path | None) -> None:
    kept = load_checkpoint(workdir, run.named, run.optimizer, run=identity) if workdir else {}
    run.report.tokens = int(kept.get("tokens", run.report.tokens))
    for step in range(int(kept.get("step", 0)), run.total):
        means = run.step(step)
        if not all(math.isfinite(value) for value in means.values()):
            raise TargetError(
                f"the loss is not a number at step {step + 1} of {run.total}", next="Lower the learning rate"
            )
        report(stage, step + 1, run.total, " ".join(f"{value:.3f}" for value in means.values()))
        if workdir and (step + 1) % run.training.save_every == 0 and step + 1 < run.total:
            state = {"step": step + 1, "run": identity, "tokens": run.report.tokens}
            save_checkpoint(workdir, run.named, run.optimizer, state)


def save_state(state: LanguageState, folder: Path) -> None:
    """Write weights and optimiser as safetensors, the counts as JSON, into a folder."""
    save_file(state.weights, folder / WEIGHTS)
    save_file(state.moments, folder / MOMENTS)
    write_json(folder / STATE, {"digest": state.digest(), "steps": state.steps, "tokens": state.tokens})


def load_state(folder: Path) -> LanguageState:
    """What ``save_state`` wrote.

    Raises:
        TargetError: it is damaged, or changed since.
    """
    card = read_json(folder / STATE)
    try:
        weights, moments = load_file(folder / WEIGHTS), load_file(folder / MOMENTS)
        state = LanguageState(weights, moments, int(card["steps"]), int(card["tokens"]))
    except (KeyError, OSError, SafetensorError) as error:
        raise TargetError(f"cannot read the checkpoint in {folder}", why=str(error).partition("\n")[0]) from error
    if state.digest() != card["digest"]:
        raise TargetError(f"the checkpoint in {folder} changed since it was saved")
    return state


def answer_likelihood(target: CausalLM, examples: Examples) -> np.ndarray:
    """Probability a token of each answer, the geometric mean over its tokens.

    Args:
        target: asked.
        examples: n of them.

    Returns:
        (n, 1).
    """
    rows = token_logp_rows(target, examples)
    return np.array([[math.exp(float(row.mean())) if len(row) else 1.0] for row in rows])
