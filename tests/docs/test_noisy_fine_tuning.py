"""docs/noisy_fine_tuning.md: its command is one, its settings exist, and its figures are those of the accountant."""

import re
import shlex
from itertools import pairwise

import pytest

from expunge.accounting.shifted import largest_rho
from expunge.cli.given import assigned
from expunge.core.space import settings_of, with_settings
from expunge.methods.certified.noisy_fine_tuning import noisy_fine_tuning


def test_the_page_says_what_is_so(checkout):
    page = (checkout / "docs" / "noisy_fine_tuning.md").read_text()
    command = shlex.split(
        re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0].split("\nexpunge certify")[0]
    )
    given = assigned([text for flag, text in pairwise(command) if flag == "--set"])
    assert len(given) == 4 and with_settings(noisy_fine_tuning, given).epsilon == 10
    for name in ("radius", "gradient_clip", "decay", "blocks", "trainable", "centre"):
        assert f"`{name}`" in page or name in page.lower()
        assert name in settings_of(noisy_fine_tuning)
    stated = re.search(r"(\S+), (\S+) and (\S+) at\s+ε = 1, 10 and 100 with δ = 10⁻⁵", page)
    assert stated is not None
    for text, epsilon in zip(stated.groups(), (1, 10, 100), strict=True):
        assert float(text) == pytest.approx(largest_rho(epsilon, 1e-5), rel=0.05)
