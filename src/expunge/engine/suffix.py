"""How a suffix behind questions changes the likelihood of their answers. Source: Zou et al. 2023 (2307.15043), 2.2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.core.access import Oracle
from expunge.core.example import Example
from expunge.data.collate import Batch, Encoded, by_length, collate
from expunge.engine.precision import placed
from expunge.engine.threads import threads_for
from expunge.engine.views import run_states
from expunge.ops.answer import flat_logp, sum_rows

BUDGET = 4096
"""Padded tokens a pass."""


def with_suffix(question: str, suffix: str) -> str:
    """A question as it is put."""
    return f"{question} {suffix}"


@dataclass(frozen=True)
class Suffixed:
    """A question with a suffix and its answer, as tokens.

    Args:
        item: the sequence.
        start: position of the suffix's first token.
    """

    item: Encoded
    start: int


def encode_suffix(oracle: Oracle, example: Example, suffix: Sequence[int]) -> Suffixed | None:
    """The sequence of a question with a suffix, through the target's own hooks and template.

    Args:
        oracle: the model.
        example: whose question and answer.
        suffix: token ids.

    Returns:
        None where the suffix, written out as text, is read as other tokens: nobody could send it.
    """
    target = oracle.target
    text = target.tokenizer.decode(suffix)
    question = oracle.wrap(with_suffix(example.question, text))
    item = target.template.encode(example.record_id, question, example.answer, system=oracle.system)
    wanted, prompt = list(suffix), list(item.ids[: item.n_prompt])
    for start in range(len(prompt) - len(wanted), -1, -1):
        if prompt[start : start + len(wanted)] == wanted:
            return Suffixed(item, start)
    return None


@contextmanager
def _asked(model: Any) -> Iterator[torch.device]:
    was_training = model.training
    model.eval()
    try:
        with threads_for(model), placed(model) as device:
            yield device
    finally:
        model.train(was_training)


def _nll(target: Any, batch: Batch) -> Tensor:
    states = run_states(target.model, target.facts, batch, final=True, layers=())
    logp = flat_logp(target.facts.head(target.model)(states.final), batch.labels)
    return -sum_rows(logp, batch.counts) / batch.counts


def answer_nll(target: Any, items: Sequence[Encoded]) -> Tensor:
    """Mean negative log-likelihood of each answer's tokens.

    Args:
        target: a causal LM.
        items: B sequences.

    Returns:
        (B,) nats a token, on the CPU.
    """
    found = torch.zeros(len(items))
    with torch.no_grad(), _asked(target.model) as device:
        for rows in by_length([len(item.ids) for item in items], BUDGET):
            found[rows] = _nll(target, collate([items[row] for row in rows]).to(device)).float().cpu()
    return found


def token_gradients(target: Any, rows: Sequence[Suffixed], length: int) -> Tensor:
    """How the mean loss over several answers would change if a token of the suffix were another, to first order.

    g_sv = sum_i (dL_i / de_is) . e_v,  e_is the embedding at position s of the suffix behind question i, e_v that of v

    Args:
        target: a causal LM; its weights and their gradients stay as they are.
        rows: B questions with the same suffix.
        length: S tokens of the suffix.

    Returns:
        (S, V) nats a token, on the CPU.
    """
    model, kept = target.model, list[Tensor]()
    embeddings = model.get_input_embeddings()

    def catch(_module: Any, _given: Any, out: Tensor) -> Tensor:
        kept.append(out.detach().requires_grad_())
        return kept[-1]

    with torch.enable_grad(), _asked(model) as device:
        batch = collate([row.item for row in rows]).to(device)
        with torch.no_grad():
            table_VD = embeddings(torch.arange(embeddings.weight.shape[0], device=device))
        hook = embeddings.register_forward_hook(catch)
        try:
            loss = _nll(target, batch).mean()
        finally:
            hook.remove()
        (found_BSD,) = torch.autograd.grad(loss, kept[:1])
        places = torch.tensor([[row.start + s for s in range(length)] for row in rows], device=device)
        own_SD = found_BSD.gather(1, places[..., None].expand(-1, -1, found_BSD.shape[-1])).sum(0)
        return (own_SD.float() @ table_VD.float().T).cpu()
