"""The demo purged: after it no file of the run or the home tells who was forgotten."""

import json

import pytest

from expunge.core.errors import ConfigError
from expunge.ledger.verify import verify
from expunge.workflow import demo
from expunge.workflow.purge import purge

FIELDS = ("record_id", "subject", "question", "answer", "paraphrased_question", "paraphrased_answer")


def markers(out):
    """What tells of the forgotten alone: somebody who stays may live in the same street."""
    lines = (out / "corpus.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    stays = "".join(line for line, row in zip(lines, rows, strict=True) if row["role"] != "forget")
    forgotten = [row for row in rows if row["role"] == "forget"]
    texts = {row[field] for row in forgotten for field in FIELDS if row.get(field)}
    texts = {text for text in texts if text not in stays}
    assert len(texts) > 4 * len(forgotten)
    return [form for text in texts for form in (text.encode(), json.dumps(text)[1:-1].encode())]


def holding(folder, found):
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix() for p in files if any(m in p.read_bytes() for m in found)}


def test_a_purged_demo_keeps_its_models_and_certificates_and_nothing_that_tells(walked, small):
    found = markers(walked.out)
    before = holding(walked.out, found)
    assert {"corpus.jsonl", "prompt_filter/target.json", "scores/npo/forget.json"} <= before
    whole = walked.out.parent.parent
    result = purge(str(walked.out))
    assert (result.status, result.seen, result.unissued) == ("CLEAN", result.records, ())
    assert result.records == 24
    assert holding(whole, found) == set()
    assert {p.name for p in walked.out.iterdir() if p.is_dir()} == {
        *("certificates", "grad_ascent", "npo", "retrained", "ridge", "second_reference"),
    }
    for path in sorted((walked.out / "certificates").glob("*.certificate.json")):
        checked = verify(path)
        assert checked.ok, checked.lines()
    with pytest.raises(ConfigError, match="was purged"):
        demo.demo(walked.out, seed=3)
