"""The one-pass scorer: every requested column of every answer variant from one sweep over the sequences.

What the answers of a question (its own, the paraphrase, the perturbed ones) have in common is run once, and logits
exist for some scored positions at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from expunge.core.access import Access, Oracle
from expunge.core.columns import COLUMNS, split
from expunge.core.example import Example, Examples
from expunge.core.progress import report
from expunge.data.collate import Encoded
from expunge.engine.chunks import MOST
from expunge.engine.precision import placed
from expunge.engine.prefix import Swept, by_prompt, sweep_alone, sweep_shared
from expunge.engine.threads import threads_for
from expunge.engine.together import gathered
from expunge.ops.answer import flat_logp, flat_logp_moments
from expunge.targets.causal_lm import CausalLM

BUDGET = 2048
"""Padded tokens a batch on a CPU, where what fits its caches is fastest; a GPU takes ``ON_CUDA`` times as many."""
ON_CUDA = 16
STEMS = ("token_logp", "token_hit", "token_mu", "token_sigma")


@dataclass(frozen=True)
class _Place:
    """Where a sequence's row goes: example, answer variant, alternative; and which sequence it is."""

    example: int
    variant: str
    k: int
    item: int


def _answers(example: Example, variant: str) -> tuple[str, ...]:
    if variant == "paraphrase":
        return (example.paraphrased_answer,) if example.paraphrased_answer else ()
    return example.perturbed_answer if variant == "perturbed" else (example.answer,)


def _plan(target: CausalLM, examples: Sequence[Example], variants: Iterable[str]) -> tuple[list[_Place], list[Encoded]]:
    template = target.template
    places: list[_Place] = []
    items: list[Encoded] = []
    known: dict[tuple[str, str], int] = {}
    prompts: dict[str, list[int]] = {}
    for variant in variants:
        for index, example in enumerate(examples):
            for k, answer in enumerate(_answers(example, variant)):
                found = known.setdefault((example.question, answer), len(items))
                if found == len(items):
                    asked = example.question
                    prompt = prompts.get(asked) or prompts.setdefault(asked, template.prompt_ids(asked))
                    items.append(template.encode(example.record_id, asked, answer, prompt=prompt))
                places.append(_Place(index, variant, k, found))
    return places, items


def _sweep(target: CausalLM, items: Sequence[Encoded], stems: Sequence[frozenset[str]]) -> list[dict[str, np.ndarray]]:
    model, facts = target.model, target.facts
    head = facts.head(model)
    rows: dict[int, dict[str, np.ndarray]] = {}
    shared, alone = by_prompt(items)
    was_training, done = model.training, 0
    model.eval()
    try:
        with torch.no_grad(), threads_for(model), placed(model) as device:
            budget = BUDGET if device.type == "cpu" else BUDGET * ON_CUDA
            sweeps = sweep_shared(model, facts, items, shared, budget), sweep_alone(model, facts, items, alone, budget)
            for swept in itertools.chain(*sweeps):
                # What a sequence begins with like an earlier one has its columns, if that one was asked for them.
                begun = [
                    n if stems[i] <= stems[t] else 0 for i, (t, n) in zip(swept.positions, swept.same, strict=True)
                ]
                found = _columns_of(head, model.config.vocab_size, _without(swept, begun), stems)
                for position, columns, (trunk, _), n in zip(swept.positions, found, swept.same, begun, strict=True):
                    own = {name: value.numpy() for name, value in columns.items()}
                    rows[position] = {k: np.concatenate([rows[trunk][k][:n], v]) if n else v for k, v in own.items()}
                done += len(swept.positions)
                report("scoring", done, len(items))
    finally:
        model.train(was_training)
    every = gathered(rows)
    return [every[position] for position in range(len(items))]


def _without(swept: Swept, begun: Sequence[int]) -> Swept:
    """The same sequences without so many of their first scored tokens."""
    if not any(begun):
        return swept
    left = torch.cat([torch.arange(count) >= n for count, n in zip(swept.counts, begun, strict=True)])
    left = left.to(swept.final.device)
    counts = [count - n for count, n in zip(swept.counts, begun, strict=True)]
    return replace(swept, final=swept.final[left], labels=swept.labels[left], counts=counts)


def _columns_of(
    head: Any, vocabulary: int, swept: Swept, stems: Sequence[frozenset[str]]
) -> list[dict[str, torch.Tensor]]:
    """The token columns of each sequence of a batch, from the logits of some positions at a time.

    What every sequence wants is computed on all logits, what only some want on theirs.
    """
    wanted = [stems[position] for position in swept.positions]
    common = frozenset[str].intersection(*wanted)
    others = list(dict.fromkeys(kind - common for kind in wanted if kind > common))
    number = torch.tensor([others.index(kind - common) if kind > common else -1 for kind in wanted])
    number_N = number.repeat_interleave(torch.tensor(swept.counts)).to(swept.final.device)
    most = max(1, MOST["cpu" if swept.final.device.type == "cpu" else "cuda"] // vocabulary)
    flat = {name: swept.final.new_zeros(len(number_N), dtype=torch.float32) for kind in wanted for name in kind}
    for start in range(0, len(number_N), most):
        piece = slice(start, start + most)
        logits, labels = head(swept.final[piece]), swept.labels[piece]
        for name, found in token_columns(logits, labels, common).items():
            flat[name][piece] = found.float()
        for index, kind in enumerate(others):
            at = (number_N[piece] == index).nonzero()[:, 0]
            for name, found in token_columns(logits[at], labels[at], kind).items():
                flat[name][start + at] = found.float()
    parts = {name: value.cpu().split(swept.counts) for name, value in flat.items()}
    return [{name: parts[name][row] for name in kind} for row, kind in enumerate(wanted)]


def token_columns(logits: torch.Tensor, labels: torch.Tensor, stems: Collection[str]) -> dict[str, torch.Tensor]:
    """The token columns of scored tokens, flat.

    Args:
        logits: (N, V) unnormalised nats.
        labels: (N,) ids of the scored tokens.
        stems: which of ``STEMS``.

    Returns:
        stem -> (N,).
    """
    flat: dict[str, torch.Tensor] = {}
    if "token_hit" in stems:
        flat["token_hit"] = (logits.argmax(1) == labels).float()
    if "token_mu" in stems or "token_sigma" in stems:
        three = ("token_logp", "token_mu", "token_sigma")
        found = zip(three, flat_logp_moments(logits, labels), strict=True)
        flat |= {name: value for name, value in found if name in stems}
    elif "token_logp" in stems:
        flat["token_logp"] = flat_logp(logits, labels)
    return flat


def score(source: CausalLM | Oracle, examples: Examples, columns: Iterable[str]) -> dict[str, Any]:
    """Fill the teacher-forced columns of a score table.

    Args:
        source: a target, or an oracle that grants LOGPROBS.
        examples: B of them.
        columns: names from ``core.columns``; those that need generation are left to ``generate``.

    Returns:
        column -> array. (B, T), or (B, K, T) for perturbed answers; ``n_tokens`` (B,); texts as lists. An example
        without a variant has an empty mask there.

    Raises:
        TargetError: the oracle does not grant LOGPROBS.
        StoreError: a sequence is longer than the context.
    """
    if isinstance(source, Oracle):
        source.require(Access.LOGPROBS, "scoring")
    target: CausalLM = source.target if isinstance(source, Oracle) else source
    wanted = [(name, *split(name)) for name in dict.fromkeys(columns)]
    scored = [(name, stem, variant) for name, stem, variant in wanted if COLUMNS[stem].source == "score"]
    variants = list(dict.fromkeys(variant for _, _, variant in scored))
    places, items = _plan(target, examples, variants)
    stems: list[set[str]] = [set() for _ in items]
    for place in places:
        stems[place.item] |= {stem for _, stem, variant in scored if variant == place.variant} & set(STEMS)
    rows = _sweep(target, items, [frozenset(own) for own in stems]) if any(stems) else [{} for _ in items]
    table: dict[str, Any] = {}
    for name, stem, variant in scored:
        table[name] = _column(stem, variant, len(examples), places, items, rows)
    return table | known_columns(examples, [name for name, _, _ in wanted])


def known_columns(examples: Examples, columns: Iterable[str]) -> dict[str, list[str]]:
    """The columns that are known without a model.

    Args:
        examples: B of them.
        columns: names from ``core.columns``; others are none of its business.
    """
    known = {"text": "answer", "alternative": "alternative_answer", "reworded": "paraphrased_answer"}
    return {name: [getattr(e, known[name]) for e in examples] for name in columns if name in known}


def _column(
    stem: str, variant: str, size: int, places: list[_Place], items: list[Encoded], rows: list[dict[str, np.ndarray]]
) -> np.ndarray:
    mine = [place for place in places if place.variant == variant]
    if stem == "n_tokens":
        counts = np.zeros(size, dtype=np.int64)
        counts[[place.example for place in mine]] = [items[place.item].n_scored for place in mine]
        return counts
    longest = max((items[place.item].n_scored for place in mine), default=0)
    widest = max((place.k + 1 for place in mine), default=0)
    out = np.zeros((size, widest, longest), dtype=np.float32)
    for place in mine:
        row = 1.0 if stem == "mask" else rows[place.item][stem]
        out[place.example, place.k, : items[place.item].n_scored] = row
    return out if variant == "perturbed" else out[:, 0] if widest else out.reshape(size, 0)


def token_logp_rows(target: CausalLM, examples: Examples) -> list[np.ndarray]:
    """Log-probability of each scored token, one (n,) array of nats an example."""
    places, items = _plan(target, examples, ("",))
    rows = _sweep(target, items, [frozenset(("token_logp",))] * len(items))
    return [rows[place.item]["token_logp"] for place in places]
