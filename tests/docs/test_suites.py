"""docs/suites.md: its suite is one file that works, and its table names every suite and what each judges by."""

import importlib
import re
import sys

from expunge.core import registry
from expunge.testing.published import write_published
from expunge.testing.suite_contract import check_suite
from expunge.testing.toy import toy_model
from expunge.workflow.recompute import recompute
from expunge.workflow.suite_run import run_suite

BLOCK = re.compile(r'^```python title="extra/(?P<name>\w+)\.py"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


def page(checkout):
    return (checkout / "docs" / "suites.md").read_text()


def test_the_suite_of_the_page_is_listed_keeps_the_contract_and_runs(checkout, tmp_path, monkeypatch):
    [block] = BLOCK.finditer(page(checkout))
    package = importlib.import_module("expunge.evaluation.suites")
    (tmp_path / "said.py").write_text(block["text"])
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    try:
        assert block["name"] in registry.suites.names()
        check_suite(registry.suites.get("said"))
        arms = {name: toy_model(seed=seed) for seed, name in enumerate(("reference", "original"), 1)}
        data = str(write_published("privacy", tmp_path / "data"))
        found = run_suite("said", toy_model(), data, out=tmp_path / "out", **arms, draws=50)
        assert [row["n"] for row in found["rows"]] == [40, 40, 40] and found["verdict"]["status"] != "earned"
        assert recompute(tmp_path / "out").same
    finally:
        sys.modules.pop("expunge.evaluation.suites.said", None)
        vars(package).pop("said", None)


def test_the_page_names_every_suite_and_where_its_data_is_from(checkout):
    text = page(checkout)
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", text, re.MULTILINE))
    assert set(registry.suites.names()) <= set(rows)
    for name in registry.suites.names():
        for source in re.findall(r"\b(?:locuslab|muse-bench|cais|jinzhuoran)/[\w-]+", registry.suites.get(name).get):
            assert source.split("/")[0] in rows[name], f"{name}: {source}"
