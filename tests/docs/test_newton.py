"""docs/certified.md: the commands of the section on Newton removal run, from the training to the verification."""

import re
import shlex

import numpy as np

from expunge.cli.app import run

BLOCK = re.compile(r"^```(?P<language>yaml|sh)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_commands_of_newton_removal_run(checkout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    draw = np.random.default_rng(1)
    rows = (f"r{i},{a:.6f},{b:.6f},{int(a + b > 0)}" for i, (a, b) in enumerate(draw.normal(size=(2000, 2))))
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    page = (checkout / "docs" / "certified.md").read_text()
    section = page.partition("## Newton removal")[2].partition("\n## ")[0]
    for block in BLOCK.finditer(section):
        if block["language"] == "yaml":
            (tmp_path / "newton.yaml").write_text(block["text"])
            continue
        for line in block["text"].splitlines():
            assert run(shlex.split(line)[1:]) == 0, line
    said = r"epsilon ([0-9.e-]+) at delta 1e-05 computed again by objective_perturbation, for 2 records"
    found = re.search(said, capsys.readouterr().out)
    assert found and 0.1 < float(found[1]) < 1
