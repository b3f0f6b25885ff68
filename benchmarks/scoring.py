"""How much running a question's prompt once saves, when all its answers are scored.

python -m benchmarks.scoring --data ../shared/data/tofu --model ../shared/models/stories260K --json

Rows of TOFU's forget10_perturbed: one question with its answer, a paraphrase and five wrong answers. Both ways score
the same tokens; they alternate, and medians are compared. ``same_ratio`` is the unshared way timed against itself: a
``seconds_ratio`` no further from 1 than that means nothing. ``tokens_ratio`` counts what the first layer is given,
padding included; ``tokens_ratio_unpadded`` is what it would be without any. Exits 1 below ``FLOOR``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from expunge.core.canonical import read_json
from expunge.core.example import Examples
from expunge.data.rows import to_example
from expunge.engine import score as scorer
from expunge.engine.threads import threads_for
from expunge.targets.causal_lm import CausalLM, load_causal_lm

COLUMNS = ("token_logp", "token_logp_paraphrase", "token_logp_perturbed")
FLOOR = {"tokens_ratio": 1.3, "seconds_ratio": 1.0}


def six_layers(tokenizer: Any) -> CausalLM:
    """A Llama of 6 layers and 256 dimensions with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalLM(LlamaForCausalLM(config).eval(), tokenizer)


def scored(target: CausalLM, examples: Examples, *, share: bool) -> tuple[dict[str, Any], int]:
    """The table, and the tokens that went through the first layer, padding included."""
    tokens = 0

    def counted(_module: Any, inputs: Any) -> None:
        nonlocal tokens
        tokens += inputs[0].shape[0] * inputs[0].shape[1]

    handle = target.facts.decoder_layers(target.model)[0].register_forward_pre_hook(counted)
    nobody = mock.patch.object(scorer, "by_prompt", lambda items: ([], list(range(len(items)))))
    try:
        if share:
            return scorer.score(target, examples, COLUMNS), tokens
        with nobody:
            return scorer.score(target, examples, COLUMNS), tokens
    finally:
        handle.remove()


def unpadded(target: CausalLM, examples: Examples) -> float:
    """Tokens of all sequences over tokens with each prompt once and no answer's last token."""
    encode = target.template.encode
    whole = once = 0
    for e in examples:
        texts = (e.answer, e.paraphrased_answer, *e.perturbed_answer)
        items = [encode(e.record_id, e.question, text) for text in texts]
        whole += sum(len(item.ids) for item in items)
        once += items[0].n_prompt + sum(item.n_scored - 1 for item in items)
    return whole / once


def measure(target: CausalLM, examples: Examples, repeats: int) -> dict[str, float]:
    """Both ways in turn, ``repeats`` times after a first one that is not timed."""
    ways = {"alone": False, "alone again": False, "shared": True}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tables: dict[str, Any] = {}
    tokens: dict[str, int] = {}
    for repeat in range(repeats + 1):
        for name, share in ways.items():
            started = time.perf_counter()
            tables[name], tokens[name] = scored(target, examples, share=share)
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    errors = [
        np.abs(tables["shared"][c] - tables["alone"][c]) / np.maximum(np.abs(tables["alone"][c]), 1) for c in COLUMNS
    ]
    return {
        "parameters": target.parameters,
        "tokens_alone": tokens["alone"],
        "tokens_shared": tokens["shared"],
        "tokens_ratio": tokens["alone"] / tokens["shared"],
        "tokens_ratio_unpadded": unpadded(target, examples),
        "seconds_alone": median["alone"],
        "seconds_shared": median["shared"],
        "seconds_ratio": median["alone"] / median["shared"],
        "same_ratio": median["alone"] / median["alone again"],
        "largest_error": float(max(error.max() for error in errors)),
    }


def main() -> int:
    """Measure, print, compare with the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tofu"))
    parser.add_argument("--model", type=Path, default=Path("../shared/models/stories260K"))
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = read_json(given.data / "forget10_perturbed.json")[: given.rows]
    examples = Examples(to_example(row, where=f"row {i + 1}", default_id=f"r{i}") for i, row in enumerate(rows))
    small = load_causal_lm(given.model)
    found: dict[str, Any] = {}
    targets = {given.model.resolve().name: small, "6 layers, d 256": six_layers(small.tokenizer)}
    for name, target in targets.items():
        with threads_for(target.model):
            found[name] = measure(target, examples, given.repeats)
    worst = {key: min(row[key] for row in found.values()) for key in FLOOR}
    result = {**worst, "floor": FLOOR, "rows": len(examples), "budget": scorer.BUDGET, "models": found}
    if given.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
    else:
        for name, row in found.items():
            print(f"{name}: {row['tokens_ratio']:.2f} times fewer tokens, {row['seconds_ratio']:.2f} times faster")
    return 0 if all(worst[key] >= least for key, least in FLOOR.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
