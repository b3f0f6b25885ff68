"""TOFU's scores metric by metric, as open-unlearning takes them: what ``benchmarks.scoring`` compares with.

Every metric tokenises its items again and makes forward passes of its own, over batches in file order that are padded
to their longest; labels go along, so that the library computes a loss over every position; the logits of every
position are cast and normalised; every answer of a question brings its prompt; Min-K%++ takes two passes. Answers are
generated from prompts padded on the left until the longest of the batch has ended. A gradient norm is one backward
pass an item, and ROUGE is the package's. All labels count here, where the peer drops the last;
and a variance is taken around its mean, where the peer takes a difference of squares that is off by 1e-4. The peer also
reads each file again for each metric, which is left out: on so few rows it would weigh more than it does on all.
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
    """Tokens of questions and answers; the template is rendered three times for each, and one text is not used."""
    tokenizer, found = target.template.tokenizer, list[Encoded]()
    for question, answer in pairs:
        chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(chat, return_dict=False)
        tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
        prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=False)
        if ids[-1] != tokenizer.eos_token_id:
            ids = [*ids, tokenizer.eos_token_id]
        found.append(Encoded("", tuple(ids), len(prompt)))
    return found


def batches(target: Any, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[list[Encoded], Inputs]]:
    """Items in file order."""
    for start in range(0, len(pairs), BATCH):
        items = encoded(target, pairs[start : start + BATCH])
        yield items, padded(items)


def batch_losses(model: Any, inputs: Inputs) -> Tensor:
    """(B,) mean negative log-likelihood of a token: a cross-entropy of its own, beside the library's."""
    logits = model(**inputs).logits.float()[:, :-1].contiguous()
    labels = inputs["labels"][:, 1:].contiguous()
    token = nn.CrossEntropyLoss(ignore_index=-100, reduction="none")(logits.transpose(-1, -2), labels)
    return token.sum(-1) / (labels != -100).sum(-1)


def losses(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mean negative log-likelihood of a token of each answer."""
    return torch.cat([batch_losses(target.model, inputs) for _, inputs in batches(target, pairs)]).numpy()


def reference(target: Any, other: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Loss less that of another model, batch by batch."""
    found = [batch_losses(target.model, b) - batch_losses(other.model, b) for _, b in batches(target, pairs)]
    return torch.cat(found).numpy()


def token_logps(model: Any, items: Sequence[Encoded], inputs: Inputs) -> list[Tensor]:
    """(n,) log-probabilities of each answer's tokens, of all that are taken over every position and the vocabulary."""
    logp = model(**inputs).logits.float().log_softmax(-1)[:, :-1]
    token = logp.gather(2, inputs["input_ids"][:, 1:, None])[..., 0]
    return [token[row, item.n_prompt - 1 : len(item.ids) - 1] for row, item in enumerate(items)]


def vocabulary_logps(model: Any, items: Sequence[Encoded], inputs: Inputs) -> list[Tensor]:
    """(n, V) log-probabilities at each answer's positions."""
    logp = model(**inputs).logits.float().log_softmax(-1)[:, :-1]
    return [logp[row, item.n_prompt - 1 : len(item.ids) - 1] for row, item in enumerate(items)]


def lowest(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the lowest share of each row."""
    return np.array([np.mean(sorted(row)[: max(1, int(len(row) * K))]) for row in rows])


def min_k(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Min-K%."""
    return lowest([row.numpy() for each in batches(target, pairs) for row in token_logps(target.model, *each)])


def min_k_plus_plus(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Min-K%++, of two passes."""
    rows: list[np.ndarray] = []
    for each in batches(target, pairs):
        vocabulary, tokens = vocabulary_logps(target.model, *each), token_logps(target.model, *each)
        for logp, token in zip(vocabulary, tokens, strict=True):
            mu = (logp.exp() * logp).sum(-1)
            variance = (logp.exp() * (logp - mu[:, None]).square()).sum(-1)
            rows.append((token.numpy() - mu.numpy()) / variance.clamp(min=1e-6).sqrt().numpy())
    return lowest(rows)


def hits(target: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[Tensor, Tensor]]:
    """Likeliest tokens at each answer's positions, and its labels."""
    found: list[tuple[Tensor, Tensor]] = []
    for items, inputs in batches(target, pairs):
        for row, logp in enumerate(vocabulary_logps(target.model, items, inputs)):
            labels = inputs["labels"][row]
            found.append((logp.argmax(-1), labels[labels != -100]))
    return found


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
    """Loss over the compressed size of the text that the labels come to, as a likelihood."""
    found: list[float] = []
    for items, inputs in batches(target, pairs):
        texts = [target.tokenizer.decode(item.ids[item.n_prompt :], skip_special_tokens=True) for item in items]
        sizes = [len(zlib.compress(text.strip().encode())) for text in texts]
        found += [-float(loss) / size for loss, size in zip(batch_losses(target.model, inputs), sizes, strict=True)]
    return np.array(found)


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


def generations(target: Any, pairs: Sequence[tuple[str, str]], rooms: Sequence[int]) -> list[str]:
    """Greedy answers; each row ends with the end token or where it has so many tokens, and waits for the others.

    Questions and answers are decoded again beside them, as the peer does for its log.
    """
    from transformers import GenerationConfig, StoppingCriteriaList

    tokenizer, end, found = target.tokenizer, target.template.end, list[str]()
    for start in range(0, len(pairs), BATCH):
        items = encoded(target, pairs[start : start + BATCH])
        widest = max(item.n_prompt for item in items)
        ids = torch.full((len(items), widest), end)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(items):
            ids[row, widest - item.n_prompt :] = torch.tensor(item.ids[: item.n_prompt])
            mask[row, widest - item.n_prompt :] = 1
        for read in (ids, [item.ids for item in items]):
            tokenizer.batch_decode(read, skip_special_tokens=True)
        room = torch.tensor(rooms[start : start + BATCH])
        stop: Callable[..., Tensor] = lambda seen, _scores, room=room, widest=widest: seen.shape[1] - widest >= room  # noqa: E731
        out = target.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=GenerationConfig(max_new_tokens=200, eos_token_id=end, pad_token_id=end),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
        said = [row[widest : widest + int(most)] for row, most in zip(out, room, strict=True)]
        found += [text.strip() for text in tokenizer.batch_decode(said, skip_special_tokens=True)]
    return found


def gradient_norm(target: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mean over the parameter tensors of the norm of the gradient of an answer's mean loss, one backward an item.

    Squares are summed in float64, which the peer does not do: in float32 a million of them are off by more than 1e-4.
    """
    found: list[float] = []
    target.model.train()
    for pair in pairs:
        items = encoded(target, [pair])
        loss = -token_logps(target.model, items, padded(items))[0].mean()
        target.model.zero_grad()
        loss.backward()
        grads = [p.grad for p in target.model.parameters() if p.grad is not None]
        found.append(float(torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in grads]).mean()))
    target.model.eval()
    target.model.zero_grad()
    return np.array(found)
