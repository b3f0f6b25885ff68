"""docs/private.md: its recipes and commands run, on little data and few steps, and its Python as it is."""

import json
import os
import re
import shlex
import sys

import numpy as np
import pytest

from expunge.cli.app import run
from expunge.data.corpora.fictitious_people import people, vocabulary
from expunge.targets.llama_spec import LlamaSpec


@pytest.fixture
def page(checkout):
    return (checkout / "docs" / "private.md").read_text()


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_recipes_and_commands_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for text in (*blocks(page, "yaml"), blocks(page, "python")[0]):
        name = text.partition("\n")[0].removeprefix("# ")
        # Without sampling the number is exact and at once there.
        few = re.sub(r"sigma: [\d.]+, rate: [\d.]+, steps: \d+", "sigma: 9.0, rate: 1.0, steps: 4", text)
        (tmp_path / name).write_text(few)
    LlamaSpec(tuple(vocabulary()), hidden=8, layers=1, heads=2, kv_heads=1, inner=8).build().save(
        tmp_path / "models/base"
    )
    rows = people(0, forget=2, retain=1, validation=0, holdout=0, general=0)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    X = np.random.default_rng(0).normal(size=(30, 3)).round(3)
    table = [f"r{i},{a},{b},{c},{int(a > 0)},s{i // 3}" for i, (a, b, c) in enumerate(X)]
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,c,y,who", *table]) + "\n")
    commands = [line for block in blocks(page, "sh") for line in block.splitlines()]
    assert len(commands) == 7
    for line in commands:
        assert run(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    said = capsys.readouterr().out
    assert "computed again by poisson_gaussian, for 1 record" in said
    sys.modules.pop("nets", None)


def test_the_python_runs(page, capsys):
    for block in blocks(page, "python")[1:]:
        exec(compile(block, "private.md", "exec"), {"__name__": "page"})
    one, ten, *told = capsys.readouterr().out.splitlines()
    assert float(one) < float(ten) and [line.split()[0] for line in told] == ["accuracy", "membership_auc"]
