"""docs/composition.md: its commands print what it shows, its picture is theirs, its block runs."""

import json
import re
import shlex
from typing import Any

import pytest

from expunge.cli.app import run

pytest.importorskip("dp_accounting")


def test_its_commands_print_what_it_shows(checkout, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odds.json").write_text(json.dumps([0.002] * 2000 + [0.05] * 60))
    page = (checkout / "docs" / "composition.md").read_text()
    blocks = re.findall(r"^```console\n\$ expunge (.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for command, shown in blocks:
        assert run(shlex.split(command)) == 0
        assert capsys.readouterr().out == shown
    assert (tmp_path / "growth.svg").read_bytes() == (checkout / "docs" / "growth.svg").read_bytes()


def test_its_other_commands_can_be_run_and_its_block_prints_the_plan(checkout, capsys):
    page = (checkout / "docs" / "composition.md").read_text()
    inline = re.findall(r"`expunge (accounting [^`]*)`", page)
    assert len(inline) == 2 and all(run(shlex.split(command)) == 0 for command in inline)
    capsys.readouterr()
    [block] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "composition.md", "exec"), scope)
    lasts, most, odds = capsys.readouterr().out.split()
    assert f"lasts for {lasts} in all" in page and f"no more than {most} in all" in page
    assert f"asked for: {odds}" in page
