"""Batched greedy generation with a key-value cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from expunge.core.access import Access, Oracle
from expunge.core.progress import report
from expunge.engine.threads import threads_for
from expunge.targets.causal_lm import CausalLM

ROWS = 64


def _padded_left(prompts: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(p) for p in prompts)
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _batches(lengths: Sequence[int], full: int) -> Iterator[list[int]]:
    """Positions, shortest first. A prompt above ``full`` tokens cuts its answer, so it meets only its own length."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for _, same in itertools.groupby(order, key=lambda i: max(full, lengths[i])):
        rows = list(same)
        yield from (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))


def generate(source: CausalLM | Oracle, questions: Sequence[str], *, max_new_tokens: int = 32) -> list[str]:
    """Answer questions greedily.

    Args:
        source: a target, or an oracle that grants TEXT; its hooks wrap the prompt and filter the answer.
        questions: any number.
        max_new_tokens: tokens after which an answer is cut; also cut at the context limit.

    Returns:
        One answer a question, in order, without special tokens.

    Raises:
        TargetError: the oracle does not grant TEXT.
    """
    oracle = source if isinstance(source, Oracle) else Oracle(source, Access.all())
    oracle.require(Access.TEXT, "generation")
    target: CausalLM = oracle.target
    model, template = target.model, target.template
    device = next(model.parameters()).device
    prompts = [
        template.prompt_ids(oracle.wrap(question), oracle.system)[: template.max_length - 1] for question in questions
    ]
    answers = [""] * len(prompts)
    was_training = model.training
    model.eval()
    with torch.no_grad(), threads_for(model):
        done = 0
        for rows in _batches([len(p) for p in prompts], template.max_length - max_new_tokens):
            ids, mask = _padded_left([prompts[i] for i in rows], template.end, device)
            room = min(max_new_tokens, template.max_length - ids.shape[1])
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=room,
                do_sample=False,
                eos_token_id=template.end,
                pad_token_id=template.end,
            )
            for row, i in enumerate(rows):
                text = target.tokenizer.decode(out[row, ids.shape[1] :], skip_special_tokens=True).strip()
                answers[i] = oracle.filter(questions[i], text)
            done += len(rows)
            report("generating", done, len(prompts))
    model.train(was_training)
    return answers
