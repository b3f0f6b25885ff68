"""docs/adaptive.md: its recipe is one, its block runs, and its numbers are those of the benchmark."""

import re
from typing import Any

import pytest
import yaml
from benchmarks.adaptive import measured, prices

from expunge.testing.adaptive_attack import Setting
from expunge.workflow.recipe_file import recipe_of


def page(checkout) -> str:
    return (checkout / "docs" / "adaptive.md").read_text()


def test_the_recipe_and_the_block_run(checkout, capsys):
    [recipe] = re.findall(r"^```yaml\n(.*?)^```$", page(checkout), re.MULTILINE | re.DOTALL)
    assert recipe_of(yaml.safe_load(recipe)).votes(10**5).loss() == (pytest.approx(3.0, abs=0.01), 1e-6)
    [block] = re.findall(r"^```python\n(.*?)^```$", page(checkout), re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "adaptive.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "and 2 answers left" in said and "the budget of answers is spent" in said
    assert "Certified(epsilon=10.0, delta=0.0, adversary='adaptive')" in said


def test_the_table_of_games_is_what_the_benchmark_prints(checkout):
    found = {row["game"]: row for row in measured(Setting(), seed=0, plays=20_000)}
    rows = [line.split("|")[1:-1] for line in page(checkout).splitlines() if re.match(r"\| (fixed|all that)", line)]
    assert len(rows) == 5
    for name, (*_, stated, right, wrong, beaten) in zip(
        ("fixed", "seen", "seen_far", "counted", "voted"), rows, strict=True
    ):
        row = found[name]
        assert stated.strip() == f"({row['epsilon']:g}, {row['delta']:g})"
        assert abs(float(right) - row["hits"]) < 6e-4 and abs(float(wrong) - row["alarms"]) < 6e-4
        assert ("yes" in beaten) == row["beaten"]
    assert not found["tight"]["beaten"] and found["tight_halved"]["beaten"]


def test_the_prices_are_those_of_the_accountant(checkout):
    told = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page(checkout), re.MULTILINE)
    assert len(told) == 7
    known = {(row["shards"], row["answers"]): row for row in prices()}
    for shards, answers, one, apart in told:
        row = known[int(shards.replace(",", "")), int(answers)]
        for text, value in ((one, row["one"]), (apart, row["apart"])):
            assert float(text) == float(f"{value:.2g}") or float(text) == round(value)
