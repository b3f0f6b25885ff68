"""What a TOFU evaluation costs beside one that goes metric by metric, both ways in turn and coming to equal numbers.

python -m benchmarks.scoring --data ../shared/data/tofu --json

A Llama of 6 layers, 256 dimensions and 4096 tokens with random weights, a chat template with a system prompt, TOFU's
rows in file order or made-up ones with as many tokens. ``benchmarks.scoring_peer`` says what the other way does. Ratios
are of the sums of medians of CPU seconds; wall seconds stand beside. The weights being random, no answer would end: on
both sides it is cut where the record's own answer ends. Floors: tokens that have to be run, the operations that they
take and, at the rate of matrix products alone, the share of our time that this is. Exits 1 where the two ways differ,
and as ``benchmarks.page.MISSED`` below ``FLOOR`` or above ``CEILING``, with the reason where one is known.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer

from benchmarks import scoring_peer as peer
from benchmarks.page import MISSED
from benchmarks.scoring_data import WRONG, roles
from benchmarks.steps import clocked
from benchmarks.steps_data import SHAPES, Shape, data_of, target_of
from benchmarks.steps_floor import flops_of, gemm_rate
from expunge.core.example import Examples
from expunge.core.registry import metrics
from expunge.engine.generate import generate
from expunge.engine.gradient_norms import batched_gradient_norms
from expunge.engine.score import score
from expunge.metrics._rouge import _stem, rouge, words

FLOOR = {
    "tofu_default": 3.5,
    "tofu_all_attacks": 5.0,
    "tofu_with_generation": 2.5,
    "gradnorm": 3.0,
    "rouge": 5.0,
}
CEILING = {"table_attacks_over_one": 1.3}
NEAR = 1e-5
GENERAL = ("real_authors", "world_facts")
WRITTEN = ("forget", "retain")
"""Whose texts ROUGE is timed on."""
ANSWERS = ("token_logp", "mask", "token_logp_paraphrase", "mask_paraphrase", "token_logp_perturbed", "mask_perturbed")
PLAIN = {
    "forget": (*ANSWERS, "token_hit"),
    "retain": ANSWERS,
    "holdout": ("token_logp", "mask"),
    **dict.fromkeys(GENERAL, ANSWERS),
}
ATTACKS = ("loss", "zlib_ratio", "min_k", "min_k_plus_plus")
Action = Callable[[], Any]


class Timed:
    """Times of named actions, each taken once a round; the first round is not counted, its results are kept."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[float, float]]] = {}
        self.results: dict[str, Any] = {}

    def round(self, actions: Mapping[str, Action]) -> None:
        """Take each action once."""
        for name, action in actions.items():
            kept: list[Any] = []
            seconds = clocked(lambda action=action, kept=kept: kept.append(action()))
            if name in self.results:
                self.times.setdefault(name, []).append(seconds)
            self.results[name] = kept[0]

    def total(self, start: str, clock: int = 0) -> float:
        """Sum of the medians of the actions whose names start so."""
        found = [t for name, t in self.times.items() if name.startswith(start)]
        return sum(statistics.median(seconds[clock] for seconds in each) for each in found)

    def ratio(self, *parts: str, rouge: float = 0.0) -> float:
        """The other way's seconds over ours, for some parts together and that many times those of ROUGE."""
        peer, ours = (
            sum(self.total(f"{who} {p}") for p in parts) + rouge * self.total(f"{who} rouge")
            for who in ("peer", "ours")
        )
        return peer / ours


def peer_actions(
    target: Any, other: Any, data: Mapping[str, Examples], rooms: Mapping[str, list[int]]
) -> dict[str, Action]:
    """The other way: an action a metric and role."""
    found: dict[str, Action] = {}
    for role, examples in data.items():
        own = peer.said(examples)
        if role != "holdout":
            found[f"peer default {role} own"] = lambda own=own: peer.losses(target, own)
            found[f"peer default {role} wrong"] = lambda e=examples: peer.wrong_losses(target, e)
            found[f"peer generation {role}"] = lambda own=own, r=role: peer.generations(target, own, rooms[r])
        if role in ("forget", "retain"):
            found[f"peer default {role} paraphrase"] = lambda e=examples: peer.losses(target, peer.reworded(e))
        if role in ("forget", "holdout"):
            found[f"peer default {role} min_k"] = lambda own=own: peer.min_k(target, own)
            found[f"peer attacks {role} loss"] = lambda own=own: peer.losses(target, own)
            found[f"peer attacks {role} zlib_ratio"] = lambda own=own: peer.zlib_ratio(target, own)
            found[f"peer attacks {role} min_k_plus_plus"] = lambda own=own: peer.min_k_plus_plus(target, own)
            found[f"peer attacks {role} reference"] = lambda own=own: peer.reference(target, other, own)
    forget = peer.said(data["forget"])
    found["peer default forget extraction_strength"] = lambda: peer.extraction_strength(target, forget)
    found["peer attacks forget exact_memorization"] = lambda: peer.exact_memorization(target, forget)
    return found


def our_actions(
    target: Any, other: Any, data: Mapping[str, Examples], rooms: Mapping[str, list[int]]
) -> dict[str, Action]:
    """Our way: an action a role, with scores and all."""

    def table(examples: Examples, columns: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        found = score(target, examples, [*columns, "text"])
        return found | {name: metrics.get(name).of(found) for name in names}

    moments = ("token_mu", "token_sigma")
    found: dict[str, Action] = {}
    for role, examples in data.items():
        plain = {"forget": ("min_k", "extraction_strength"), "holdout": ("min_k",)}.get(role, ())
        more = (*ATTACKS, *(("extraction_strength", "exact_memorization") if role == "forget" else ()))
        found[f"ours default {role}"] = lambda e=examples, r=role, s=plain: table(e, PLAIN[r], s)
        if role in ("forget", "holdout"):
            found[f"ours all {role}"] = lambda e=examples, r=role, s=more: table(e, (*PLAIN[r], *moments), s)
            found[f"ours all {role} reference"] = lambda e=examples: score(other, e, ("token_logp", "mask"))
        if role != "holdout":
            questions = [e.question for e in examples]
            found[f"ours generation {role}"] = lambda q=questions, r=role: generate(target, q, max_new_tokens=rooms[r])
    forget = data["forget"]
    found["ours one"] = lambda: table(forget, ("token_logp", "mask"), ("loss",))
    found["ours four"] = lambda: table(forget, ("token_logp", "mask", *moments), ATTACKS)
    return found


def side_actions(target: Any, forget: Examples, written: Mapping[str, Examples]) -> dict[str, Action]:
    """Both ways of gradient norms, and of ROUGE on the texts of a whole evaluation with nothing stemmed before."""
    own = peer.said(forget)
    every = [e for role, examples in written.items() if role in WRITTEN for e in examples]
    texts = [e.answer for e in every], [e.paraphrased_answer for e in every]
    package = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)

    def ours() -> np.ndarray:
        _stem.cache_clear()
        words.cache_clear()
        return np.stack([rouge("rouge1", "recall", *texts), rouge("rougeL", "recall", *texts)], 1)

    def theirs() -> np.ndarray:
        found = [package.score(want.strip(), got.strip()) for want, got in zip(*texts, strict=True)]
        return np.array([[f["rouge1"].recall, f["rougeL"].recall] for f in found])

    def norms() -> np.ndarray:
        items = target.template.encode_all(forget)
        return batched_gradient_norms(target.model, target.facts, items).mean(1)

    return {
        "peer gradnorm": lambda: peer.gradient_norm(target, own),
        "ours gradnorm": norms,
        "peer rouge": theirs,
        "ours rouge": ours,
    }


def differences(results: Mapping[str, Any], data: Mapping[str, Examples]) -> dict[str, float]:
    """Largest difference of any number of the two ways, relative to numbers above 1, by part; texts as a share."""
    found: dict[str, float] = {}

    def apart(name: str, ours: Any, theirs: Any) -> None:
        ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
        found[name] = float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())

    for role in data:
        table = results[f"ours default {role}"]
        means = {
            variant: -(table[f"token_logp{variant}"] * table[f"mask{variant}"]).sum(-1)
            / table[f"mask{variant}"].sum(-1)
            for variant in (("", "_paraphrase", "_perturbed") if WRONG[role] else ("",))
        }
        for part, variant in (("own", ""), ("paraphrase", "_paraphrase"), ("wrong", "_perturbed")):
            if f"peer default {role} {part}" in results:
                apart(f"{role} {part}", means[variant], results[f"peer default {role} {part}"])
        for name in ("min_k", "extraction_strength"):
            if name in table:
                apart(f"{role} {name}", table[name], results[f"peer default {role} {name}"])
        whole = results.get(f"ours all {role}", {})
        for name in ("zlib_ratio", "min_k_plus_plus", "exact_memorization"):
            if name in whole:
                apart(f"{role} {name}", whole[name], results[f"peer attacks {role} {name}"])
    for name in ("gradnorm", "rouge"):
        apart(name, results[f"ours {name}"], results[f"peer {name}"])
    return found


def unequal_texts(results: Mapping[str, Any]) -> int:
    """Answers that the two ways generate and that differ."""
    names = [name for name in results if name.startswith("peer generation")]
    both = [zip(results[name], results[name.replace("peer", "ours")], strict=True) for name in names]
    return sum(theirs != ours for pairs in both for theirs, ours in pairs)


def floor_of(target: Any, data: Mapping[str, Examples], shape: Shape) -> dict[str, float]:
    """Tokens that the default scoring has to run, their operations, and how fast matrix products alone are.

    What sequences begin with alike counts once, and attention not at all.
    """
    encode, tokens, scored = target.template.encode, 0, 0
    prompts = [target.template.prompt_ids(e.question) for examples in data.values() for e in examples]
    shared = next(i for i, column in enumerate(zip(*prompts, strict=False)) if len(set(column)) > 1)
    for examples in data.values():
        for e in examples:
            answers = dict.fromkeys((e.answer, *filter(None, (e.paraphrased_answer,)), *e.perturbed_answer))
            items = [encode("", e.question, answer) for answer in answers]
            begun = {item.ids[:n] for item in items for n in range(shared + 1, len(item.ids) + 1)}
            scored += sum(len(ids) > items[0].n_prompt for ids in begun)
            tokens += len(begun) - len(items)
    flops = flops_of(shape, [1] * tokens, scored) / 3
    return {"tokens": float(tokens), "flops": flops, "rate": gemm_rate(shape, 1024)}


def norms_floor(target: Any, forget: Examples, shape: Shape) -> float:
    """Operations of batched gradient norms: forward, back through the states, and products of tokens with tokens.

    The gradient of a weight is never made, a third of what a backward pass takes. In its place stand the products of a
    layer's inputs among themselves, and of what flows back, S^2 for each of their widths.
    """
    items = target.template.encode_all(forget)
    passes = flops_of(shape, [len(item.ids) - 1 for item in items], sum(item.n_scored for item in items)) * 2 / 3
    widths = shape.layers * (7 * shape.hidden + 3 * shape.inner)
    return passes + sum(2.0 * widths * (len(item.ids) - 1) ** 2 for item in items)


def summary(timed: Timed, share: float) -> dict[str, float]:
    """The ratios.

    Args:
        timed: all actions.
        share: texts that are generated for one that ROUGE was timed on, which are many more, to be timed well.
    """
    default = timed.total("peer default")
    ours_all = timed.total("ours all") + sum(timed.total(f"ours default {role}") for role in ("retain", *GENERAL))
    return {
        "tofu_default": timed.ratio("default"),
        "tofu_all_attacks": (default + timed.total("peer attacks")) / ours_all,
        "tofu_with_generation": timed.ratio("default", "generation", rouge=share),
        "table_attacks_over_one": timed.total("ours four") / timed.total("ours one"),
        "gradnorm": timed.ratio("gradnorm"),
        "rouge": timed.ratio("rouge"),
    }


def missed(ratios: Mapping[str, float]) -> list[str]:
    """Names of the ratios on the wrong side of their bound."""
    low = [name for name, least in FLOOR.items() if ratios[name] < least]
    return low + [name for name, most in CEILING.items() if ratios[name] > most]


def said_of(ratios: Mapping[str, float], within_reach: float) -> list[str]:
    """A line a ratio on the wrong side of its bound.

    Args:
        ratios: as measured.
        within_reach: the largest ratio of gradient norms that matrix products alone would allow here.

    >>> good = dict.fromkeys(FLOOR, 9.0) | {"table_attacks_over_one": 1.1}
    >>> said_of(good | {"gradnorm": 2.4}, 2.8)
    ['gradnorm 2.40 of 3: the products that it needs alone would take too long, no ratio above 2.80 is within reach']
    >>> said_of(good | {"rouge": 4.25}, 2.8)
    ['rouge 4.25 of 5']
    """
    lines = {name: f"{name} {ratios[name]:.2f} of {FLOOR.get(name, CEILING.get(name)):g}" for name in missed(ratios)}
    if "gradnorm" in lines:
        reach = f"no ratio above {within_reach:.2f} is within reach"
        short = within_reach < FLOOR["gradnorm"]
        lines["gradnorm"] += (
            f": the products that it needs alone would take too long, {reach}" if short else f": {reach}"
        )
    return list(lines.values())


def run(given: argparse.Namespace) -> tuple[dict[str, float], list[str], list[str]]:
    """Measure and print; the ratios, what is wrong, and what is slow."""
    shape = SHAPES["tiny" if given.quick else "a"]
    data, texts = (
        roles(given.data, given.rows),
        data_of(given.data, forget=8, retain=12) if given.quick else data_of(given.data),
    )
    target = target_of(shape, texts)
    other = target.clone()
    rooms = {role: [i.n_scored for i in target.template.encode_all(examples)] for role, examples in data.items()}
    timed, actions = Timed(), {**peer_actions(target, other, data, rooms), **our_actions(target, other, data, rooms)}
    order = sorted(actions, key=lambda name: (name.split()[1:3][-1:], name))
    written = roles(given.data, 400)
    sides = side_actions(target, data["forget"], written)
    share = sum(len(data[r]) for r in data if r != "holdout") / sum(len(written[r]) for r in WRITTEN)
    for _ in range(given.rounds + 1):
        with torch.no_grad():
            timed.round({name: actions[name] for name in order})
        timed.round(sides)
    ratios, apart, unequal = (
        summary(timed, share),
        differences(timed.results, data),
        unequal_texts(timed.results),
    )
    floor = floor_of(target, data, shape)
    for name in ("default", "generation", "gradnorm", "rouge"):
        times = [timed.total(f"{who} {name}", clock) for clock in (0, 1) for who in ("peer", "ours")]
        print(f"{name:11} CPU s {times[0]:8.3f} {times[1]:8.3f}   wall s {times[2]:8.3f} {times[3]:8.3f}")
    print(
        f"attacks     CPU s {timed.total('peer attacks'):8.3f} beside the default;"
        f" ours of both roles {timed.total('ours all'):.3f}"
    )
    print(
        f"floor of the default scoring: {floor['tokens']:.0f} tokens, {floor['flops'] / 1e9:.1f} GFLOP at"
        f" {floor['rate'] / 1e9:.1f} a second,"
        f" {floor['flops'] / floor['rate'] / timed.total('ours default'):.2f} of our time"
    )
    needed = norms_floor(target, data["forget"], shape)
    least, took = needed / floor["rate"], {who: timed.total(f"{who} gradnorm") for who in ("peer", "ours")}
    print(
        f"floor of the gradient norms: {needed / 1e9:.1f} GFLOP, {least / took['ours']:.2f} of our time;"
        f" no ratio above {took['peer'] / least:.2f} is within reach"
    )
    worst = max(apart, key=lambda name: apart[name])
    print(f"largest difference {apart[worst]:.1e} ({worst}); generated answers that differ: {unequal}")
    wrong = [f"{name} differs by {value:.1e}" for name, value in apart.items() if value > NEAR]
    wrong += [f"{unequal} generated answers differ"] if unequal else []
    return ratios, wrong, said_of(ratios, took["peer"] / least)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tofu"))
    parser.add_argument("--rows", type=int, default=32, help="of the forgotten; other roles in proportion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tiny model: whether it runs, not how fast")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratios, wrong, slow = run(given)
    finally:
        torch.set_num_threads(before)
    slow = [] if given.quick else slow
    for line in [*wrong, *slow]:
        print(f"missed: {line}")
    if given.json:
        print(json.dumps({name: round(value, 4) for name, value in ratios.items()}))
    return 1 if wrong else MISSED if slow else 0


if __name__ == "__main__":
    sys.exit(main())
