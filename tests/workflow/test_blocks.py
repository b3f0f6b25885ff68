"""Every block of the README and of the pages runs, one after another, on a folder that the demo wrote."""

import re
import shlex

import pytest

from expunge.cli.app import run

pytestmark = pytest.mark.slow

PAGES = ("README.md", "docs/start.md", "docs/deletion.md", "docs/requests.md", "docs/sweep.md")
BLOCK = re.compile(r"^```(?P<language>python|sh)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MAY_FAIL = ("evaluate", "purge")
"""Commands whose exit code 1 is an answer."""


def call(line: str, targets: str) -> None:
    """One line of a shell block: a target of the Makefile, or a command of ours, run in this process."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", targets, re.MULTILINE), line
        return
    assert words[0] == "expunge", f"{line!r} would not be run"
    assert run(words[1:]) in ((0, 1) if words[1] in MAY_FAIL else (0,)), line


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(page, checkout, walked, monkeypatch):
    monkeypatch.chdir(walked.out.parent.parent)
    targets = (checkout / "Makefile").read_text()
    found = list(BLOCK.finditer((checkout / page).read_text()))
    assert found
    names = {"__name__": "page"}
    for block in found:
        if block["language"] == "python":
            exec(compile(block["text"], page, "exec"), names)
        else:
            for line in filter(None, block["text"].splitlines()):
                call(line, targets)
