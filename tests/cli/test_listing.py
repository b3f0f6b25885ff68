"""expunge list: names, what they are, and how a metric is read, without loading any of it."""

import os
import subprocess
import sys

import pytest

from expunge.core import registry
from expunge.core.registry import metrics


def test_every_metric_says_its_question_and_what_a_retrained_model_gets(call):
    rows = call("list", "metrics", "--json").json
    assert set(rows) == set(metrics.names())
    for name, metric in metrics.items():
        assert rows[name]["question"] == metric.question and rows[name]["retrained"] == metric.retrained
        assert rows[name]["better"] == metric.better and "Source" in rows[name]["what"]
    shown = call("list", "metrics").out
    assert all(f"{m.question} A retrained model: {m.retrained}." in shown for _, m in metrics.items())


@pytest.mark.parametrize("what", ["methods", "recipes", "learners", "accountants"])
def test_other_registries_list_a_line_each(call, what):
    rows = call("list", what, "--json").json
    assert list(rows) == getattr(registry, what).names()
    assert all(isinstance(text, str) and text for text in rows.values())
    assert len(call("list", what).out.splitlines()) == len(rows)


def test_listing_metrics_imports_none_of_them():
    code = (
        "import sys\nfrom expunge.cli import main\nsys.argv = ['expunge', 'list', 'metrics']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in sys.modules if m.startswith('expunge.metrics.') or m == 'torch'], file=sys.stderr)"
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=place, check=True)
    assert done.stderr.splitlines()[-1] == "[]" and "rouge_l" in done.stdout
