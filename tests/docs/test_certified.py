"""docs/certified.md: the blocks of the section on Newton removal run, and its example removes without a retraining."""

import re
from typing import Any


def test_the_example_of_newton_removal_runs(checkout, capsys):
    page = (checkout / "docs" / "certified.md").read_text()
    section = page.partition("## Newton removal")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert blocks
    scope: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "certified.md", "exec"), scope)
    assert "Answered(removed=2" in capsys.readouterr().out
    assert scope["after"].requests_[0].retrained == "" and 0 < scope["after"].requests_[0].spent < 0.1
