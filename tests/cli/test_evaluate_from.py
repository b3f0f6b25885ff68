"""Computing again what a finished run found: usage, exit codes, streams."""

import json

import pytest

from expunge.core.files import write_json

FINDINGS = ("assessment.json", "evidence.json", "report.html", "summary.json", "table.txt")


@pytest.fixture
def finished(call, world, tmp_path):
    out = tmp_path / "mine"
    assert call(*world.unlearn(out, "--steps", "2", method="grad_ascent")).code == 0
    assert call(*world.evaluate(out)).code == 1
    return out


def test_it_says_of_each_file_whether_it_comes_out_the_same(call, finished):
    path = finished / "assessment.json"
    before = path.read_bytes()
    said = call("evaluate", "--from", finished)
    assert (said.code, said.err) == (0, "")
    assert said.out.split() == [word for name in FINDINGS for word in (name, "same")]
    path.unlink()
    first = call("evaluate", "--from", finished, "--dry-run").out.splitlines()[0]
    assert first.split(maxsplit=1) == ["assessment.json", "would be restored"]
    assert not path.exists()
    as_json = call("evaluate", "--from", finished, "--json")
    assert as_json.json == {
        "files": {**dict.fromkeys(FINDINGS, "same"), "assessment.json": "restored"},
        "same": True,
    }
    assert path.read_bytes() == before
    write_json(path, {**json.loads(before), "policy": "another"})
    said = call("evaluate", "--from", finished)
    assert said.code == 1 and said.out.splitlines()[0].split() == ["assessment.json", "differs"]


def test_what_cannot_be_meant_is_refused(refused, world, tmp_path):
    both = refused(2, "evaluate", tmp_path / "run", "--from", tmp_path / "run")
    assert "--from takes the run and nothing else" in both
    assert "--reference" in refused(2, "evaluate")
    assert "--reference" in refused(2, "evaluate", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    assert "holds no findings" in refused(2, "evaluate", "--from", tmp_path / "empty")
    assert "holds no findings" in refused(2, "evaluate", "--from", tmp_path / "nowhere")
