"""How long a training step takes against the way that peers take it, and how far it is from what the machine could do.

python -m benchmarks.steps --data ../shared/data/tofu --json

The peer's way is written out in ``benchmarks.steps_peer``: one pass a role over every position, the head over every
position, the library's loss besides its own, a live copy of the model as reference, batches in file order. Ours is
``engine.run.Run``. Both start from the same weights, clip, and step with AdamW. Steps alternate; of each step the
median over the rounds counts, and steps are taken evenly from the shortest to the longest of an epoch. Ours is charged
for its share of what was made before the first step, in a run of ``--epochs`` epochs over the forget set; beside it
stands the ratio without that. Times are CPU seconds of the process; ratios of wall time stand in a column of their
own. The last line of ``--json`` is one object of ratios. Exits 1 below ``FLOOR``.

Both sides compute the same loss (a test compares their gradients) but for ``kl``, where the peer averages over every
position, padding included, and we over those that predict the answer. All texts begin with one system prompt of 26
tokens, as chat models' do; ``npo_no_system_prompt`` is without. Memory is torch's own count of the bytes alive.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.steps_data import SHAPES, Shape, data_of, target_of
from benchmarks.steps_floor import gemm_share, peak_bytes, profile
from benchmarks.steps_peer import Peer
from expunge.core.objective import Loss, as_loss, objective
from expunge.core.training import Training
from expunge.engine.run import Run
from expunge.objectives.dpo import dpo
from expunge.objectives.grad_ascent import grad_ascent
from expunge.objectives.kl import kl
from expunge.objectives.nll import nll
from expunge.objectives.npo import npo
from expunge.objectives.simnpo import simnpo

FLOOR = {
    "npo": 1.6,
    "dpo": 1.6,
    "kl": 1.7,
    "simnpo": 1.3,
    "npo_same_batches": 1.2,
    "kl_same_batches": 1.35,
    "rmu_16l": 5.0,
    "rmu_6l": 2.8,
    "gemm_share": 0.35,
}
CEILING = {"memory_with_reference": 1.1, "memory_with_kl_reference": 1.1, "memory_with_rmu_reference": 1.1}
"""The second is without the frozen head that a reference over the whole vocabulary keeps."""
LR = 1e-5


@objective(reduce="token")
def misdirect(hidden: torch.Tensor, *, scale: float) -> torch.Tensor:
    """RMU's forget term: push states towards one direction, the same in all coordinates."""
    return (hidden - scale * hidden.shape[-1] ** -0.5).square().mean(-1)


@objective(reduce="token", on="retain")
def stay(hidden: torch.Tensor, hidden_ref: torch.Tensor) -> torch.Tensor:
    """RMU's retain term: keep states where they were."""
    return (hidden - hidden_ref).square().mean(-1)


def _losses() -> dict[str, Loss]:
    retain = nll.bind().on("retain")
    return {
        "npo": npo.bind(beta=0.1) + retain,
        "dpo": dpo.bind(beta=0.1) + retain,
        "kl": grad_ascent.bind() + kl.bind(),
        "simnpo": 0.125 * simnpo.bind(beta=4.5, gamma=0.0) + retain,
        "rmu_16l": misdirect.bind(scale=2.0, layer=3) + stay.bind(layer=3),
        "rmu_6l": misdirect.bind(scale=2.0, layer=2) + stay.bind(layer=2),
    }


LOSSES = _losses()
TRAINABLE = {
    "rmu_16l": (r"model\.layers\.[123]\.mlp\.down_proj\.weight",),
    "rmu_6l": (r"model\.layers\.[012]\.mlp\.down_proj\.weight",),
}


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: key of the result.
        loss: key of ``LOSSES`` and ``PEERS``.
        shape: key of ``SHAPES``.
        same: whether the peer is given our batches in place of its own.
        chat: whether texts go through a chat template with a system prompt, which all of them then begin with.
    """

    name: str
    loss: str
    shape: str
    same: bool = False
    chat: bool = True


CASES = (
    Case("npo", "npo", "a"),
    Case("dpo", "dpo", "a"),
    Case("kl", "kl", "a"),
    Case("simnpo", "simnpo", "a"),
    Case("npo_same_batches", "npo", "a", same=True),
    Case("kl_same_batches", "kl", "a", same=True),
    Case("npo_no_system_prompt", "npo", "a", chat=False),
    Case("rmu_16l", "rmu_16l", "deep"),
    Case("rmu_6l", "rmu_6l", "a"),
)


def clocked(action: Callable[[], Any]) -> tuple[float, float]:
    """CPU and wall seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def evenly(costs: Sequence[int], wanted: int) -> list[int]:
    """Positions of items that stand evenly from the cheapest to the dearest.

    >>> evenly([30, 10, 20, 40], 2)
    [2, 3]
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], i))
    return [order[(2 * k + 1) * len(order) // (2 * wanted)] for k in range(wanted)]


def run_of(loss: Loss, trainable: Sequence[str], target: Any, data: Any, epochs: float, batch: int) -> Run:
    """Our run on a copy of the target."""
    own = target.clone()
    for name, parameter in own.model.named_parameters():
        parameter.requires_grad_(not trainable or any(re.fullmatch(p, name) for p in trainable))
    return Run(own, loss, data, Training(lr=LR, epochs=epochs, batch_size=batch, retain_batch_size=batch), 0)


def costs_of(run: Run, steps: int) -> list[int]:
    """Tokens of each of the first steps."""
    lengths = {role: [len(i.ids) for i in run.encoded[role, ""]] for role in run.streams}
    return [sum(lengths[r][i] for r, stream in run.streams.items() for i in stream.at(s)) for s in range(steps)]


def measure(case: Case, target: Any, data: Any, *, steps: int, rounds: int, epochs: float) -> dict[str, float]:
    """Both ways in turn, once more than ``rounds``; the first time is not counted."""
    batch, trainable, made = SHAPES[case.shape].batch, TRAINABLE.get(case.loss, ()), list[Run]()
    loss = as_loss(LOSSES[case.loss])
    ahead_cpu, ahead_wall = clocked(lambda: made.append(run_of(loss, trainable, target, data, epochs, batch)))
    run, peer = made[0], Peer(target, data, case.loss, batch, trainable, LR)
    epoch = run.streams["forget"].per_epoch
    ours = evenly(costs_of(run, epoch), steps)
    if case.same:
        theirs = [peer.batch({role: stream.at(s) for role, stream in run.streams.items()}) for s in ours]
    else:
        batches = [peer.batch(peer.positions(s)) for s in range(epoch)]
        theirs = [batches[i] for i in evenly([peer.padded(batch) for batch in batches], steps)]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for again in range(rounds + 1):
        for at in range(steps):
            pair = {"peer": lambda at=at: peer.step(theirs[at]), "ours": lambda at=at: run.step(ours[at])}
            for who, action in pair.items():
                seconds = clocked(action)
                if again:
                    times.setdefault((who, at), []).append(seconds)
    mean = {
        (who, clock): sum(statistics.median(t[clock] for t in times[who, at]) for at in range(steps)) / steps
        for who in ("peer", "ours")
        for clock in (0, 1)
    }
    share = ahead_cpu / run.total
    return {
        "ratio": mean["peer", 0] / (mean["ours", 0] + share),
        "without_ahead": mean["peer", 0] / mean["ours", 0],
        "wall_ratio": mean["peer", 1] / (mean["ours", 1] + ahead_wall / run.total),
        "peer_seconds": mean["peer", 0],
        "our_seconds": mean["ours", 0],
        "ahead_seconds": ahead_cpu,
        "steps_of_run": run.total,
    }


def peaks(target: Any, data: Any, batch: int, epochs: float) -> dict[str, float]:
    """Most bytes alive, by loss, setting up and weights included: the run that is timed, and its first two steps.

    Of each kind of reference there is the same step without one: ascent for ``npo`` and ``kl``, for RMU its forget term
    on the retained records too, which reads the same states of the model itself. The reference stands for all that is
    forgotten and retained. Beside them the bytes of all weights and of the vocabulary head.
    """
    layer = min(2, target.model.config.num_hidden_layers - 1)
    push = misdirect.bind(scale=2.0, layer=layer)
    losses: dict[str, tuple[Loss, str]] = {
        "ascent": (grad_ascent.bind() + nll.bind().on("retain"), ""),
        "npo": (as_loss(LOSSES["npo"]), ""),
        "kl": (as_loss(LOSSES["kl"]), ""),
        "push": (push + push.on("retain"), "rmu_6l"),
        "rmu": (push + stay.bind(layer=layer), "rmu_6l"),
    }

    def two(loss: Loss, trained: str) -> None:
        run = run_of(loss, TRAINABLE.get(trained, ()), target, data, epochs, batch)
        run.step(0)
        run.step(1)

    # The copy of the target inside ``run_of`` is the model that is trained; the target itself is not counted.
    found = {name: float(peak_bytes(lambda case=case: two(*case))) for name, case in losses.items()}
    head = 4 * target.model.get_output_embeddings().weight.numel()
    return {**found, "weights": 4.0 * target.parameters, "head": float(head)}


def floor_of(target: Any, data: Any, shape: Shape, repeats: int) -> tuple[dict[str, float], str]:
    """The share of matrix products in a step of NPO, and where the rest goes."""
    fewer = {role: examples[: 8 * shape.batch] for role, examples in data.items()}
    run = run_of(as_loss(LOSSES["npo"]), (), target, fewer, 1, shape.batch)
    middle = evenly(costs_of(run, run.streams["forget"].per_epoch), 1)[0]
    run.step(middle)
    seconds = statistics.median(clocked(lambda: run.step(middle))[0] for _ in range(repeats))
    return gemm_share(run, shape, middle, seconds), profile(lambda: run.step(middle))


def tables(given: argparse.Namespace, out: Callable[[str], object]) -> dict[str, float]:
    """Measure and print; returns the ratios."""
    shapes = dict.fromkeys(SHAPES, SHAPES["tiny"]) if given.quick else SHAPES
    data = data_of(given.data, forget=8, retain=12) if given.quick else data_of(given.data)
    ratios: dict[str, float] = {}
    out(f"{'':21} ratio  not counting  wall  peer s  our s  s ahead   steps")
    for case in CASES:
        target = target_of(shapes[case.shape], data, chat=case.chat)
        sizes = {"steps": given.steps, "rounds": given.rounds, "epochs": given.epochs}
        row = measure(case, target, data, **sizes)
        ratios[case.name] = row["ratio"]
        out(
            f"{case.name:21} {row['ratio']:5.2f} {row['without_ahead']:13.2f} {row['wall_ratio']:5.2f}"
            f" {row['peer_seconds']:7.3f} {row['our_seconds']:6.3f} {row['ahead_seconds']:8.2f}"
            f" {row['steps_of_run']:7.0f}"
        )
    shape = shapes["a"]
    target = target_of(shape, data)
    bytes_of = peaks(target, data, shape.batch, given.epochs)
    ratios["memory_with_reference"] = bytes_of["npo"] / bytes_of["ascent"]
    ratios["memory_with_kl_reference"] = (bytes_of["kl"] - bytes_of["head"]) / bytes_of["ascent"]
    ratios["memory_with_rmu_reference"] = bytes_of["rmu"] / bytes_of["push"]
    out("\nMB alive at most: " + ", ".join(f"{name} {value / 1e6:.1f}" for name, value in bytes_of.items()))
    out(f"References stand for {len(data['forget'])} forgotten and {len(data['retain'])} retained records")
    share, rows = floor_of(target, data, shape, given.rounds)
    ratios["gemm_share"] = share["gemm_share"]
    out(f"\nA step of npo: {share['gflop']:.1f} GFLOP, {share['gflop_per_second']:.1f} a second in products alone")
    out(f"\n{rows}")
    return ratios


def missed(ratios: dict[str, float]) -> list[str]:
    """Names of the ratios that are on the wrong side of their bound."""
    low = [name for name, least in FLOOR.items() if ratios[name] < least]
    return low + [name for name, most in CEILING.items() if ratios[name] > most]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, compare with the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tofu"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--quick", action="store_true", help="tiny models and few texts: whether it runs, not how fast")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    try:
        ratios = tables(given, lambda line: print(line, flush=True))
    finally:
        torch.set_num_threads(before)
    wrong = missed(ratios)
    for name in wrong:
        print(f"missed: {name} {ratios[name]:.2f}, bound {(FLOOR | CEILING)[name]}")
    if given.json:
        print(json.dumps({name: round(value, 4) for name, value in ratios.items()}))
    return 1 if wrong and not given.quick else 0


if __name__ == "__main__":
    sys.exit(main())
