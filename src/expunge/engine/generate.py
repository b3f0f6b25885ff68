"""Batched generation with a key-value cache, greedy or sampled; prompts of similar length go together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from expunge.core.access import Access, Oracle
from expunge.core.errors import ConfigError, StoreError
from expunge.core.progress import report
from expunge.core.seeds import derive
from expunge.data.collate import Template, Turns
from expunge.engine.decoding import Choice, decode
from expunge.engine.precision import placed
from expunge.engine.threads import threads_for
from expunge.engine.together import dealt, gathered
from expunge.targets.causal_lm import CausalLM

ROWS = 64


@contextmanager
def _evaluating(model: Any) -> Generator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _sampling(keys: Sequence[str], temperature: float, seed: int) -> Choice:
    """Draw a token for each row, with one random number of the row's own a step, so that no other row matters.

    The first v with  sum_{w <= v} softmax(z / temperature)_w > u,  u uniform in [0, 1): each v with its probability
    """
    draws = [torch.Generator().manual_seed(derive(seed, "sampling", key)) for key in keys]

    def drawn(rows: Sequence[int], logits_RV: torch.Tensor) -> torch.Tensor:
        # Sums over a vocabulary in float32 would round what is rare away.
        shares_RV = (logits_RV.double() / temperature).softmax(1).cumsum(1)
        u = [torch.rand(1, dtype=torch.float64, generator=draws[row]) for row in rows]
        below = torch.stack(u).to(shares_RV.device) * shares_RV[:, -1:]
        return torch.searchsorted(shares_RV, below, right=True)[:, 0].clamp(max=logits_RV.shape[1] - 1)

    return drawn


def _numbered(questions: Sequence[str]) -> list[str]:
    """A key for each question: its text, and how often it came before.

    >>> [key.split(chr(31)) for key in _numbered(["Who?", "When?", "Who?"])]
    [['Who?', '0'], ['When?', '0'], ['Who?', '1']]
    """
    before = Counter[str]()
    keys: list[str] = []
    for question in questions:
        keys.append(f"{question}\x1f{before[question]}")
        before[question] += 1
    return keys


@dataclass(frozen=True)
class _Prompt:
    """One question as the model reads it.

    Args:
        ids: up to where the model goes on; the beginning of the answer is their last part.
        begun: the beginning of the answer.
        conversation: what was asked and answered, in the asker's words.
    """

    ids: list[int]
    begun: list[int]
    conversation: str


def _prompt(template: Template, oracle: Oracle, question: str, beginning: str, turns: Turns) -> _Prompt:
    """Where a prompt leaves no room for an answer, its middle goes: both ends carry the template.

    Raises:
        StoreError: it leaves no room, and the target does not truncate.
    """
    asked, before = oracle.wrap(question), [(oracle.wrap(earlier), said) for earlier, said in turns]
    ids = template.prompt_ids(asked, oracle.system, before)
    begun = template.answer_ids(asked, beginning, ids, oracle.system, before)[:-1] if beginning else []
    ids += begun
    room = template.max_length - 1
    if len(ids) > room:
        if template.on_long == "error":
            raise StoreError(
                f"a question is {len(ids)} tokens long, the context holds {template.max_length}",
                next="Shorten it, or truncate (on_long='truncate')",
            )
        ids = ids[: room // 2] + ids[len(ids) - (room - room // 2) :]
    return _Prompt(ids, begun, "\n".join((*itertools.chain(*turns), question)))


def _prompts(
    target: CausalLM, oracle: Oracle, questions: Sequence[str], prefill: Sequence[str], turns: Sequence[Turns]
) -> list[_Prompt]:
    for what, given in (("beginnings", prefill), ("conversations", turns)):
        if given and len(given) != len(questions):
            raise ConfigError(f"{len(given)} {what} for {len(questions)} questions", next="Give one a question")
    rows = zip(questions, prefill or [""] * len(questions), turns or [()] * len(questions), strict=True)
    return [_prompt(target.template, oracle, *row) for row in rows]


def _heard(target: CausalLM, oracle: Oracle, prompt: _Prompt, said: Sequence[int]) -> str:
    """What the caller hears: the filter sees the whole answer, the caller what follows the beginning."""

    def text(ids: Sequence[int]) -> str:
        return target.tokenizer.decode(ids, skip_special_tokens=True).strip()

    whole = text([*prompt.begun, *said])
    shown = oracle.filter(prompt.conversation, whole)
    if not prompt.begun:
        return shown
    return text(said) if shown == whole else shown.removeprefix(text(prompt.begun)).strip()


def generate(
    source: CausalLM | Oracle,
    questions: Sequence[str],
    *,
    max_new_tokens: int | Sequence[int] = 32,
    temperature: float = 0.0,
    seed: int = 0,
    keys: Sequence[str] = (),
    prefill: Sequence[str] = (),
    turns: Sequence[Turns] = (),
) -> list[str]:
    """Answer questions, greedily unless a temperature is given.

    Args:
        source: a target, or an oracle that grants TEXT; its hooks wrap the prompt and filter the answer.
        questions: any number.
        max_new_tokens: tokens after which an answer is cut, one number for all or one a question; also cut at the
            context limit.
        temperature: sample from the distributions with their logits divided by it; 0 for the likeliest tokens.
        seed: of the samples.
        keys: names, one a question, that its sample depends on and that of no other does; without them it is the
            question, and how often it came before.
        prefill: beginnings of the answers, one a question; the model goes on from there.
        turns: what was asked and answered before, one conversation a question.

    Returns:
        One answer a question, in order, without special tokens and without its given beginning.

    Raises:
        TargetError: the oracle does not grant TEXT.
        StoreError: a question leaves no room for an answer.
        ConfigError: not one beginning or conversation a question.
    """
    oracle = source if isinstance(source, Oracle) else Oracle(source, Access.all())
    oracle.require(Access.TEXT, "generation")
    target: CausalLM = oracle.target
    model, template = target.model, target.template
    prompts = _prompts(target, oracle, questions, prefill, turns)
    answers: dict[int, str] = {}
    rooms = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    rooms = [min(room, template.max_length - len(p.ids)) for room, p in zip(rooms, prompts, strict=True)]
    keys, done = keys or _numbered(questions), 0
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), i))
    with torch.no_grad(), threads_for(model), placed(model), _evaluating(model):
        for rows in dealt(order[start : start + ROWS] for start in range(0, len(order), ROWS)):
            choice = _sampling([keys[i] for i in rows], temperature, seed) if temperature else None
            asked, most = [prompts[i].ids for i in rows], [rooms[i] for i in rows]
            found = decode(model, target.facts, asked, most, end=template.end, choice=choice)
            for i, said in zip(rows, found, strict=True):
                answers[i] = _heard(target, oracle, prompts[i], said)
            done += len(rows)
            report("generating", done, len(prompts))
    every = gathered(answers)
    return [every[i] for i in range(len(prompts))]
