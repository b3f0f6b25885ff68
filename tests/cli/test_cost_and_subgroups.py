"""What a run took, and each score by subgroup: from a user's records to report and JSON, and again without a model."""

import json
import shutil

import pytest

from expunge.core.canonical import read_json
from expunge.data.jsonl import dump_examples, read_examples
from expunge.ledger.verify import verify

FINDINGS = ("evidence.json", "report.html", "table.txt")
ROLES = ("forget", "retain", "holdout", "validation", "general")


def grouped(world, folder, bands):
    """The world's files with each record its own subject, in a band by its place; without bands, in no group at all."""
    files = {}
    for role in ROLES:
        rows = [json.loads(line) for line in (world.root / f"{role}.jsonl").read_text().splitlines()]
        for place, row in enumerate(rows):
            row.pop("relation", None)
            row["subject"] = f"{role} {place}"
            if bands:
                row["subgroup"] = bands[place % len(bands)]
        files[role] = folder / f"{role}.jsonl"
        files[role].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    """A result of records in two bands, with what evaluating it printed."""
    from expunge.cli.app import run

    folder = tmp_path_factory.mktemp("grouped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(folder / "home"))
        given = grouped(world, folder, ["old", "old", "young"])
        # Five people a band are what an interval needs: six of nine retained records are in one, three in the other.
        assert run(world.unlearn(folder / "mine", "--steps", "2", method="grad_ascent", **given)) == 0
    return folder


@pytest.fixture
def mine(evaluated, tmp_path, monkeypatch):
    shutil.copytree(evaluated, tmp_path / "copy")
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "copy" / "home"))
    return tmp_path / "copy" / "mine"


def test_json_and_report_show_them_and_they_come_out_again_byte_for_byte(call, world, mine):
    found = call(*world.evaluate(mine, "--json")).json
    cost = found["cost"]
    assert cost["steps"] == 2 and cost["tokens"] > 0 and cost["flops"] > 0 and cost["bytes_changed"] > 0
    assert cost["seconds"] > 0 and cost["peak_bytes"] > 0 and cost["peak_of"] == "process"
    assert cost["ratio_to_retraining"]["value"] is None and "made elsewhere" in cost["ratio_to_retraining"]["reason"]
    told = {(one["role"], one["score"]): one for one in found["subgroups"]}
    assert {one["by"] for one in found["subgroups"]} == {"subgroup"}
    assert {("forget", "probability"), ("forget", "min_k"), ("holdout", "min_k"), ("retain", "rouge_l")} <= set(told)
    kept = told["retain", "probability"]
    hidden = "1 of 2 groups has too few subjects and 1 more would give away the mean of a few"
    assert kept["groups"] == {} and kept["gap"]["reason"] == hidden, "nine people less six are three"
    assert {("forget", "ks"), ("forget", "min_k_auc")} <= set(told), "statistics as well"
    page = (mine / "report.html").read_text()
    assert 'id="subgroups"' in page and "By subgroup" in page and hidden in page
    assert "high-water mark" in page and "The ratio to retraining is not known" in page
    before = {name: (mine / name).read_bytes() for name in FINDINGS}
    shutil.rmtree(mine / "unlearned")
    for name in FINDINGS:
        (mine / name).unlink()
    assert call("evaluate", "--from", mine).code == 0
    assert {name: (mine / name).read_bytes() for name in FINDINGS} == before


def test_where_nothing_groups_the_records_nothing_is_shown_and_the_certificate_states_what_was_counted(
    call, world, tmp_path
):
    out = tmp_path / "out"
    assert call(*world.unlearn(out, "--steps", "2", method="grad_ascent", **grouped(world, tmp_path, []))).code == 0
    assert call(*world.evaluate(out, "--json")).json["subgroups"] == []
    assert "subgroups" not in (out / "report.html").read_text() + (out / "evidence.json").read_text()
    assert call("certify", out).code == 0
    notes = dict(verify(out / "certificates" / "model.certificate.json").certificate.notes)
    cost = read_json(out / "outcome.json")["cost"]
    assert notes["cost"].startswith(f"2 steps, {cost['tokens']} tokens forward and backward, {cost['flops']} floating")
    assert str(cost["seconds"]) not in notes["cost"] and "peak" not in notes["cost"]


def test_a_subgroup_outlives_the_file_and_changes_no_digest_where_there_is_none(world, tmp_path):
    plain = read_examples(world.root / "forget.jsonl")
    path = grouped(world, tmp_path, ["old"])["forget"]
    examples = read_examples(path)
    assert {e.subgroup for e in examples} == {"old"} and {e.subgroup for e in plain} == {""}
    (tmp_path / "again.jsonl").write_bytes(dump_examples(examples))
    assert read_examples(tmp_path / "again.jsonl").digest() == examples.digest()
    assert b"subgroup" not in dump_examples(plain)
