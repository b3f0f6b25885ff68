"""The benchmark of language models in parts counts costs as they are, and its plan stays within what one may wait."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import exact_lm
from benchmarks.exact_lm import AGAIN, BASE, RETRAINED, SHARDS, Asked, Bench, parts_of, plan
from benchmarks.exact_lm_page import Judged, chart, sentences, table

from expunge.core.canonical import read_json


@pytest.fixture(scope="module")
def bench(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    return Bench(Asked(out, str(shared / "data" / "tofu"), str(shared / "models" / "stories260K")))


def test_deleting_an_author_costs_its_shard_and_no_more(bench):
    shares = [bench.one_author(shards) for shards in SHARDS]
    assert shares[0] == pytest.approx(1)
    assert shares[-1] == 0  # an author a shard: nobody is left to train on
    assert shares == sorted(shares, reverse=True)
    # Of 12 authors, 12 / S stand in a shard: about (12 / S - 1) of the 11 that stay.
    assert [round(share, 1) for share in shares[1:4]] == [round((12 / s - 1) / 11, 1) for s in (2, 3, 6)]


def test_authors_are_dealt_to_shards_whole_and_evenly(bench):
    for shards in SHARDS:
        places = bench.recipe(shards).places
        held = [{e.subject for e in bench.learned if places[e.record_id] == (k, 0)} for k in range(shards)]
        assert [len(own) for own in held] == [12 // shards] * shards
        assert len(set().union(*held)) == 12


def test_the_plan_is_within_three_quarters_of_an_hour(bench):
    total = re.search(r"all .*?([\d.]+) CPU min", plan(bench))
    assert 0 < float(total[1]) <= 45


def test_what_is_finished_is_not_done_again(bench):
    assert bench.done("stage", lambda: {"value": 0.5})["value"] == 0.5
    again = Bench(bench.asked)
    assert again.done("stage", lambda: pytest.fail("done twice"))["value"] == 0.5
    again.identity = "another"
    assert again.done("stage", lambda: {"value": 0.25})["value"] == 0.25


def items(kept, gone=0.2):
    """Scores of two seeds on 12 kept records of 6 authors, 4 of the request and 6 of strangers."""
    at = np.linspace(-0.05, 0.05, 12)
    retain = {name: [list(kept + at), list(kept + at[::-1])] for name in ("probability", "rouge_l", "truth_score")}
    asked = dict.fromkeys(("probability", "rouge_l"), [[gone] * 4] * 2)
    forget = {**asked, "truth_ratio": [[0.5, 0.6, 0.7, gone]] * 2}
    return {"retain": retain, "forget": forget, "holdout": {"probability": [[0.1] * 6] * 2}}


def row(shards, way, when, kept, **more):
    return {"shards": shards, "way": way, "when": when, "items": items(kept), **more}


@pytest.fixture
def found():
    cost = {"tokens": 1234, "cpu": 2.5}
    rows = [
        row(1, RETRAINED, "before", 0.6),
        row(1, RETRAINED, "after", 0.5, cost={**cost, "tokens": 4936}, one=1.0),
        row(3, "merge sum", "after", 0.4, cost=cost, one=0.125),
        row(3, "route", "after", 0.45, cost=cost, one=0.125),
        row(1, "npo", "after", 0.3, cost=cost),
        row(0, BASE, "", 0.1),
        row(1, AGAIN, "", 0.5),
    ]
    groups = {
        "retain": {"author": [str(i // 2) for i in range(12)], "record": list(map(str, range(12)))},
        "forget": {"author": ["0", "0", "1", "1"], "record": list("0123")},
        "holdout": {"author": list("012345"), "record": list("012345")},
    }
    same = {"after": "sha256:1", "fresh": "sha256:1"}
    return {"rows": rows, "groups": groups, "checked": same, "retrained": 4936}


def test_every_number_has_an_interval_and_costs_are_shares_of_retraining(found):
    text = table(found)
    line = next(line for line in text.splitlines() if "route" in line)
    assert line.count("[") == 5
    assert line.split()[-4:] == ["1,234", "2.5", "0.250", "0.125"]
    assert "12 records of 6 authors" in text
    assert "is equal to" in text
    changed = {**found, "checked": {"after": "sha256:1", "fresh": "sha256:2"}}
    assert "NOT EQUAL" in table(changed)


def test_the_difference_is_paired_and_its_own_is_nothing(found):
    judged = Judged(found)
    own, route = judged.beside(judged.retrained), judged.beside(found["rows"][3])
    assert (own.value, own.low, own.high) == (0, 0, 0)
    # All scores lie 0.05 lower, whichever authors are drawn.
    assert (route.value, route.low, route.high) == pytest.approx((-0.05, -0.05, -0.05), abs=1e-3)
    assert (route.groups, route.seeds) == (12 // 2, 2)
    assert judged.kept(found["rows"][3]) == pytest.approx(0.875, abs=1e-3)


def test_the_answer_follows_from_the_numbers(found):
    said = sentences(found)
    assert any(line.startswith("* 3 shards, route: utility 0.45") and "25.0% of retraining" in line for line in said)
    assert [line.split(":")[1] for line in said if line.startswith("* **")] == [
        " it does**, if no utility may be lost"
    ] * 2
    rows = [{**each, "items": items(0.5)} if each["way"] == "route" else each for each in found["rows"]]
    assert sentences({**found, "rows": rows})[-1].startswith("* **route: no loss is shown**")


def test_the_chart_has_a_panel_for_each_way(found):
    drawn = ElementTree.fromstring(str(chart(found)))
    labels = [each.text for each in drawn.iter() if each.get("class") == "label"]
    assert labels == ["merge sum", "route"]


def test_a_run_does_again_only_what_is_not_on_file(shared, tmp_path, monkeypatch):
    folders = ["--data", str(shared / "data" / "tofu"), "--model", str(shared / "models" / "stories260K")]
    small = ["--authors", "2", "--forget", "1", "--shards", "1", "2", "--epochs", "1", "--sample", "1", "--check", "2"]
    monkeypatch.setattr(exact_lm, "WAYS", {"merge": ("merge mean",), "mixture": ()})
    whole = [*folders, *small, "--methods", "--out", str(tmp_path / "a")]
    assert exact_lm.main(whole) == 0
    first = read_json(tmp_path / "a" / "result.json")
    cards = sorted((tmp_path / "a").rglob("stages/*.json"))
    cards[len(cards) // 2].unlink()
    written = {path: path.stat().st_mtime_ns for path in cards if path.exists()}
    assert exact_lm.main(whole) == 0
    assert all(path.stat().st_mtime_ns == written[path] for path in written)
    again = read_json(tmp_path / "a" / "result.json")
    assert [r["items"] for r in again["found"]["rows"]] == [r["items"] for r in first["found"]["rows"]]
    assert again["found"]["checked"] == first["found"]["checked"]


def test_later_parts_need_only_earlier_ones(bench):
    earlier, later = parts_of(bench.asked)
    assert earlier == ["1", "2", "3", "6", "12"]
    assert later == [*bench.asked.methods, "yardsticks", "check"]
