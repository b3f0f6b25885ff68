"""docs/forging.md: its figures are those that the command prints."""

import re

import pytest

from expunge.workflow.audit_forge import FORGOTTEN_POINT, WHOLE, WITHOUT, forge, forged_text

DIGEST = re.compile(r"\b[0-9a-f]{12}\b")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def test_the_block_is_what_the_command_prints(checkout):
    page = (checkout / "docs" / "forging.md").read_text()
    shown = re.search(r"^```\n(1\. Points.*?)\n```$", page, re.MULTILINE | re.DOTALL)[1]
    printed = forged_text(forge())
    # Of the second case the bytes depend on the linear algebra that numpy was built with.
    assert shown.splitlines()[1:4] == printed.splitlines()[1:4]
    ours, theirs = (DIGEST.sub("", text) for text in (shown, printed))
    assert NUMBER.sub("", ours) == NUMBER.sub("", theirs)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (ours, theirs)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02)


def test_the_two_sets_have_the_mean_and_the_mean_square_that_the_page_names(checkout):
    page = (checkout / "docs" / "forging.md").read_text()
    assert f"The points {', '.join(map(str, WHOLE))} have mean 3 and mean square 82/6" in page
    assert (sum(WHOLE), sum(x * x for x in WHOLE), len(WHOLE)) == (18, 82, 6)
    assert (sum(WITHOUT), sum(x * x for x in WITHOUT), len(WITHOUT)) == (9, 41, 3)
    assert FORGOTTEN_POINT not in WITHOUT
