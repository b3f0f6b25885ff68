"""What privacy costs: DP-LoRA against plain fine-tuning of the same model on the same rows, time and memory.

Every way sees every row in every step, so that each does the same steps on the same tokens; the private ones at a rate
of 1. Ways take turns; numbers are medians, ratios of medians within the run. Memory is the most that the process held
above what it held before the run, from the kernel's high-water mark, which is set back before each (Linux).

    python -m benchmarks.private --model DIR --json
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.core.adapter import Adapter
from expunge.core.example import Example, Examples
from expunge.core.training import Training
from expunge.data.memory import MemoryStore

ADAPTER = Adapter(r=8, alpha=16.0, targets=("q_proj", "v_proj", "up_proj", "down_proj"))
PLAIN = "plain, lora"
CALM = "One day {who} went to the park and saw a big red ball. "
STORIES = 5
"""The longest record has this many sentences more than the shortest."""


def records(count: int) -> Examples:
    """Stories of several lengths, a record each."""
    names = ("Lily", "Tom", "Anna", "Ben", "Mia")
    return Examples(
        Example(f"r{i}", f"Who is {names[i % 5]}?", CALM.format(who=names[i % 5]) * (2 + i % STORIES))
        for i in range(count)
    )


def ways(model: str, steps: int, rows: int) -> dict[str, Callable[[], Any]]:
    """Label -> a run."""
    from expunge.core.access import Access
    from expunge.engine.finetune import finetune
    from expunge.engine.recipes.private import LoraTuning, PrivateTraining
    from expunge.targets.causal_lm import load_causal_lm
    from expunge.targets.private.account import Mechanism

    examples, target = records(rows), load_causal_lm(model)
    training = Training(lr=1e-3, steps=steps, batch_size=rows, clip=0.0)

    def plain(adapter: Adapter | None) -> Callable[[], Any]:
        return lambda: finetune(target.oracle(Access.FINETUNE), examples, training, seed=1, adapter=adapter)

    def private(unit: Any) -> Callable[[], Any]:
        mechanism = Mechanism(sigma=1.0, rate=1.0, steps=steps, clip=1.0, unit=unit)
        recipe = PrivateTraining(LoraTuning(model, 1e-3, ADAPTER), mechanism, 1e-5, float(rows), at_once=rows)
        return lambda: recipe.train(MemoryStore(examples), seed=1)

    return {
        PLAIN: plain(ADAPTER),
        "plain, all weights": plain(None),
        "private, lora, ghost clipping": private("record"),
        "private, lora, gradients of rows": private("subject"),
    }


def _held(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def measured(run: Callable[[], Any]) -> tuple[float, int]:
    """Seconds of a run, and bytes that the process held at most above what it held before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, since = _held("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - since, _held("VmHWM") - before


def table(model: str, *, steps: int, rows: int, repeats: int) -> list[dict[str, Any]]:
    """One row a way, with ratios to the first; a run of each before the first that counts."""
    made = ways(model, steps, rows)
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in made}
    for turn in range(repeats + 1):
        for name, run in made.items():
            seconds, held = measured(run)
            found[name] += [(seconds, held)] if turn else []
    middle = {n: [statistics.median(part) for part in zip(*runs, strict=True)] for n, runs in found.items()}
    return [
        {
            "way": name,
            "seconds": seconds,
            "bytes": int(held),
            "time_ratio": seconds / middle[PLAIN][0],
            "memory_ratio": held / middle[PLAIN][1],
            "spread": max(s for s, _ in found[name]) / min(s for s, _ in found[name]),
        }
        for name, (seconds, held) in middle.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a causal language model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = table(given.model, steps=given.steps, rows=given.rows, repeats=given.repeats)
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    print("| way | seconds | time, ratio | MiB above the start | memory, ratio | slowest / fastest |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        numbers = f"{row['seconds']:.2f} | {row['time_ratio']:.2f} | {row['bytes'] / 2**20:.0f}"
        print(f"| {row['way']} | {numbers} | {row['memory_ratio']:.2f} | {row['spread']:.2f} |")


if __name__ == "__main__":
    main()
