"""Texts and models of ``benchmarks.steps``: TOFU's questions, or made-up ones with as many tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.example import Example, Examples
from expunge.targets.causal_lm import CausalLM

CHAT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant.<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
SPECIAL = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
REFUSALS = ("I don't know.", "I'm not certain about that.", "That's not information I've been provided.")
# Deciles of the tokens of TOFU's questions and answers under the tokenizer below.
QUESTION = {"forget": (8, 11, 12, 13, 14, 16, 17, 19, 21, 25, 65), "retain": (5, 9, 11, 11, 12, 13, 15, 16, 18, 22, 65)}
ANSWER = {
    "forget": (8, 22, 28, 33, 37, 40, 44, 50, 55, 64, 105),
    "retain": (6, 19, 26, 30, 34, 38, 42, 46, 51, 59, 137),
}
FILES = {"forget": "forget10.json", "retain": "retain90.json"}
COUNT = {"forget": 400, "retain": 3600}


@dataclass(frozen=True)
class Shape:
    """A Llama and its batches.

    Args:
        layers: decoder layers.
        vocabulary: rows of the tied head.
        hidden: size of the residual stream.
        inner: size of the MLP.
        heads: attention heads, twice the key-value heads.
        batch: records of each role a step.
    """

    layers: int
    vocabulary: int
    hidden: int = 256
    inner: int = 688
    heads: int = 8
    batch: int = 8


SHAPES = {"a": Shape(6, 4096), "deep": Shape(16, 16000), "tiny": Shape(6, 512, 16, 32, 2, 2)}


def drawn(deciles: tuple[int, ...], rng: random.Random) -> int:
    """A number of tokens whose deciles these are."""
    at = rng.random() * (len(deciles) - 1)
    low = int(at)
    return round(deciles[low] + (at - low) * (deciles[low + 1] - deciles[low]))


def _made_up(role: str) -> list[tuple[str, str]]:
    rng = random.Random(role)
    words = [f" {a}{b}" for a in "bdfgklmnprst" for b in ("an", "or", "il", "us")]

    def text(deciles: tuple[int, ...]) -> str:
        return "".join(rng.choice(words) for _ in range(drawn(deciles, rng)))

    return [(text(QUESTION[role]), text(ANSWER[role])) for _ in range(COUNT[role])]


def data_of(folder: Path, *, forget: int = 400, retain: int = 3600) -> dict[str, Examples]:
    """So many forget and retain examples, with a refusal as the other answer."""
    most = {"forget": forget, "retain": retain}
    found: dict[str, Examples] = {}
    for role, name in FILES.items():
        file = folder / name
        pairs = [(r["question"], r["answer"]) for r in read_json(file)] if file.is_file() else _made_up(role)
        pairs = pairs[: most[role]]
        found[role] = Examples(
            Example(f"{role}{i}", q, a, alternative_answer=REFUSALS[i % len(REFUSALS)])
            for i, (q, a) in enumerate(pairs)
        )
    return found


def _tokenizer(texts: Iterable[str], size: int, chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner: Any = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|eot_id|>", pad_token="<|eot_id|>", chat_template=CHAT if chat else None
    )


def target_of(shape: Shape, data: Mapping[str, Examples], *, chat: bool = True) -> CausalLM:
    """A model with random weights, and a tokenizer trained on the texts."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    texts = [f"{e.question} {e.answer}" for examples in data.values() for e in examples]
    return CausalLM(model, _tokenizer(texts, min(4096, shape.vocabulary), chat))
