"""Recipes of private trainings, a table of people with three rows each, and a module that can be told to die."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter

from expunge.data.jsonl import dump_examples
from expunge.targets.llama_spec import LlamaSpec
from expunge.testing.toy import toy_corpus, toy_recipe

MODULE = "private_nets_of_the_tests"
STEPS = 6
REHEARSED = 2
"""Passes before the first step: once for the log, once before training."""
SOURCE = '''
import os
import signal
from pathlib import Path

import torch


class Net(torch.nn.Module):
    """Its passes are counted in a file; one kills the process, once."""

    def __init__(self, d: int):
        super().__init__()
        self.layer = torch.nn.Linear(d, 2)

    def forward(self, x):
        if self.training and torch.is_grad_enabled() and "PASSES" in os.environ:
            with Path(os.environ["PASSES"]).open("ab") as stream:
                stream.write(b".")
            if Path(os.environ["PASSES"]).stat().st_size == int(os.environ["DIES_AT"]):
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)


def mixing(d: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.BatchNorm1d(d), torch.nn.Linear(d, 2))
'''


def mechanism(**settings: Any) -> dict[str, Any]:
    """Every row in every step: the exact number needs no extra, and is there at once."""
    return {"sigma": 24.0, "rate": 1.0, "steps": STEPS, "clip": 0.5, **settings}


def write_table(folder: Path) -> list[str]:
    """The module and the table; the arguments that name it."""
    (folder / f"{MODULE}.py").write_text(SOURCE)
    X = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    rows = [f"r{i},{a},{b},{c},{int(a > 0)},s{i // 3}" for i, (a, b, c) in enumerate(X)]
    (folder / "table.csv").write_text("\n".join(["name,a,b,c,y,who", *rows]) + "\n")
    return ["--data", str(folder / "table.csv"), "--label", "y", "--id", "name", "--subject", "who"]


def write_recipe(path: Path, *, factory: str = "Net", limit: float | None = None, **of_mechanism: Any) -> list[str]:
    """A recipe of a classifier; the arguments that name it."""
    learner = {"factory": f"{MODULE}:{factory}", "classes": [0, 1], "settings": {"d": 3}, "lr": 0.5}
    body = {"recipe": "private", "learner": learner, "mechanism": mechanism(**of_mechanism), "delta": 1e-5}
    path.write_text(yaml.safe_dump({**body, "lot": 60.0, "limit": limit}))
    return ["--recipe", str(path)]


def write_language(folder: Path, base: Any = None, **of_mechanism: Any) -> list[str]:
    """A recipe of DP-LoRA and its records; the arguments that name both."""
    base = base or TypeAdapter(LlamaSpec).dump_python(toy_recipe(hidden=8, layers=1).base, mode="json")
    adapter = {"r": 2, "alpha": 4.0, "targets": ["q_proj"], "settings": {"lora_dropout": 0.25}}
    learner = {"base": base, "lr": 0.01, "adapter": adapter}
    body = {"recipe": "private", "learner": learner, "mechanism": mechanism(**of_mechanism), "delta": 1e-5}
    (folder / "lm.yaml").write_text(yaml.safe_dump({**body, "lot": 8.0}))
    (folder / "records.jsonl").write_bytes(dump_examples(toy_corpus()))
    return ["--recipe", str(folder / "lm.yaml"), "--data", str(folder / "records.jsonl")]
