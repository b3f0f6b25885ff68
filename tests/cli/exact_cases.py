"""Tables to train on, the commands that train on them, and an audit that needs no process of its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expunge.core.manifest import Manifest

SISA = """recipe: sisa
shards: 2
slices: 2
epochs: 3
trainer:
  name: estimator
  settings:
    path: sklearn.linear_model:SGDClassifier
    classes: [0, 1]
    settings: {loss: log_loss}
"""


@dataclass(frozen=True)
class Tables:
    """A folder with a table of numbers, one of classes, and a recipe."""

    root: Path

    def train(self, out: Path, *more: str, recipe: str = "ridge", data: str = "table.csv") -> list[str]:
        where = ["--data", str(self.root / data), "--label", "y", "--id", "name", "--out", str(out)]
        return ["train", "--recipe", str(self.root / recipe) if "." in recipe else recipe, *where, *more]

    def forget(self, model: Path, out: Path, *more: str, method: str = "statistics") -> list[str]:
        return ["unlearn", "--model", str(model), "--method", method, "--out", str(out), *more]


def make_tables(root: Path) -> Tables:
    """Sixty rows with a column of texts, and as many of two classes."""
    rng = np.random.default_rng(7)
    X = np.round(rng.normal(size=(60, 2)), 3)
    y = np.round(X @ [2.0, -1.0] + rng.normal(size=60) / 10, 3)
    rows = [f"r{i},{a},{b},{'red' if i % 3 else 'blue'},{t}" for i, ((a, b), t) in enumerate(zip(X, y, strict=True))]
    (root / "table.csv").write_text("\n".join(["name,a,b,colour,y", *rows]) + "\n")
    rows = [f"r{i},{a},{b},{int(t > 0)}" for i, ((a, b), t) in enumerate(zip(X, y, strict=True))]
    (root / "classes.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    (root / "sisa.yaml").write_text(SISA)
    return Tables(root)


def here(function, items, **_):
    """What a worker does, in this process; its folder and its environment are put back."""
    folder, environment = os.getcwd(), dict(os.environ)
    try:
        return [json.loads(json.dumps(function(json.loads(json.dumps(item))))) for item in items]
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def retold(run: Path, change) -> None:
    """Change how a run says that its model was trained, as somebody could who holds the folder."""
    path = run / "unlearned" / "training.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    Manifest.of(run).write(run)
