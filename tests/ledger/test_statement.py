"""The statement: in-toto's form, decimal strings, and reading back exactly what was written."""

import json
import math
import re

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import canonical_bytes, digest_bytes, plain
from expunge.core.certificate import Artefact, Certificate, MethodUsed, PublicRequest, Residue
from expunge.core.errors import LedgerError
from expunge.core.evidence import Estimate, Measurement, Proof, Receipt, Replay
from expunge.core.guarantee import Certified, Empirical, Exact, Purged, Suppressed, Unproven
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy
from expunge.core.wishes import WISHES
from expunge.ledger.statement import build, read
from expunge.testing.keys import DemoSigner

PUBLIC = DemoSigner().public
FILES = {"models/a.bin": digest_bytes(b"a"), "b.json": digest_bytes(b"b")}

words = st.text(max_size=6)
texts = words.filter(lambda t: t.isprintable() and not any(0xD800 <= ord(c) < 0xE000 for c in t))
numbers = st.floats(allow_nan=False)
digests = st.binary(max_size=2).map(digest_bytes)
estimates = st.builds(
    Estimate, numbers, numbers, numbers, level=numbers, n=st.integers(0), groups=st.integers(0), seeds=st.integers(0)
)
claims = st.one_of(
    st.builds(Exact, st.sampled_from(["bitwise", "distribution"])),
    st.builds(Certified, numbers, numbers, texts),
    st.builds(Purged, texts),
    st.builds(Empirical, texts),
    st.just(Suppressed()),
    st.builds(Unproven, texts),
)
evidence = st.one_of(
    st.builds(Measurement, texts, estimates, texts, texts, st.tuples(texts), texts),
    st.builds(Proof, texts, st.tuples(texts)),
    st.builds(Replay, digests, digests, digests, texts, numbers),
    st.builds(Receipt, texts, texts, st.integers(0), st.tuples(texts)),
)
sides = st.sampled_from(["both", "above"])
policies = st.builds(
    Policy,
    texts,
    texts,
    st.tuples(st.builds(Criterion, texts, numbers, st.tuples(texts), texts, sides)),
    numbers,
    wish=st.sampled_from([*WISHES]),
)
assessments = st.builds(
    Assessment,
    st.lists(st.builds(Comparison, texts, estimates, estimates), max_size=2).map(tuple),
    st.none() | estimates,
    st.lists(st.builds(Detector, texts, st.booleans(), texts), max_size=1).map(tuple),
    st.lists(st.tuples(texts, texts), max_size=1).map(tuple),
    st.lists(st.tuples(texts, texts), max_size=1).map(tuple),
)
artefacts = st.builds(
    Artefact,
    texts,
    digests,
    digests,
    claims,
    st.booleans(),
    st.lists(evidence, max_size=3).map(tuple),
    st.none() | policies,
    st.none() | assessments,
)
certificates = st.builds(
    Certificate,
    st.builds(PublicRequest, texts, texts, texts, st.sampled_from(["", *WISHES]), texts),
    st.builds(MethodUsed, texts, texts, texts, st.integers(0, 2**62)),
    st.lists(artefacts, min_size=1, max_size=2, unique_by=lambda a: a.name).map(tuple),
    st.lists(st.builds(Residue, texts, texts, st.booleans()), max_size=2).map(tuple),
    st.tuples(texts),
    st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    texts,
)


def numbers_in(value) -> list:
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers_in(item)]
    if isinstance(value, list):
        return [n for item in value for n in numbers_in(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@given(certificates)
def test_a_statement_reads_back_as_it_was_written(certificate):
    payload = build(certificate, FILES, PUBLIC)
    said = read(payload)
    assert said.certificate == certificate
    assert said.files == FILES
    assert said.signer.raw == PUBLIC.raw
    assert said.problems == ()
    assert numbers_in(json.loads(payload)) == []
    assert build(said.certificate, said.files, said.signer) == payload


def test_what_came_later_is_left_out_at_its_default(toys):
    """Another spelling of an old policy would be another digest, and no old certificate would be read."""
    stated = json.loads(build(toys.certificate(), {}, PUBLIC))["predicate"]["artefacts"][0]["policy"]
    assert "wish" not in stated and not any("side" in criterion for criterion in stated["criteria"])
    other = Policy("p", "1", (Criterion("rouge_l", 0.1, side="above"),), 0.9, wish="refuse")
    assert (plain(other)["wish"], plain(other)["criteria"][0]["side"]) == ("refuse", "above")


def test_a_number_that_is_none_survives(toys):
    odd = Measurement("auc", Estimate(math.nan, -math.inf, 0.1))
    again = read(build(toys.certificate(evidence=(odd,)), {}, PUBLIC)).certificate.target.evidence[0]
    assert math.isnan(again.estimate.value)
    assert again.estimate.low == -math.inf


def test_the_form_is_in_toto_s(toys):
    certificate = toys.certificate()
    value = json.loads(build(certificate, FILES, PUBLIC))
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "urn:expunge:unlearning-certificate:v1"
    assert value["subject"] == [
        {"digest": {"sha256": FILES["b.json"][7:]}, "name": "b.json"},
        {"digest": {"sha256": FILES["models/a.bin"][7:]}, "name": "models/a.bin"},
        {"digest": {"sha256": certificate.target.after[7:]}, "name": "target:model"},
    ]
    stated = value["predicate"]["artefacts"][0]
    assert stated["earned"] == {"policy": "ours", "type": "Empirical"}
    assert stated["verdict"]["status"] == "earned"
    assert stated["evidence"][0]["estimate"]["low"] == "0.05"
    assert value["predicate"]["signers"] == [{"keyid": PUBLIC.keyid, "public": PUBLIC.text, "role": "executor"}]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "", ".", "a\\b", "target:model", "a\nb"]
)
def test_paths_that_are_not_plainly_below_the_run_are_refused(toys, name):
    with pytest.raises(LedgerError, match="artefact path"):
        build(toys.certificate(), {name: FILES["b.json"]}, PUBLIC)
    if name != "target:model":
        value = json.loads(build(toys.certificate(), {}, PUBLIC))
        value["subject"].append({"name": name, "digest": {"sha256": "0" * 64}})
        with pytest.raises(LedgerError, match="artefact path"):
            read(canonical_bytes(value))


def test_a_digest_that_is_none_is_refused(toys):
    with pytest.raises(LedgerError, match=r"b\.json: not a digest"):
        build(toys.certificate(), {"b.json": "0" * 64}, PUBLIC)


def altered(toys, path: str, value) -> bytes:
    """The statement with one field replaced, or removed where the value is ``...``."""
    whole = json.loads(build(toys.certificate(), FILES, PUBLIC))
    inner = whole
    steps = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[steps[-1]]
    else:
        inner[steps[-1]] = value
    return rfc8785.dumps(whole)


ART = "predicate/artefacts/0"


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", "payload _type"),
        ("predicateType", "urn:x", "payload predicateType"),
        ("more", "x", "payload.*unknown field 'more'"),
        ("subject", {}, "payload subject"),
        ("subject/0/digest", {"md5": "00"}, r"subject\[0\] digest"),
        ("subject/0/digest/sha256", "00", r"subject\[0\]"),
        ("subject/0/name", "models/a.bin", r"subject\[1\]"),
        ("predicate/more", "x", "predicate.*unknown field 'more'"),
        ("predicate/residue", ..., "predicate.*'residue' is missing"),
        ("predicate/signers", [], "predicate signers"),
        ("predicate/signers/0/public", "AAAA", r"signers\[0\].public"),
        ("predicate/signers/0/keyid", "ed25519:" + "0" * 64, r"signers\[0\].keyid"),
        ("predicate/method/seed", "3.0", "predicate.method"),
        ("predicate/method/seed", "03", "predicate.method.seed"),
        ("predicate/method/seed", 3, "predicate.method.seed"),
        ("predicate/method/extra", "x", "predicate method.extra"),
        ("predicate/method/selection", ..., "predicate.method.selection"),
        ("predicate/method/type", "Executor", "predicate method.type.*unknown type 'Executor'"),
        ("predicate/request", "x", "predicate.request"),
        ("predicate/artefacts", [], "predicate.*names of their own"),
        (f"{ART}/overlay", "false", "overlay"),
        (f"{ART}/after", "x", r"artefacts\[0\].*after is not a digest"),
        (f"{ART}/earned", ..., r"artefacts\[0\].*'earned' is missing"),
        (f"{ART}/evidence/0/estimate/value", "0.120", "evidence.*estimate.value"),
        (f"{ART}/evidence/0/estimate/value", "many", "estimate.value"),
        (f"{ART}/assessment/comparisons/0/difference/low", "1e-1", "comparisons.*difference.low"),
        (f"{ART}/policy/criteria", [], "lists no attack"),
        (f"{ART}/policy/\x1b[2J", "x", r"policy.*u001b"),
        ("predicate/not_claimed", [], "does not claim"),
    ],
)
def test_every_malformed_field_is_named(toys, path, value, part):
    with pytest.raises(LedgerError, match=part) as caught:
        read(altered(toys, path, value))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (f"{ART}/earned", {"equality": "bitwise", "type": "Exact"}, r"earned: states Exact \(bit for bit\)"),
        (f"{ART}/earned", {"type": "Suppressed"}, "earned: states Suppressed"),
        (f"{ART}/earned", {"policy": "other", "type": "Empirical"}, "earned: states"),
        (f"{ART}/earned", "Empirical", "earned: not a guarantee"),
        (f"{ART}/verdict/status", "failed", "verdict"),
        (f"{ART}/verdict/findings/0/status", "failed", "verdict"),
        (f"{ART}/verdict", None, "verdict"),
        (f"{ART}/policy_digest", digest_bytes(b""), "policy_digest"),
        (f"{ART}/policy/criteria/0/margin", "0.01", "evidence earns Unproven"),
        (f"{ART}/assessment/comparisons/0/difference/high", "0.4", "evidence earns Unproven"),
        (f"{ART}/overlay", True, "evidence earns Suppressed"),
        (f"{ART}/after", digest_bytes(b"other"), "targets"),
    ],
)
def test_what_does_not_follow_from_the_evidence_is_a_problem(toys, path, value, part):
    problems = read(altered(toys, path, value)).problems
    assert any(re.search(part, problem) for problem in problems), problems


def test_prose_may_be_worded_anew_between_versions(toys):
    assert read(altered(toys, f"{ART}/verdict/findings/0/reason", "in other words")).problems == ()


def test_nesting_without_end_is_malformed(toys):
    deep: list = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(LedgerError, match="malformed certificate: p"):
        read(altered(toys, "predicate/not_claimed", deep))
