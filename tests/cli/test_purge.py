"""The whole road of one request on the command line, to its purge; no log shows a word of the records."""

import json
import logging

import pytest

from expunge.core.canonical import read_json
from expunge.ledger.verify import verify

log = logging.getLogger("expunge.tests")
FIELDS = ("record_id", "question", "answer", "paraphrased_question", "paraphrased_answer", "alternative_answer")


def words(world):
    rows = [json.loads(line) for line in (world.root / "forget.jsonl").read_text().splitlines()]
    return {row[field] for row in rows for field in FIELDS}


@pytest.fixture
def telling(world):
    """Which of the forgotten texts something shows."""
    texts = words(world)
    return lambda shown: sorted(text for text in texts if text in shown)


def test_unlearn_evaluate_certify_purge_verify_and_what_is_logged_on_the_way(world, call, telling, caplog, tmp_path):
    out = tmp_path / "npo"
    with caplog.at_level(logging.DEBUG):
        log.debug("a control: %s", sorted(words(world))[0])
        assert telling(caplog.text)
        caplog.clear()
        steps = (
            (0, world.unlearn(out, "--steps", "4")),
            (1, world.evaluate(out)),
            (0, ["certify", out]),
            (0, ["purge", out, "--yes"]),
            (0, ["verify", out / "certificates" / "model.certificate.json"]),
        )
        for code, command in steps:
            said = call(*command)
            assert said.code == code, said.err
            assert telling(said.out + said.err) == []
            logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
            assert telling(logged) == []
    files = [p for folder in (out, tmp_path / "home") for p in folder.rglob("*") if p.is_file()]
    assert not [p for p in files if telling(p.read_bytes().decode("latin-1"))]
    assert read_json(out / "purge.json")["status"] == "CLEAN"
    assert {"assessment.json", "certificates", "data.jsonl", "outcome.json", "unlearned"} <= {
        p.name for p in out.iterdir()
    }
    for command in (world.unlearn(out), world.evaluate(out), ["certify", out]):
        refused = call(*command)
        assert (refused.code, "was purged" in refused.err) == (2, True)


def test_the_model_that_a_request_in_sequence_was_answered_on_is_named_as_residue(world, call, tmp_path):
    rows = (world.root / "forget.jsonl").read_text().splitlines()
    files = {who: tmp_path / f"{who}.jsonl" for who in ("ana", "bo")}
    for who, path in files.items():
        mine = [row for row in rows if json.loads(row)["record_id"].startswith(who)]
        path.write_text("".join(f"{row}\n" for row in mine))
    out = tmp_path / "runs" / "sequence"
    more = ("--forget", str(files["bo"]), "--steps", "4", "--in-sequence")
    assert call(*world.unlearn(out, *more, forget=files["ana"])).code == 0
    assert call("certify", out / "request-2").code == 0
    said = call("purge", out / "request-2", "--yes")
    name = "../request-1/unlearned"
    assert f"left, but knew the records: {name}" in said.out, said.err
    assert read_json(out / "request-2" / "purge.json")["knew"] == [name]
    path = out / "request-2" / "certificates" / "model.certificate.json"
    assert call("verify", path).code == 0
    [told] = [place for place in verify(path).certificate.residue if place.path == name]
    assert told.contains_personal_data and "knew the subject" in told.reason
    assert (out / "request-1" / "unlearned" / "model.safetensors").is_file()
    assert call("purge", out / "request-1", "--yes", "--json").json["knew"] == []
