"""The report of one request that was evaluated, alone and beside another; and what is logged before it is answered."""

import json
import shutil

import pytest

from expunge.core.canonical import digest, read_json
from expunge.core.manifest import Manifest
from expunge.data.jsonl import read_examples
from expunge.workflow.single import Paths, read_selection

FAST = ("--steps", "3")
ROLES = ("forget", "retain", "holdout", "validation", "general")


@pytest.fixture(scope="module")
def both(world, tmp_path_factory):
    """A result judged by two references, and one of another method judged by a single one."""
    from expunge.cli.app import run

    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(folder / "home"))
        assert run(world.unlearn(folder / "mine", *FAST)) == 0
        assert run(world.evaluate(folder / "mine")) == 1
        assert run(world.unlearn(folder / "other", *FAST, method="grad_ascent")) == 0
        assert run(["evaluate", str(folder / "other"), "--reference", world.path("retrained")]) == 1
    return folder


@pytest.fixture
def folders(both, tmp_path):
    for name in ("home", "mine", "other"):
        shutil.copytree(both / name, tmp_path / name)
    return tmp_path / "mine", tmp_path / "other"


def rows(run):
    return {row["key"]: row for row in read_json(run / "evidence.json")["rows"]}


def test_an_evaluation_leaves_the_report_that_the_command_writes(folders, call):
    mine, _ = folders
    page = (mine / "report.html").read_bytes()
    assert call("report", mine).code == 0
    assert (mine / "report.html").read_bytes() == page
    assert Manifest.read(mine).changed(mine) == []
    assert "retrained (the reference)" in " ".join((mine / "table.txt").read_text().split())
    assert list(rows(mine)) == ["original", "retrained", "second_reference", "npo"]
    assert rows(mine)["npo"]["cells"]["ks"] == read_json(mine / "assessment.json")["cells"]["ks"]


def test_what_nobody_knows_is_a_dash_with_its_reason(folders):
    mine, other = folders
    for key, row in rows(mine).items():
        known = row["cells"]["seconds"]["value"]
        assert (known is not None) == (key == "npo")
        assert row["cells"]["ratio_to_retraining"]["value"] is None
        assert "made elsewhere" in row["cells"]["ratio_to_retraining"]["reason"]
    assert rows(mine)["npo"]["cells"]["seconds"]["value"] == pytest.approx(
        float(read_json(mine / "outcome.json")["cost"]["seconds"])
    )
    assert list(rows(other)) == ["original", "retrained", "grad_ascent"]
    assert "no second reference was given" in rows(other)["retrained"]["cells"]["ks"]["reason"]
    evidence = read_json(other / "evidence.json")
    assert evidence["run"]["bounds"] == {} and "threads" in evidence["run"] and evidence["run"]["threads"] is None
    assert "no second reference was given" in (other / "table.txt").read_text()


def test_the_page_names_the_one_certificate_and_it_verifies(folders, call):
    mine, _ = folders
    page = (mine / "report.html").read_text()
    assert "RUN/certificates/model.certificate.json" in page and page.count('id="verify"') == 1
    assert "retrained.certificate.json" not in page and "Each method has a signed certificate" not in page
    assert call("certify", mine).code == 0
    assert call("verify", mine / "certificates" / "model.certificate.json").code == 0
    (mine / "evidence.json").write_text("{}")
    said = call("verify", mine / "certificates" / "model.certificate.json")
    assert said.code == 1 and "changed: evidence.json" in said.out


def test_two_requests_are_compared_and_the_same_records_are_known_as_such(folders, call, tmp_path):
    mine, other = folders
    assert call("report", mine, other, "--out", tmp_path / "c.html").code == 0
    page = (tmp_path / "c.html").read_text()
    assert "mine: npo" in page and "other: grad ascent" in page
    assert "No differences are shown" not in page
    data = other / "data.jsonl"
    data.write_text("".join(sorted(data.read_text().splitlines(keepends=True))))
    assert call("report", mine, other, "--out", tmp_path / "c.html").code == 0
    assert (tmp_path / "c.html").read_text() == page
    data.write_text("".join(data.read_text().splitlines(keepends=True)[1:]))
    assert call("report", mine, other, "--out", tmp_path / "c.html").code == 0
    assert "different records" in (tmp_path / "c.html").read_text()


def test_the_new_files_tell_of_nobody_and_stay_when_the_rest_goes(folders, call):
    mine, _ = folders
    gone = [e for e in read_examples(mine / "data.jsonl") if e.role == "forget"]
    assert call("report", mine, "--show-text").code == 0
    assert any(e.answer in (mine / "report-with-text.html").read_text() for e in gone)
    assert [e.contains_personal_data for e in Manifest.read(mine).entries if e.path.endswith("-text.html")] == [True]
    assert call("certify", mine).code == 0
    said = call("verify", mine / "certificates" / "model.certificate.json", "--details").out
    assert all(name in said for name in ("report-with-text.html", "data.jsonl", "scores", "the original model"))
    names = ("conclusion.json", "evidence.json", "report.html", "summary.json", "table.txt")
    before = {name: (mine / name).read_bytes() for name in names}
    for body in before.values():
        assert not [e for e in gone if any(t.encode() in body for t in (e.record_id, e.answer, e.question))]
    assert call("purge", mine, "--yes").code == 0
    assert {name: (mine / name).read_bytes() for name in names} == before
    assert not (mine / "report-with-text.html").exists() and not (mine / "scores").exists()


@pytest.mark.parametrize("how", ["alone", "together", "--in-sequence"])
def test_a_request_is_committed_to_before_anything_is_trained(how, world, call, leaves, monkeypatch, tmp_path):
    class Reached(Exception):
        pass

    def stop(*_, **__):
        raise Reached

    forget = [json.loads(line) for line in (world.root / "forget.jsonl").read_text().splitlines()]
    parts = [forget] if how == "alone" else [forget[:3], forget[3:]]
    files = [tmp_path / f"forget-{k}.jsonl" for k in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in part))
    out = tmp_path / "out"
    command = world.unlearn(out, *FAST, forget=files[0])
    command += [word for file in files[1:] for word in ("--forget", str(file))]
    command += [how] if how.startswith("--") else []
    with monkeypatch.context() as patch:
        patch.setattr("expunge.engine.run.Run.__init__", stop)
        for _ in range(2):
            with pytest.raises(Reached):
                call(*command)
            first = leaves()
            assert [leaf.entry.kind for leaf in first] == ["KEY", *["PLAN"] * (2 if how == "together" else 1)]
        patch.setenv("EXPUNGE_HOME", str(tmp_path / "another"))
        said = call(*command)
        assert said.code == 2 and "are not at hand" in said.words
        assert not (tmp_path / "another").exists() and list(out.rglob(".work"))
    said = first[1].entry.digests
    folder = out if how == "alone" else out / "request-1"
    assert said["commitment"] == read_json(folder / "request.json")["commitment"]
    assert said.keys() == {"before", "code", "commitment", "config", "data", "method", "policy"}
    guessed = read_selection(Paths(world.path("original"), **{r: world.root / f"{r}.jsonl" for r in ROLES}))
    assert said["data"] not in (guessed.digest(), digest(["", guessed.digest()]))
    assert call(*command).code == 0
    assert leaves()[: len(first)] == first
    assert [leaf.entry.kind for leaf in leaves()].count("PLAN") == len(parts)
