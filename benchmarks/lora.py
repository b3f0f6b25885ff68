"""An adapter against all parameters, on the same request: time, bytes changed, and what was forgotten and kept.

The world is the toy recipe's, larger: a few seconds a run, so that the ratios can be looked at anywhere. Every method
runs with the same steps, batches and seed; only what is trained differs, and the learning rate, which adapters need
higher. The bytes of a result are those of the parameters that are no longer what they were.

    python -m benchmarks.lora --json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

from expunge.core.adapter import Adapter
from expunge.engine.score import score
from expunge.methods.gradient._gradient import Gradient
from expunge.methods.gradient.npo import npo
from expunge.testing.toy import toy_recipe, toy_selection, toy_store

TARGETS = ("q_proj", "v_proj", "up_proj", "down_proj")
SHAPE: dict[str, Any] = {"steps": 200, "hidden": 64, "layers": 4}


def ways(steps: int) -> dict[str, Gradient]:
    """Label -> method; the first is what the others are compared with."""
    whole = replace(npo, lr=2e-3, steps=steps, batch_size=6, retain_batch_size=11, weight_decay=0.0)
    adapter = Adapter(r=8, alpha=16, targets=TARGETS)
    return {
        "all parameters": whole,
        "last layer's mlp": replace(whole, trainable=(r"model\.layers\.3\.mlp\..*",)),
        "lora, r 8, merged": replace(whole, lr=1e-2, adapter=adapter),
        "lora, r 8, overlay": replace(whole, lr=1e-2, adapter=adapter, keep_overlay=True),
        "ia3, merged": replace(whole, lr=5e-2, adapter=Adapter("ia3")),
    }


def changed_bytes(outcome: Any) -> int:
    """Bytes of parameters that differ from the original's."""
    import torch

    after = getattr(outcome.target, "base", outcome.target).model.parameters()
    pairs = zip(outcome.original.model.parameters(), after, strict=True)
    return sum(b.numel() * b.element_size() for a, b in pairs if not torch.equal(a, b))


def loss(target: Any, examples: Any) -> float:
    """Mean negative log-probability of a token, nats."""
    from expunge.core.access import Access

    table = score(target.oracle(Access.LOGPROBS), examples, ["token_logp", "mask"])
    return float(-table["token_logp"].sum() / table["mask"].sum())


def rows(steps: int) -> list[dict[str, Any]]:
    """One row a way, with ratios to the first."""
    recipe = toy_recipe(steps=SHAPE["steps"], hidden=SHAPE["hidden"], layers=SHAPE["layers"])
    original, selection = recipe.train(toy_store(), seed=0), toy_selection()
    # Peft's import is no part of what is measured.
    replace(ways(1)["lora, r 8, merged"]).unlearn(original, selection, seed=0)
    found: list[dict[str, Any]] = []
    for label, method in ways(steps).items():
        started = time.process_time()
        outcome = method.unlearn(original, selection, seed=0)
        trained = outcome.notes["trained_parameters"]
        row = {
            "way": label,
            "seconds": outcome.cost.seconds,
            "cpu_seconds": time.process_time() - started,
            "tokens": outcome.cost.tokens,
            "trained_bytes": 4 * trained,
            "changed_bytes": changed_bytes(outcome),
            "forget_loss": loss(outcome.target, selection.forget),
            "retain_loss": loss(outcome.target, selection.retain),
        }
        first = found[0] if found else row
        row["cpu_ratio"] = row["cpu_seconds"] / first["cpu_seconds"]
        row["trained_ratio"] = row["trained_bytes"] / first["trained_bytes"]
        found.append(row)
    known = {"way": "the original", "forget_loss": loss(original, selection.forget)}
    known["retain_loss"] = loss(original, selection.retain)
    return [*found, known]


def line(row: dict[str, Any]) -> str:
    """One row as printed."""
    told = f"forget {row['forget_loss']:5.2f} retain {row['retain_loss']:5.2f}"
    if "seconds" in row:
        told += f", {row['cpu_seconds']:5.2f} CPU s ({row['cpu_ratio']:4.2f}), {row['tokens']} tokens"
        told += (
            f", trains {row['trained_bytes']:>7} bytes ({row['trained_ratio']:5.3f}), changes {row['changed_bytes']:>7}"
        )
    return f"{row['way']:<18} {told}"


def main() -> None:
    """Run every way and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = rows(given.steps)
    print(json.dumps(found, indent=1) if given.json else "\n".join(line(row) for row in found))


if __name__ == "__main__":
    main()
