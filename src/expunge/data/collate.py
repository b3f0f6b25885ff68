"""From questions and answers to padded tensors for a causal LM.

Labels cover the answer's tokens and the end token, nothing of the prompt. The attention mask comes from lengths, never
from comparing ids with the pad id: where pad and end are one token, a comparison would hide every real end token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from expunge.core.errors import StoreError, TargetError
from expunge.core.example import Example

OnLong = Literal["error", "truncate"]
Turns = Sequence[tuple[str, str]]
"""What was asked and answered before, the oldest first."""


@dataclass(frozen=True)
class Encoded:
    """One sequence.

    Args:
        key: record id.
        ids: prompt and answer tokens, the end token last.
        n_prompt: tokens of the prompt; labels start here.
        truncated: tokens of the answer that were cut off.
    """

    key: str
    ids: tuple[int, ...]
    n_prompt: int
    truncated: int = 0

    @property
    def n_scored(self) -> int:
        """Number of scored tokens."""
        return len(self.ids) - self.n_prompt


def _plain(question: str, system: str, turns: Turns = ()) -> str:
    head = f"{system}\n" if system else ""
    before = "".join(f"Question: {asked}\nAnswer: {said}\n" for asked, said in turns)
    return f"{head}{before}Question: {question}\nAnswer:"


@dataclass(frozen=True)
class Template:
    """How a question and an answer become tokens.

    Args:
        tokenizer: a transformers tokenizer; its chat template is used if it has one, else the plain form
            ``Question: ...\\nAnswer: ...``.
        max_length: context limit in tokens.
        on_long: what happens to a sequence beyond the limit.
    """

    tokenizer: Any
    max_length: int
    on_long: OnLong = "error"

    @property
    def end(self) -> int:
        """Id of the end token.

        Raises:
            TargetError: the tokenizer has none.
        """
        end = self.tokenizer.eos_token_id
        if end is None:
            raise TargetError("the tokenizer has no end token", next="Set tokenizer.eos_token before use")
        return end

    def prompt_ids(self, question: str, system: str = "", turns: Turns = ()) -> list[int]:
        """Tokens up to where the answer starts; earlier turns of the conversation come before the question."""
        if self.tokenizer.chat_template:
            return self._chat(question, None, system, turns)
        ids = list(self.tokenizer(_plain(question, system, turns))["input_ids"])
        return ids[:-1] if ids[-1:] == [self.end] else ids

    def _chat(self, question: str, answer: str | None, system: str, turns: Turns) -> list[int]:
        messages = [{"role": "system", "content": system}] if system else []
        for asked, said in (*turns, (question, None)):
            messages.append({"role": "user", "content": asked})
            if said is not None:
                messages.append({"role": "assistant", "content": said})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)
        except Exception as error:
            roles = ", ".join(message["role"] for message in messages)
            raise TargetError(f"the chat template cannot write a conversation of {roles}", why=str(error)) from error
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer_ids(
        self, question: str, answer: str, prompt: Sequence[int], system: str = "", turns: Turns = ()
    ) -> list[int]:
        """Tokens of the answer, the end token last.

        Raises:
            TargetError: the chat template rewrites the prompt when an answer follows it.
            StoreError: the answer holds the end token.
        """
        if self.tokenizer.chat_template:
            full = self._chat(question, answer, system, turns)
            if full[: len(prompt)] != list(prompt):
                raise TargetError(
                    "the chat template's prompt is not a prefix of its conversation",
                    why="labels would cover the wrong tokens",
                    next="Use a template whose generation prompt opens the assistant's turn",
                )
            ids = full[len(prompt) :]
        else:
            # As one text, because some tokenizers put a space of their own before each text that they are given.
            full = list(self.tokenizer(f"{_plain(question, system, turns)} {answer}")["input_ids"])
            split = full[: len(prompt)] != list(prompt)
            apart = self.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"] if split else ()
            ids = [*apart] if split else full[len(prompt) :]
        if self.end in self.tokenizer(answer, add_special_tokens=False)["input_ids"]:
            raise StoreError(
                f"an answer holds the end token {self.tokenizer.decode([self.end])!r}",
                why="what follows it would never be learned or scored",
                next="Take it out of the text",
            )
        # What a template writes after the end token, a line break for instance, is not part of the answer.
        return [*ids[: ids.index(self.end)], self.end] if self.end in ids else [*ids, self.end]

    def encode(self, key: str, question: str, answer: str, *, system: str = "", prompt: Sequence[int] = ()) -> Encoded:
        """Tokens of one question with one answer.

        Args:
            key: record id.
            question: what is asked.
            answer: what is said.
            system: what stands before the conversation.
            prompt: what ``prompt_ids`` gave for this question, where it is known.

        Raises:
            StoreError: longer than the context and ``on_long`` is ``"error"``, or no room for any answer token.
        """
        prompt = prompt or self.prompt_ids(question, system)
        ids = [*prompt, *self.answer_ids(question, answer, prompt, system)]
        over = len(ids) - self.max_length
        if over > 0 and (self.on_long == "error" or len(prompt) >= self.max_length):
            raise StoreError(
                f"record {key!r} is {len(ids)} tokens long, the context holds {self.max_length}",
                why=f"{len(prompt)} of them are the prompt",
                next="Shorten it, leave it out, or truncate (on_long='truncate')",
            )
        return Encoded(key, tuple(ids[: self.max_length]), len(prompt), max(0, over))

    def encode_all(self, examples: Iterable[Example]) -> list[Encoded]:
        """Each example's own answer."""
        return [self.encode(e.record_id, e.question, e.answer) for e in examples]


@dataclass(frozen=True)
class Batch:
    """Padded sequences and the positions that are scored. S is the longest sequence.

    Args:
        input_ids: (B, S).
        attention_mask: (B, S), 1 on real tokens.
        rows: (N,) row of each scored token.
        cols: (N,) position whose output predicts it.
        labels: (N,) its id.
        counts: (B,) scored tokens a row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    cols: Tensor
    labels: Tensor
    counts: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def collate(items: Sequence[Encoded], *, pad: int = 0) -> Batch:
    """Pad on the right.

    Args:
        items: at least one.
        pad: id that fills; never seen by the model, since the mask hides it.
    """
    lengths = torch.tensor([len(item.ids) for item in items])
    input_ids = torch.full((len(items), int(lengths.max())), pad)
    for row, item in enumerate(items):
        input_ids[row, : len(item.ids)] = torch.tensor(item.ids)
    attention_mask = (torch.arange(input_ids.shape[1])[None, :] < lengths[:, None]).long()
    counts = torch.tensor([item.n_scored for item in items])
    rows = torch.repeat_interleave(torch.arange(len(items)), counts)
    cols = torch.cat([torch.arange(item.n_prompt, len(item.ids)) for item in items])
    return Batch(input_ids, attention_mask, rows, cols - 1, input_ids[rows, cols], counts)


def by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut positions into batches of similar length under a budget of padded tokens.

    Args:
        lengths: tokens of each sequence.
        budget: padded tokens a batch; a longer sequence gets a batch of its own.

    Returns:
        Lists of positions, longest first so that memory peaks at once.

    >>> by_length([2, 9, 3, 8], budget=18)
    [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    widest = 0
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not batches or widest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            widest = lengths[position]
        batches[-1].append(position)
    return batches
