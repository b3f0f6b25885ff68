"""The benchmark of language models in parts counts costs as they are, and its plan stays within what one may wait."""

import re

import pytest
from benchmarks.exact_lm import SHARDS, Asked, Bench, plan, table


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


def test_the_plan_is_within_forty_minutes(bench):
    total = re.search(r"all .*?([\d.]+) CPU min", plan(bench))
    assert 0 < float(total[1]) <= 40


def test_what_is_finished_is_not_done_again(bench):
    assert bench.done("stage", lambda: {"value": 0.5})["value"] == 0.5
    again = Bench(bench.asked)
    assert again.done("stage", lambda: pytest.fail("done twice"))["value"] == 0.5
    again.identity = "another"
    assert again.done("stage", lambda: {"value": 0.25})["value"] == 0.25


def test_a_table_says_when_the_bytes_differ():
    cells = dict.fromkeys(("utility", "kept p", "kept ROUGE-L", "kept truth", "gone p", "gone ROUGE-L", "never p"), 0.5)
    row = {"shards": 3, "way": "route", "after": {**cells, "gone KS D": 0.25}, "share": 0.5, "one": 0.125}
    row["cost"] = {"tokens": 1234, "cpu": 2.5}
    text = table({"rows": [row], "checked": {"after": "sha256:1", "fresh": "sha256:2"}})
    assert "1,234" in text
    assert "0.125" in text
    assert "NOT EQUAL" in text
