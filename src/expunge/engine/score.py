"""The one-pass scorer: every requested column of every answer variant from one sweep over the sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from expunge.core.access import Access, Oracle
from expunge.core.columns import COLUMNS, split
from expunge.core.example import Example, Examples
from expunge.core.progress import report
from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.threads import threads_for
from expunge.engine.views import run_states
from expunge.ops.answer import flat_logp, flat_moments
from expunge.targets.causal_lm import CausalLM

BUDGET = 8192
STEMS = ("token_logp", "token_hit", "token_mu", "token_sigma")


@dataclass(frozen=True)
class _Place:
    """Where a sequence's row goes: example, answer variant, alternative."""

    example: int
    variant: str
    k: int


def _answers(example: Example, variant: str) -> tuple[str, ...]:
    if variant == "paraphrase":
        return (example.paraphrased_answer,) if example.paraphrased_answer else ()
    return example.perturbed_answer if variant == "perturbed" else (example.answer,)


def _plan(target: CausalLM, examples: Sequence[Example], variants: Iterable[str]) -> tuple[list[_Place], list[Encoded]]:
    template = target.template
    places: list[_Place] = []
    items: list[Encoded] = []
    for variant in variants:
        for index, example in enumerate(examples):
            for k, answer in enumerate(_answers(example, variant)):
                places.append(_Place(index, variant, k))
                items.append(template.encode(example.record_id, example.question, answer))
    return places, items


def _sweep(target: CausalLM, items: Sequence[Encoded], stems: Sequence[str]) -> list[dict[str, np.ndarray]]:
    model, facts = target.model, target.facts
    device = next(model.parameters()).device
    head = model.get_output_embeddings()
    rows: list[dict[str, np.ndarray]] = [{} for _ in items]
    batches = by_length([len(item.ids) for item in items], BUDGET)
    was_training = model.training
    model.eval()
    with torch.no_grad(), threads_for(model):
        for number, positions in enumerate(batches):
            batch = collate([items[i] for i in positions]).to(device)
            states = run_states(model, facts, batch, final=True, layers=())
            logits = head(states.final)
            flat: dict[str, torch.Tensor] = {}
            if "token_logp" in stems:
                flat["token_logp"] = flat_logp(logits, batch.labels)
            if "token_hit" in stems:
                flat["token_hit"] = (logits.argmax(1) == batch.labels).float()
            if "token_mu" in stems or "token_sigma" in stems:
                flat["token_mu"], flat["token_sigma"] = flat_moments(logits)
            counts = batch.counts.tolist()
            for name, value in flat.items():
                for position, part in zip(positions, value.float().cpu().split(counts), strict=True):
                    rows[position][name] = part.numpy()
            report("scoring", number + 1, len(batches))
    model.train(was_training)
    return rows


def score(source: CausalLM | Oracle, examples: Examples, columns: Iterable[str]) -> dict[str, Any]:
    """Fill the teacher-forced columns of a score table.

    Args:
        source: a target, or an oracle that grants LOGPROBS.
        examples: B of them.
        columns: names from ``core.columns``; those that need generation are left to ``generate``.

    Returns:
        column -> array. (B, T), or (B, K, T) for perturbed answers; ``n_tokens`` (B,); ``text`` a list. An example
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
    stems = sorted({stem for _, stem, _ in scored} & set(STEMS))
    rows = _sweep(target, items, stems) if stems else [{} for _ in items]
    table: dict[str, Any] = {}
    for name, stem, variant in scored:
        table[name] = _column(stem, variant, len(examples), places, items, rows)
    if any(name == "text" for name, _, _ in wanted):
        table["text"] = [example.answer for example in examples]
    return table


def _column(
    stem: str, variant: str, size: int, places: list[_Place], items: list[Encoded], rows: list[dict[str, np.ndarray]]
) -> np.ndarray:
    mine = [i for i, place in enumerate(places) if place.variant == variant]
    if stem == "n_tokens":
        counts = np.zeros(size, dtype=np.int64)
        counts[[places[i].example for i in mine]] = [items[i].n_scored for i in mine]
        return counts
    longest = max((items[i].n_scored for i in mine), default=0)
    widest = max((places[i].k + 1 for i in mine), default=0)
    out = np.zeros((size, widest, longest), dtype=np.float32)
    for i in mine:
        row = 1.0 if stem == "mask" else rows[i][stem]
        out[places[i].example, places[i].k, : items[i].n_scored] = row
    return out if variant == "perturbed" else out[:, 0] if widest else out.reshape(size, 0)


def token_logp_rows(target: CausalLM, examples: Examples) -> list[np.ndarray]:
    """Log-probability of each scored token, one (n,) array of nats an example."""
    _, items = _plan(target, examples, ("",))
    return [row["token_logp"] for row in _sweep(target, items, ("token_logp",))]
