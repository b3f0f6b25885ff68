"""docs/exact.md: its blocks run in order, and its table of costs is what the formula gives."""

import re
import shlex
from typing import Any

import numpy as np
import pytest

from expunge.cli.app import run
from expunge.core.registry import recipes
from expunge.engine.replay_cost import expected_share

BLOCK = re.compile(r"^```(?P<language>python|sh|yaml)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (?P<parts>\d+) \| (?P<all>[\d., ]+) \| (?P<last>[\d., ]+) \|$", re.MULTILINE)


@pytest.fixture
def page(checkout):
    return (checkout / "docs" / "exact.md").read_text()


def test_every_block_runs_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    draw = np.random.default_rng(1)
    rows = (f"r{i},{a:.6f},{b:.6f},{int(a + b > 0)}" for i, (a, b) in enumerate(draw.normal(size=(40, 2))))
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    scope: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.finditer(page):
        if block["language"] == "yaml":
            (tmp_path / "shards.yaml").write_text(block["text"])
        elif block["language"] == "python":
            exec(compile(block["text"], "exact.md", "exec"), scope)
        else:
            for line in block["text"].splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
    said = capsys.readouterr().out
    assert "False" not in said and "equal: a run from scratch" in said and "Exact (bit for bit)" in said
    assert scope["outcome"].replay.before == scope["shared"].digest()


def test_the_table_of_costs_is_the_formula(page):
    rows = list(ROW.finditer(page))
    assert [int(row["parts"]) for row in rows] == [1, 2, 4, 8]
    for row in rows:
        told = [[float(value) for value in row[name].split(",")] for name in ("all", "last")]
        expected = [
            [expected_share(1000, m, parts=int(row["parts"]), revocable=among) for m in (1, 2, 10)]
            for among in (0, 100)
        ]
        np.testing.assert_allclose(told[0], expected[0], atol=0.00501)
        np.testing.assert_allclose(told[1], expected[1], atol=0.000501)


def test_every_recipe_has_its_section(page):
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert set(headings) >= {"Statistics", "SISA", "Replay", "Language models in parts", "Coresets", "Audit"}
    sections = {"learner": "Statistics", "sisa": "SISA", "replayable": "Replay"}
    parts = dict.fromkeys(("sharded_adapters", "soup"), "Language models in parts")
    # Those that certify an epsilon have pages of their own.
    certified = {"adaptive_sisa", "convex", "descent_to_delete", "langevin", "one_shot_removal", "private"}
    assert set(recipes.names()) - certified <= {*sections, *parts}, "a new recipe needs a section"
