"""docs/noisy.md: its recipe trains, its commands run to a certificate, and its names are those of the registries."""

import re
import shlex

import numpy as np
import pytest

from expunge.accounting.gaussian import gaussian_epsilon, gaussian_sigma
from expunge.cli.app import run
from expunge.core.registry import methods, recipes

BLOCK = re.compile(r"^```(?P<language>sh|yaml)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(checkout):
    return (checkout / "docs" / "noisy.md").read_text()


def test_every_block_runs_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    draw = np.random.default_rng(1)
    rows = (f"r{i},{a:.6f},{b:.6f},{int(a + b > 0)}" for i, (a, b) in enumerate(draw.normal(size=(40, 2))))
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    for block in BLOCK.finditer(page):
        if block["language"] == "yaml":
            (tmp_path / "noisy.yaml").write_text(block["text"])
            continue
        for line in block["text"].splitlines():
            assert run(shlex.split(line)[1:]) == 0, line
    # The first of ten requests; the second and the last are as the page says, too.
    assert "Certified (epsilon 0.273641, delta 0.0001, against oblivious)" in capsys.readouterr().out
    sigma = gaussian_sigma(1.0, 1e-4, sensitivity=10**0.5)
    stated = [gaussian_epsilon(1e-4, sigma=sigma, sensitivity=r**0.5) for r in (1, 2, 10)]
    assert [f"{epsilon:.2f}" for epsilon in stated] == ["0.27", "0.40", "1.00"]
    assert "ε is 0.27 after the first request, 0.40 after the second, and 1 after the tenth" in page


def test_each_row_of_the_table_is_a_recipe_and_a_method(page):
    names = re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)
    assert names == ["descent_to_delete", "one_shot_removal", "langevin"]
    assert all(name in methods.names() and name in recipes.names() for name in names)
