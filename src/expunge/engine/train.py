"""The training loop: one for fine-tuning, unlearning and relearning.

Terms of the loss are unreduced. The loop divides each term's sum over the whole optimiser batch, all micro-batches and
all processes, by the number of scored examples or tokens, so that splitting a batch changes nothing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, ScopeError, StoreError, TargetError, UnknownName
from expunge.core.example import Examples
from expunge.core.objective import Constant, Loss, Term
from expunge.core.progress import report
from expunge.core.registry import controls, metrics
from expunge.core.seeds import derive
from expunge.core.training import Stop, Training
from expunge.data.collate import Encoded
from expunge.engine.batches import Batches
from expunge.engine.checkpoint import load_checkpoint, save_checkpoint
from expunge.engine.reference import ReferenceCache, Segment
from expunge.engine.score import score, token_logp_rows
from expunge.engine.threads import threads_for
from expunge.engine.views import Demand, SegmentViews, compute
from expunge.targets.adapter import set_in
from expunge.targets.causal_lm import CausalLM


@dataclass
class TrainReport:
    """What a run of the loop did.

    Args:
        steps: optimiser steps taken.
        tokens: tokens that went forward and backward.
        seconds: wall time, with that of the processes before a resumed one.
        truncated: answer tokens that did not fit into the context.
        constants: values that controls found, by term and setting.
        last: mean of each term over the last steps, by term.
        stopped: why it ended early, empty if it did not.
        adapter: peft's handle on the adapter that was trained, still in the layers; None without one.
        trained: parameters that were trained.
    """

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    truncated: int = 0
    constants: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    stopped: str = ""
    adapter: Any = None
    trained: int = 0


@dataclass(frozen=True)
class ControlContext:
    """What a control may ask of the model before the first step."""

    target: CausalLM
    data: Mapping[str, Examples]
    seed: int

    def token_logp(self, role: str) -> list[Any]:
        """Log-probability of each scored token, one (n,) array an example, in nats."""
        return token_logp_rows(self.target, self.data.get(role, Examples()))


def _encode(target: CausalLM, examples: Examples, answer: str) -> list[Encoded]:
    template = target.template
    if answer == "alt":
        bare = next((e.record_id for e in examples if not e.alternative_answer.strip()), None)
        if bare is not None:
            raise StoreError(f"record {bare!r} has no alternative answer", why="a term of the loss reads it")
        return [template.encode(e.record_id, e.question, e.alternative_answer) for e in examples]
    return template.encode_all(examples)


def _share(positions: list[int], part: int, parts: int) -> list[int]:
    return positions[len(positions) * part // parts : len(positions) * (part + 1) // parts]


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generators of the CPU and of one device, and no other device's. The caller restores them."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def only(model: Any, patterns: tuple[str, ...]) -> Generator[None]:
    """Let gradients reach the parameters whose whole names match a pattern, and no others; all, if there is none.

    Raises:
        UnknownName: a pattern matches no parameter.
    """
    named = dict(model.named_parameters())
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in named):
            raise UnknownName("parameter", pattern, named)
    asked = {name: parameter.requires_grad for name, parameter in named.items()}
    try:
        for name, parameter in named.items() if patterns else ():
            parameter.requires_grad_(any(re.fullmatch(pattern, name) for pattern in patterns))
        yield
    finally:
        for name, parameter in named.items() if patterns else ():
            parameter.requires_grad_(asked[name])


class _Run:
    """State of one run; built, then stepped."""

    def __init__(
        self,
        target: CausalLM,
        loss: Loss,
        data: Mapping[str, Examples],
        training: Training,
        seed: int,
        adapter: Adapter | None,
        to_merge: bool,
    ) -> None:
        from accelerate import Accelerator

        for role in loss.roles:
            if not data.get(role):
                raise ScopeError(f"the {role} set is empty", why=f"a term of the loss reads {role}")
        self.accelerator = Accelerator()
        if self.accelerator.num_processes > 1:
            raise ConfigError(
                f"training was started in {self.accelerator.num_processes} processes",
                why="the loop runs in one process so far",
                next="Start it without a launcher",
            )
        self.device = self.accelerator.device
        self.target, self.training, self.seed = target, training, seed
        self.model = target.model.to(self.device)
        self.facts = target.facts
        self.report = TrainReport()
        self.loss = loss.resolve(self._finder(ControlContext(target, data, seed)))
        self.segments: list[Segment] = sorted(
            {(n.role or t.role, n.answer) for t in self.loss.terms for n in t.formula.needs}
        )
        self.encoded = {s: _encode(target, data[s[0]], s[1]) for s in self.segments}
        self.report.truncated = sum(item.truncated for items in self.encoded.values() for item in items)
        self.demand = Demand.of((n, self._layer(t)) for t in self.loss.terms for n in t.formula.needs)
        refs = [
            ((n.role or t.role, n.answer), n, self._layer(t))
            for t in self.loss.terms
            for n in t.formula.needs
            if n.model
        ]
        self.reference = ReferenceCache(self.model, self.facts, self.encoded, refs, self.device)
        self.streams = {role: self._stream(role, position) for position, role in enumerate(self.loss.roles)}
        anchor = self.streams[self.loss.roles[0]]
        self.total = training.total(anchor.per_epoch)
        # Reference values and constants are those of the bare model: it is asked for them before it gets an adapter.
        if adapter:
            self.report.adapter = set_in(self.model, adapter, seed=derive(seed, "adapter"), to_merge=to_merge)
        self.named = {n: p for n, p in sorted(self.model.named_parameters()) if p.requires_grad}
        self.report.trained = sum(p.numel() for p in self.named.values())
        self.optimizer = torch.optim.AdamW(
            list(self.named.values()),
            lr=training.lr,
            betas=training.betas,
            weight_decay=training.weight_decay,
            fused=True,
        )

    def _finder(self, context: ControlContext) -> Any:
        def find(wanted: Constant) -> Any:
            value = controls.get(wanted.control)(context, **dict(wanted.settings))
            self.report.constants[wanted.control] = value
            return value

        return find

    @staticmethod
    def _layer(term: Term) -> int | None:
        return dict(term.settings).get("layer")

    def _stream(self, role: str, position: int) -> Batches:
        items = next(self.encoded[s] for s in self.segments if s[0] == role)
        size = (
            self.training.batch_size if position == 0 else self.training.retain_batch_size or self.training.batch_size
        )
        return Batches([i.key for i in items], [len(i.ids) for i in items], size, seed=self.seed, name=role)

    def step(self, step: int) -> dict[str, float]:
        """One optimiser step; returns each term's mean."""
        batch = {role: stream.at(step) for role, stream in self.streams.items()}
        units = {s: self._units(s, batch[s[0]]) for s in self.segments}
        anchor, fewest = len(batch[self.loss.roles[0]]), min(len(positions) for positions in batch.values())
        parts = math.ceil(anchor / self.training.micro_batch) if self.training.micro_batch else 1
        # A term that reads two roles needs rows of both in every part.
        parts = min(parts, fewest)
        means: dict[str, float] = {}
        self.model.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            seed_device(self.device, derive(self.seed, "dropout", step))
            for part in range(parts):
                chunk = {role: _share(positions, part, parts) for role, positions in batch.items()}
                self._backward(chunk, units, means)
        # A loss that is not a number must not reach the weights: the caller raises.
        if all(math.isfinite(value) for value in means.values()):
            self._update(step)
        return means

    def _units(self, segment: Segment, positions: list[int]) -> dict[str, int]:
        tokens = sum(self.encoded[segment][i].n_scored for i in positions)
        return {"example": len(positions), "token": tokens}

    @staticmethod
    def _segment(term: Term) -> Segment:
        return (term.role, term.formula.needs[0].answer)

    def _backward(
        self, chunk: dict[str, list[int]], units: dict[Segment, dict[str, int]], means: dict[str, float]
    ) -> None:
        present = [s for s in self.segments if chunk[s[0]]]
        items = [[self.encoded[s][i] for i in chunk[s[0]]] for s in present]
        if not items:
            return
        self.report.tokens += sum(len(item.ids) for segment in items for item in segment)
        with self.accelerator.autocast():
            views = dict(zip(present, compute(self.model, self.facts, items, self.demand, self.device), strict=True))
            keys = {s: [item.key for item in segment] for s, segment in zip(present, items, strict=True)}
            total: Tensor | None = None
            for index, term in enumerate(self.loss.terms):
                if not chunk[term.role]:
                    continue
                value = self._term_sum(term, views, keys) / units[self._segment(term)][term.formula.reduce]
                label = f"{index}:{term.objective}/{term.role}"
                means[label] = means.get(label, 0.0) + float(value.detach())
                total = term.weight * value if total is None else total + term.weight * value
        assert total is not None
        if not total.requires_grad:
            raise ConfigError(
                "no parameter that is trained reaches the loss", next="Widen trainable, or read a deeper view"
            )
        self.accelerator.backward(total)

    def _term_sum(self, term: Term, views: dict[Segment, SegmentViews], keys: dict[Segment, list[str]]) -> Tensor:
        layer = self._layer(term)
        tensors: list[Tensor] = []
        for need in term.formula.needs:
            segment = (need.role or term.role, need.answer)
            if need.model:
                tensors.append(self.reference.get(segment, need.view, layer, keys[segment]))
            else:
                tensors.append(views[segment].get(need.view, layer))
        settings = {k: v for k, v in term.settings if k in term.formula.settings}
        terms = term.formula(*tensors, **settings)
        if term.formula.reduce == "token":
            return (terms * views[self._segment(term)].get("mask", None)).sum()
        return terms.sum()

    def _update(self, step: int) -> None:
        norm = torch.nn.utils.clip_grad_norm_(list(self.named.values()), self.training.clip or math.inf)
        if not norm.isfinite():
            raise TargetError(
                f"the gradient is not a number at step {step + 1} of {self.total}", next="Lower the learning rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(step, self.total)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _stopped(stop: Stop, target: CausalLM, data: Mapping[str, Examples]) -> str:
    chosen = metrics.get(stop.score)
    table = score(target, data[stop.role], chosen.needs)
    value = float(chosen.of(table).mean())
    return f"{stop.score} on {stop.role} reached {value:.4f}" if stop.reached(value) else ""


def train(
    target: CausalLM,
    loss: Loss,
    data: Mapping[str, Examples],
    training: Training,
    *,
    seed: int,
    stage: str = "training",
    stop: Stop | None = None,
    workdir: Path | None = None,
    look: Callable[[int], object] | None = None,
    adapter: Adapter | None = None,
    to_merge: bool = True,
) -> TrainReport:
    """Train a target in place.

    Args:
        target: its weights change.
        loss: terms over roles.
        data: examples of each role that the loss, a control or the stop reads.
        training: settings of the loop.
        seed: fixes order and dropout.
        stage: name for progress reports.
        stop: early stop.
        workdir: where checkpoints go; the same run continues from the last one. None keeps none.
        look: called with the number of steps taken after each; may score the target, never change it.
        adapter: set into the target's layers and trained instead of its weights. It is in them afterwards; the
            report's handle merges it.
        to_merge: refuse an adapter that cannot be merged afterwards.

    Raises:
        ConfigError: settings that do not fit together, or an adapter that does not fit the target.
        UnknownName: a pattern of ``training.trainable`` matches no parameter.
        ScopeError: a role is empty.
        StoreError: a record does not fit into the context, or lacks an alternative answer that the loss reads.
        TargetError: the loss is not finite; the weights are as after the last finite step.
    """
    started = time.perf_counter()
    if adapter and training.trainable:
        raise ConfigError("an adapter is trained instead of the weights", next="Leave out trainable or the adapter")
    if stop and (stop.role not in data or "generated" in metrics.get(stop.score).needs):
        raise ConfigError(
            f"cannot stop by {stop.score} on {stop.role}",
            why=f"it must be a likelihood score on {', '.join(sorted(data))}",
        )
    given = {k: v.digest() for k, v in data.items()}
    identity = digest([target.digest(), loss, training, given, seed, stop, adapter])
    with threads_for(target.model), only(target.model, training.trainable):
        run = _Run(target, loss, data, training, seed, adapter, to_merge)
        _steps(run, identity, data, stage=stage, stop=stop, workdir=workdir, look=look, started=started)
    run.report.seconds += time.perf_counter() - started
    target.model.eval()
    return run.report


def _steps(
    run: _Run,
    identity: str,
    data: Mapping[str, Examples],
    *,
    stage: str,
    stop: Stop | None,
    workdir: Path | None,
    look: Callable[[int], object] | None,
    started: float,
) -> None:
    kept = load_checkpoint(workdir, run.named, run.optimizer, run=identity) if workdir else {}
    done = int(kept.get("step", 0))
    run.report.seconds, run.report.tokens = float(kept.get("seconds", 0.0)), int(kept.get("tokens", 0))
    recent: list[dict[str, float]] = kept.get("recent", [])
    for step in range(done, run.total):
        means = run.step(step)
        if not all(math.isfinite(value) for value in means.values()):
            bad = next(name for name, value in means.items() if not math.isfinite(value))
            raise TargetError(
                f"the loss is not a number at step {step + 1} of {run.total}",
                why=f"the term {bad.partition(':')[2]} is {means[bad]}",
                next="Lower the learning rate or clip the gradient",
            )
        recent = [*recent[-9:], means]
        run.report.steps = step + 1
        report(stage, step + 1, run.total, " ".join(f"{v:.3f}" for v in means.values()))
        if look:
            look(step + 1)
        if stop and (step + 1) % stop.every == 0 and (reason := _stopped(stop, run.target, data)):
            run.report.stopped = reason
            break
        if workdir and (step + 1) % run.training.save_every == 0 and step + 1 < run.total:
            spent = run.report.seconds + time.perf_counter() - started
            state = {"step": step + 1, "run": identity, "seconds": spent, "tokens": run.report.tokens}
            state["recent"] = recent
            save_checkpoint(workdir, run.named, run.optimizer, state)
    if not all(bool(p.isfinite().all()) for p in run.named.values()):
        raise TargetError("the weights are not numbers after the last step", next="Lower the learning rate")
    run.report.last = {name: sum(m[name] for m in recent) / len(recent) for name in recent[-1]} if recent else {}
