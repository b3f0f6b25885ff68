"""TOFU's scores metric by metric, as open-unlearning takes them: what ``benchmarks.scoring`` compares with.

Every metric tokenises its items again and makes forward passes of its own, over batches in file order that are padded
to their longest; labels go along, so that the library computes a loss over every position; the logits of every
position are cast and normalised; every answer of a question brings its prompt; Min-K%++ takes two passes. Answers are
generated from prompts padded on the left until the longest of the batch has ended. A gradient norm is one backward
pass an item, and ROUGE is the package's. All labels count here, where the peer drops the last;
and a variance is taken around its mean, where the peer takes a difference of squares that is off by 1e-4.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.steps_peer import Inputs, padded
from expunge.core.example import Examples
from expunge.data.collate import Encoded

BATCH = 32
K = 0.4


def encoded(target: Any, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    """Tokens of questions and answers; the template is rendered three times for each, as the peer does."""
    found: list[Encoded] = []
    for question, answer in pairs:
        target.template.prompt_ids(question)
        found.append(target.template.encode("", question, answer))
    return found


def batches(target: Any, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[list[Encoded], Inputs]]:
    """Items in file order."""
    for start in range(0, len(pairs), BATCH):
        items = encoded(target, pairs[start : start + BATCH])
        yield items, padded(items)


def losses(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mean negative log-likelihood of a token of each answer."""
    found: list[Tensor] = []
    for _, inputs in batches(target, pairs):
        logits = target.model(**inputs).logits.float()[:, :-1].contiguous()
        labels = inputs["labels"][:, 1:].contiguous()
        token = nn.CrossEntropyLoss(ignore_index=-100, reduction="none")(logits.transpose(-1, -2), labels)
        found.append(token.sum(-1) / (labels != -100).sum(-1))
    return torch.cat(found).numpy()


def vocabulary_logps(target: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[Tensor, Tensor]]:
    """(n, V) log-probabilities at each answer's positions, and its labels."""
    found: list[tuple[Tensor, Tensor]] = []
    for items, inputs in batches(target, pairs):
        logp = target.model(**inputs).logits.float().log_softmax(-1)
        for row, item in enumerate(items):
            labels = inputs["labels"][row, item.n_prompt : len(item.ids)]
            found.append((logp[row, item.n_prompt - 1 : len(item.ids) - 1].clone(), labels))
    return found


def token_logps(target: Any, pairs: Sequence[tuple[str, str]]) -> list[np.ndarray]:
    """(n,) log-probabilities of each answer's tokens."""
    return [logp.gather(1, labels[:, None])[:, 0].numpy() for logp, labels in vocabulary_logps(target, pairs)]


def lowest(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the lowest share of each row."""
    return np.array([np.sort(row)[: max(1, int(len(row) * K))].mean() for row in rows])


def min_k(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Min-K%."""
    return lowest(token_logps(target, pairs))


def min_k_plus_plus(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Min-K%++, of two passes."""
    rows: list[np.ndarray] = []
    for token, (logp, _) in zip(token_logps(target, pairs), vocabulary_logps(target, pairs), strict=True):
        p = logp.exp()
        mu = (p * logp).sum(1)
        variance = (p * (logp - mu[:, None]).square()).sum(1)
        rows.append((token - mu.numpy()) / variance.clamp(min=1e-6).sqrt().numpy())
    return lowest(rows)


def hits(target: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[Tensor, Tensor]]:
    """Likeliest tokens at each answer's positions, and its labels."""
    return [(logp.argmax(1), labels) for logp, labels in vocabulary_logps(target, pairs)]


def exact_memorization(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Share of tokens that are the likeliest."""
    return np.array([float((best == labels).float().mean()) for best, labels in hits(target, pairs)])


def extraction_strength(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Longest suffix that follows by itself, each start tried in turn."""
    found: list[float] = []
    for best, labels in hits(target, pairs):
        starts = (k for k in range(len(labels) + 1) if torch.equal(best[k:], labels[k:]))
        found.append(1 - next(starts) / len(labels))
    return np.array(found)


def zlib_ratio(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Loss over compressed size, as a likelihood."""
    return -losses(target, pairs) / np.array([len(zlib.compress(answer.encode())) for _, answer in pairs])


def said(examples: Examples) -> list[tuple[str, str]]:
    """Questions with their own answers."""
    return [(e.question, e.answer) for e in examples]


def reworded(examples: Examples) -> list[tuple[str, str]]:
    """Questions with their reworded answers."""
    return [(e.question, e.paraphrased_answer) for e in examples]


def wrong_losses(target: Any, examples: Examples) -> np.ndarray:
    """(B, K) losses of the wrong answers, one set of batches a place."""
    many = len(examples[0].perturbed_answer)
    return np.stack([losses(target, [(e.question, e.perturbed_answer[k]) for e in examples]) for k in range(many)], 1)


def generations(target: Any, questions: Sequence[str], rooms: Sequence[int]) -> list[list[int]]:
    """Greedy answers; each row ends with the end token or where it has so many tokens, and waits for the others."""
    from transformers import GenerationConfig, StoppingCriteriaList

    end, found = target.template.end, list[list[int]]()
    for start in range(0, len(questions), BATCH):
        prompts = [target.template.prompt_ids(q) for q in questions[start : start + BATCH]]
        widest = max(map(len, prompts))
        ids = torch.full((len(prompts), widest), end)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, widest - len(prompt) :] = torch.tensor(prompt)
            mask[row, widest - len(prompt) :] = 1
        room = torch.tensor(rooms[start : start + BATCH])
        stop: Callable[..., Tensor] = lambda seen, _scores, room=room, widest=widest: seen.shape[1] - widest >= room  # noqa: E731
        out = target.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=GenerationConfig(max_new_tokens=200, eos_token_id=end, pad_token_id=end),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
        found += [row[widest : widest + int(most)].tolist() for row, most in zip(out, room, strict=True)]
    return found


def gradient_norm(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mean over the parameter tensors of the norm of the gradient of an answer's mean loss, one backward an item.

    Squares are summed in float64, which the peer does not do: in float32 a million of them are off by more than 1e-4.
    """
    found: list[float] = []
    for pair in pairs:
        target.model.zero_grad()
        inputs = padded(encoded(target, [pair]))
        logits = target.model(**inputs).logits.float()[:, :-1].contiguous()
        labels = inputs["labels"][:, 1:].contiguous()
        nn.CrossEntropyLoss(ignore_index=-100)(logits.transpose(-1, -2), labels).backward()
        norms = [p.grad.double().norm() for p in target.model.parameters() if p.grad is not None]
        found.append(float(torch.stack(norms).mean()))
    target.model.zero_grad()
    return np.array(found)
