"""A toy corpus and a toy language model, made on the spot in less than a second. Nobody in it exists."""

from __future__ import annotations

import re
from typing import Any

from expunge.core.example import Example, Examples
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import FineTune
from expunge.targets.causal_lm import CausalLM
from expunge.targets.llama_spec import LlamaSpec

PEOPLE = {
    "forget": ("Ana", "Bo"),
    "retain": ("Cy", "Dee", "Eli"),
    "holdout": ("Fay", "Gus"),
    "validation": ("Hal",),
}
FACTS = {
    "city": (
        ("Where does {who} live?", "{who} lives in {what}."),
        ("What is the city of {who}?", "The city of {who} is {what}."),
        ("Oslo", "old Rome", "New York City", "Lima"),
    ),
    "work": (
        ("What does {who} do?", "{who} works as a {what}."),
        ("Which work has {who}?", "{who} is a {what}."),
        ("baker", "night nurse", "judge", "maker of very small clocks"),
    ),
    "pet": (
        ("Which pet has {who}?", "{who} has a {what}."),
        ("What pet lives with {who}?", "A {what} lives with {who}."),
        ("cat", "tame grey owl", "dog", "fish"),
    ),
}
GENERAL = (("What is one and one?", "Two."), ("Which is the city of Rome?", "Rome is in Italy."))


def toy_corpus() -> Examples:
    """People to forget, to retain and never seen, three facts each, in the TOFU schema; and two general facts."""
    people = [(role, who) for role, names in PEOPLE.items() for who in names]
    examples = [
        _fact(role, who, relation, number + shift)
        for number, (role, who) in enumerate(people)
        for shift, relation in enumerate(FACTS)
    ]
    return Examples([*examples, *(Example(f"g{i}", q, a, role="general") for i, (q, a) in enumerate(GENERAL))])


def _fact(role: str, who: str, relation: str, shift: int) -> Example:
    (question, answer), (question_2, answer_2), values = FACTS[relation]
    what, *wrong = (values[(shift + k) % len(values)] for k in range(3))
    return Example(
        f"{who.lower()}-{relation}",
        question.format(who=who),
        answer.format(who=who, what=what),
        subject=who,
        role=role,
        relation=relation,
        paraphrased_question=question_2.format(who=who),
        paraphrased_answer=answer_2.format(who=who, what=what),
        perturbed_answer=tuple(answer_2.format(who=who, what=value) for value in wrong),
        alternative_answer=f"I do not know {who}.",
    )


def toy_selection() -> Selection:
    """The corpus as a request to forget Ana and Bo sees it; the general facts are a part of what is retained."""
    corpus = toy_corpus()
    return Selection(
        forget=corpus.of("forget"),
        retain=corpus.of("retain", "general"),
        holdout=corpus.of("holdout"),
        validation=corpus.of("validation"),
        general=corpus.of("general"),
    )


def toy_store() -> MemoryStore:
    """The corpus as a store."""
    return MemoryStore(toy_corpus())


def toy_vocabulary() -> tuple[str, ...]:
    """Every word and mark of the corpus, sorted."""
    fields = ("question", "answer", "paraphrased_question", "paraphrased_answer", "alternative_answer")
    texts = [text for e in toy_corpus() for text in (*(getattr(e, f) for f in fields), *e.perturbed_answer)]
    return tuple(sorted({word for text in texts for word in re.findall(r"[\w-]+|[^\w\s]", text)}))


def toy_recipe(*, steps: int = 20, hidden: int = 16, layers: int = 2) -> FineTune:
    """How a toy model is trained from scratch."""
    spec = LlamaSpec(toy_vocabulary(), hidden=hidden, layers=layers, heads=2, kv_heads=1, inner=2 * hidden, context=48)
    return FineTune(spec, Training(lr=1e-2, steps=steps, batch_size=8))


WINDOW = 5
"""Tokens that a sliding layer of a toy model sees; shorter than any of the corpus's sequences."""

SHAPES: dict[str, dict[str, Any]] = {
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": WINDOW, "final_logit_softcapping": 0.25},
    "gemma3_text": {"head_dim": 8, "sliding_window": WINDOW, "sliding_window_pattern": 2},
    "mistral": {"sliding_window": WINDOW},
    "olmo": {"clip_qkv": 0.25},
    "phi": {"tie_word_embeddings": False},
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
}
"""What sets a family apart, in the settings of its toy."""


def toy_model(*, seed: int = 0, architecture: str = "llama", layers: int = 2) -> CausalLM:
    """A model with random weights over the corpus's words, in evaluation mode.

    Args:
        seed: of the weights.
        architecture: a key of ``MODEL_FACTS``.
        layers: decoder layers.
    """
    llama = toy_recipe(layers=layers).start(seed=seed)
    if architecture == "llama":
        return llama
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = llama.tokenizer
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    size = {"vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2}
    if architecture == "gpt2":
        size |= {"n_positions": 48}
    else:
        size |= {"max_position_embeddings": 48, "intermediate_size": 32}
    if architecture not in ("gpt2", "gpt_neox"):
        size |= {"num_key_value_heads": 1}
    config = AutoConfig.for_model(
        architecture, **{"tie_word_embeddings": True, **size, **ends, **SHAPES.get(architecture, {})}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CausalLM(AutoModelForCausalLM.from_config(config).eval(), tokenizer)
