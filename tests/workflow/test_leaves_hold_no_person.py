"""Every leaf that real runs write is scanned for what could tell of a person."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from expunge.cli.app import run
from expunge.core.canonical import digest_bytes
from expunge.core.certificate import issue
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Suppressed
from expunge.core.outcome import Outcome
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.data.jsonl import read_examples
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.log import Log, log_path
from expunge.workflow.logged import certified, committed, note, planned

PATTERNS = {
    "e-mail": r"[\w.+-]+@[\w-]+\.[\w.]+",
    "IBAN": r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}(?![A-Za-z0-9])",
    "card": r"(?<![0-9])[0-9](?:[ -]?[0-9]){11,18}(?![0-9])",
    "SSN": r"(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])",
    "IP": r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])|(?:[0-9A-Fa-f]{1,4}:){4,7}[0-9A-Fa-f]{1,4}",
    "phone": r"(?<![0-9])\+?\(?[0-9](?:[ ().x/-]{0,2}[0-9]){7,}",
}
"""Of numbers only those with eight digits and more are taken for a phone's."""
ALLOWED = re.compile(
    r'"(?:sha256|ed25519):[0-9a-f]{64}"|"r_[0-9a-f]{12}"|"t":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"'
)
ENTITIES = {
    "EMAIL_ADDRESS": "e-mail",
    "IBAN_CODE": "IBAN",
    "CREDIT_CARD": "card",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "PHONE_NUMBER": "phone",
}


def scan(body: bytes, texts):
    """What of a leaf tells of a person: numbers by their form, texts as such, in hex or as a bare digest."""
    whole, found = body.decode(), []
    rest = ALLOWED.sub('""', whole)
    found += [name for name, form in PATTERNS.items() if re.search(form, rest)]
    folded = rest.casefold()
    for text in texts:
        spelled = re.escape(text.casefold())
        if text.casefold() in folded and re.search(rf"(?<!\w){spelled}(?!\w)", folded):
            found.append(f"text {text!r}")
        for one in {text, text.strip(), text.lower(), text.strip().lower()}:
            raw = one.encode()
            if hashlib.sha256(raw).hexdigest() in whole or (len(raw) > 6 and raw.hex() in whole):
                found.append(f"guessable {text!r}")
    return found


def bodies():
    with Log(log_path(home())) as log:
        return [body for _, body in log.bodies()]


@pytest.fixture(scope="module")
def sentences(shared):
    """Sentences about made-up people, with what in them is personal."""
    rows = json.loads((shared / "data" / "presidio_synth" / "synth_dataset_v2.json").read_text())
    return [row for row in rows if row["spans"]]


def personal(row):
    return [span["entity_value"] for span in row["spans"] if len(span["entity_value"]) > 2]


def spelled(leaf):
    return json.dumps(leaf, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_scanner_sees_what_is_planted(sentences):
    """The control: every kind of number, name and text, put where a careless field would hold it."""
    leaf = {"kind": "PLAN", "digests": {"plan": "sha256:" + "ab" * 32}, "t": "2026-11-21T12:00:00Z", "seq": "184"}
    assert scan(spelled(leaf), ["Ada Lovelace"]) == []
    seen = dict.fromkeys(ENTITIES.values(), 0)
    total = dict.fromkeys(ENTITIES.values(), 0)
    for row in sentences:
        for span in row["spans"]:
            value = span["entity_value"]
            body = spelled({**leaf, "reason": value})
            if '"' not in value and "\n" not in value:
                assert f"text {value!r}" in scan(body, [value])
            if name := ENTITIES.get(span["entity_type"]):
                total[name] += 1
                seen[name] += name in scan(body, [])
    assert all(seen[name] >= 0.9 * total[name] > 0 for name in total), (seen, total)
    for planted in (hashlib.sha256(b"ada@example.com").hexdigest(), b"ada@example.com".hex()):
        body = spelled({**leaf, "digests": {"plan": f"sha256:{planted}"}})
        assert "guessable ' Ada@Example.com'" in scan(body, [" Ada@Example.com"])


def test_a_walked_and_purged_run_tells_of_nobody(walked):
    corpus = read_examples(walked.out / "corpus.jsonl")
    texts = {text for e in corpus for text in (e.record_id, e.subject, e.question, e.answer)} - {""}
    plan = json.loads((walked.out / "plan.json").read_text())
    assert run(["purge", str(walked.out), "--yes", "--final"]) in (0, 1)
    assert run(["keys", "rotate"]) == 0
    found = bodies()
    kinds = {json.loads(body)["kind"] for body in found}
    assert kinds >= {"KEY", "PLAN", "CERTIFICATE", "PURGE_INTENT", "PURGE_DONE"}
    assert plan["request"].encode() in b"".join(found)
    for body in found:
        assert scan(body, texts) == []


def test_requests_of_realistic_people_tell_of_nobody(sentences, monkeypatch, tmp_path):
    """Names, numbers and addresses as subject, record ids, basis and records; all that the log gets is scanned."""
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    chosen = [row for row in sentences if {s["entity_type"] for s in row["spans"]} & set(ENTITIES)][::9]
    assert len(chosen) > 20
    for number, row in enumerate(chosen):
        _serve(row, tmp_path / str(number))
    texts = {text for row in chosen for text in [row["full_text"], *personal(row)]}
    found = bodies()
    assert len(found) == 1 + 4 * len(chosen)
    for body in found:
        assert scan(body, texts) == []


class Weights:
    def __init__(self, text):
        self.text = text

    def digest(self):
        return digest_bytes(self.text.encode())


def _serve(row, out):
    """A request from plan to certificate, on a target that is nothing but its digest."""
    text, values = row["full_text"], personal(row) or ["someone"]
    request = Request(text, Records(*dict.fromkeys(values)), basis=text)
    selection = Selection(forget=Examples([Example(values[0], text, text, subject=values[0], role="forget")]))
    out.mkdir()
    plan = {"methods": {}, "recipe": "", "attacks": {}, "seeds": {}, "policy": {"digest": digest_bytes(b"policy")}}
    plan |= {"data": digest_bytes(request.salt.encode() + text.encode()), "request": request.commitment}
    (out / "plan.json").write_text(json.dumps(plan))
    planned(out, request.id)
    committed(request, selection, Weights("before" + request.salt), Weights("recipe"), seed=3)
    before, after = Weights("before" + request.salt), Weights("after" + request.salt)
    outcome = Outcome(
        target=after,
        original=before,
        before=before.digest(),
        method="npo 1",
        recipe=digest_bytes(b"recipe"),
        claim=Suppressed(),
        selection=selection,
        seed=3,
        notes={"about": text},
    )
    certificate = issue(request, outcome)
    path = certificate_path(out, "npo")
    write_certificate(certificate, {"plan": out / "plan.json"}, out, path, ensure_key(home()))
    certified(certificate, path, out)
    note("PURGE_DONE", request=request.id, state="CLEAN", counters={"records": len(values)})
