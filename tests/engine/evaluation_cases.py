"""Score tables and answers that must be the same whatever the number of processes; ``evaluation_cases.py FOLDER PORT``.

What takes seconds is imported once, then a process alone and two that were launched together are forked from it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from expunge.core.files import write_json
from expunge.core.launch import rank, started
from expunge.engine import generate as generator
from expunge.engine import score as scorer
from expunge.engine.together import together
from expunge.testing.toy import toy_corpus, toy_model

COLUMNS = ("token_logp", "token_mu", "token_hit", "mask", "token_logp_paraphrase", "token_logp_perturbed", "n_tokens")


def case(folder: Path) -> None:
    """Score and answer, in batches that are several for each process, and write what came of it."""
    scorer.BUDGET, generator.ROWS = 60, 4
    target, corpus, passes = toy_model(seed=2, architecture="gpt2"), toy_corpus(), 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    target.model.base_model.register_forward_pre_hook(count)
    with together():
        table = scorer.score(target, corpus, COLUMNS)
        scoring = passes
        said = generator.generate(target, [e.question for e in corpus], max_new_tokens=6)
        drawn = generator.generate(target, [e.question for e in corpus], max_new_tokens=6, temperature=0.7, seed=3)
    name = f"{started()}-{rank()}"
    np.savez(folder / f"{name}.npz", **{column: table[column] for column in COLUMNS})
    write_json(folder / f"{name}.json", {"said": said, "drawn": drawn, "scoring": scoring, "passes": passes})


def main(folder: Path, port: str) -> int:
    """Every process with what a launcher tells it; how many of them failed."""
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children: list[int] = []
    for own in ({}, *({**launched, "RANK": n, "LOCAL_RANK": n} for n in ("0", "1"))):
        if child := os.fork():
            children.append(child)
            continue
        os.environ.update(own)
        case(folder)
        os._exit(0)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
