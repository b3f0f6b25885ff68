"""Certificates as in-toto Statements v1, and back.

What follows from the rest (the guarantee earned, the verdict, the policy's digest) is written for readers of the file.
``read`` computes it anew and reports where the file says otherwise, so signing a higher guarantee does not raise it.
Numbers are decimal strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from pydantic import ValidationError

from expunge.core import certificate as nouns
from expunge.core import evidence, guarantee, policy
from expunge.core.canonical import canonical_bytes, plain
from expunge.core.certificate import INDEPENDENT, Artefact, Certificate
from expunge.core.earning import is_digest, phrase
from expunge.core.errors import ExpungeError, LedgerError
from expunge.ledger.envelope import bytes_of, fields_of, malformed, parse_canonical
from expunge.ledger.keys import PublicKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:expunge:unlearning-certificate:v1"
TARGET = "target:"
"""Before the name of a subject that is an artefact of the certificate and not a file."""
DERIVED = ("earned", "policy_digest", "verdict")
_TOP = ("request", "method", "artefacts", "residue", "not_claimed", "notes", "issued")
_CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(nouns.PublicRequest, nouns.MethodUsed, nouns.Artefact, nouns.Residue),
        *(evidence.Estimate, evidence.Measurement, evidence.Proof, evidence.Replay, evidence.Receipt),
        *(guarantee.Exact, guarantee.Certified, guarantee.Purged, guarantee.Empirical, guarantee.Suppressed),
        *(guarantee.Unproven, policy.Policy, policy.Criterion, policy.Assessment, policy.Comparison),
        *(policy.Detector, policy.Verdict, policy.Finding),
    )
}


@dataclass(frozen=True)
class Statement:
    """A statement as read.

    Args:
        certificate: with its guarantees computed anew.
        files: digest by path, relative to the run's folder.
        signer: the key that the statement says signs it.
        problems: where the statement says other than what follows from its evidence.
    """

    certificate: Certificate
    files: Mapping[str, str]
    signer: PublicKey
    problems: tuple[str, ...] = ()


def check_path(name: str) -> None:
    """Raise unless a name is a plain path below a folder.

    Raises:
        LedgerError: absolute, leaving the folder, or spelled in a second way.
    """
    parts = PurePosixPath(name).parts
    plain_path = bool(parts) and "/".join(parts) == name and ".." not in parts and not name.startswith(("/", TARGET))
    if not plain_path or "\\" in name or not name.isprintable():
        raise malformed(f"artefact path {name!r:.120}", "not a plain path below the run's folder")


def build(certificate: Certificate, files: Mapping[str, str], signer: PublicKey) -> bytes:
    """The statement's canonical bytes.

    Args:
        certificate: what to state.
        files: digest by path, relative to the run's folder.
        signer: the key that will sign; its public half is stated so that strangers can check the signature.

    Raises:
        LedgerError: a path or digest that no reader would accept.
    """
    for name, value in files.items():
        check_path(name)
        if not is_digest(value):
            raise LedgerError(f"{name}: not a digest", why=f"got {value!r:.80}")
    body = plain(certificate)
    predicate = {name: body[name] for name in _TOP}
    for artefact, stated in zip(certificate.artefacts, predicate["artefacts"], strict=True):
        stated |= {name: plain(getattr(artefact, name)) for name in DERIVED}
    predicate["signers"] = [{"keyid": signer.keyid, "public": signer.text, "role": "executor"}]
    subjects = {TARGET + a.name: a.after for a in certificate.artefacts} | dict(files)
    return canonical_bytes(
        {
            "_type": STATEMENT_TYPE,
            "predicate": predicate,
            "predicateType": PREDICATE_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": value.removeprefix("sha256:")}}
                for name, value in sorted(subjects.items())
            ],
        }
    )


def read(payload: bytes) -> Statement:
    """Read a statement, computing anew whatever follows from the rest.

    Raises:
        LedgerError: names the field that is unknown, missing or malformed.
    """
    names = ("_type", "predicate", "predicateType", "subject")
    fields = fields_of(parse_canonical(payload, "payload"), "payload", names)
    for name, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if fields[name] != expected:
            raise malformed(f"payload {name}", f"not {expected}")
    subjects = _subjects(fields["subject"])
    predicate = fields_of(fields["predicate"], "predicate", (*_TOP, "signers"))
    signer = _signer(predicate["signers"])
    try:
        certificate, stated = _certificate({name: predicate[name] for name in _TOP})
    except RecursionError as error:
        raise malformed("predicate", "nested too deeply") from error
    problems = [
        p for artefact, said in zip(certificate.artefacts, stated, strict=True) for p in _problems(artefact, said)
    ]
    if INDEPENDENT not in dict(certificate.notes):
        problems += [
            f"predicate artefact {artefact.name!r} evidence: a digest of another run, and no note of who ran it"
            for artefact in certificate.artefacts
            if artefact.earned == guarantee.Exact("bitwise")
        ]
    targets = {name: value for name, value in subjects.items() if name.startswith(TARGET)}
    if targets != {TARGET + a.name: a.after for a in certificate.artefacts}:
        problems.append("subject: the digests of the targets are not those of predicate artefacts")
    files = {name: value for name, value in subjects.items() if name not in targets}
    for name in files:
        check_path(name)
    return Statement(certificate, files, signer, tuple(problems))


def _subjects(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, item in enumerate(_list(value, "payload subject")):
        part = f"payload subject[{i}]"
        entry = fields_of(item, part, ("digest", "name"))
        digest = f"sha256:{fields_of(entry['digest'], f'{part} digest', ('sha256',))['sha256']}"
        if not isinstance(entry["name"], str) or entry["name"] in found or not is_digest(digest):
            raise malformed(part, "not a name of its own with a sha256 in hex")
        found[entry["name"]] = digest
    return found


def _signer(value: Any) -> PublicKey:
    signers = _list(value, "predicate signers")
    if len(signers) != 1:
        raise malformed("predicate signers", "not a list of exactly one")
    entry = fields_of(signers[0], "predicate signers[0]", ("keyid", "public", "role"))
    try:
        key = PublicKey(bytes_of(entry["public"], "predicate signers[0].public"))
    except LedgerError as error:
        raise malformed("predicate signers[0].public", error.why or error.what) from error
    if key.keyid != entry["keyid"]:
        raise malformed("predicate signers[0].keyid", "not the digest of the public key beside it")
    return key


def _certificate(body: dict[str, Any]) -> tuple[Certificate, list[dict[str, Any]]]:
    """The certificate, and what was stated of each artefact that follows from the rest."""
    stated: list[dict[str, Any]] = []
    artefacts: list[Any] = []
    for i, item in enumerate(_list(body["artefacts"], "predicate artefacts")):
        part = f"predicate artefacts[{i}]"
        if not isinstance(item, dict):
            raise malformed(part, "not an object")
        entry = cast("dict[str, Any]", item)
        fields_of({name: entry[name] for name in DERIVED if name in entry}, part, DERIVED)
        stated.append({name: _build(entry[name], f"{part}.{name}") for name in DERIVED})
        artefacts.append({name: value for name, value in entry.items() if name not in DERIVED})
    body = {**body, "artefacts": artefacts}
    built = {name: _build(value, f"predicate {name}") for name, value in body.items()}
    certificate = cast("Certificate", _make(Certificate, built, "predicate"))
    again = cast("dict[str, Any]", plain(certificate))
    for where in _differences({name: again[name] for name in _TOP}, body, "predicate"):
        raise malformed(where, "not spelled as this library spells it, or left out")
    return certificate, stated


def _build(value: Any, part: str) -> Any:
    if isinstance(value, list):
        return [_build(item, f"{part}[{i}]") for i, item in enumerate(cast("list[Any]", value))]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise malformed(f"{part}.type", f"unknown type {kind!r:.80}")
    return _make(_CLASSES[kind], {k: _build(v, f"{part}.{k}") for k, v in fields.items() if k != "type"}, part)


def _make(cls: Any, fields: dict[str, Any], part: str) -> Any:
    try:
        return cls(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = next((str(step) for step in first["loc"]), "")
        raise malformed(f"{part}.{name}".rstrip("."), first["msg"]) from error
    except ExpungeError as error:
        raise malformed(part, f"{error}".rstrip(".")) from error


def _problems(artefact: Artefact, stated: dict[str, Any]) -> Iterator[str]:
    """Where a file says other than what follows. Reasons are prose and may be worded anew between versions."""
    part = f"predicate artefact {artefact.name!r}"
    if not isinstance(stated["earned"], guarantee.Guarantee):
        yield f"{part} earned: not a guarantee"
    elif _bare(stated["earned"]) != _bare(artefact.earned):
        yield f"{part} earned: states {phrase(stated['earned'])}, its evidence earns {phrase(artefact.earned)}"
    if _outline(stated["verdict"]) != _outline(artefact.verdict):
        yield f"{part} verdict: not what its policy says of its intervals"
    if stated["policy_digest"] != artefact.policy_digest:
        yield f"{part} policy_digest: not the digest of its policy"


def _bare(value: guarantee.Guarantee) -> guarantee.Guarantee:
    return guarantee.Unproven() if isinstance(value, guarantee.Unproven) else value


def _outline(verdict: Any) -> Any:
    if not isinstance(verdict, policy.Verdict):
        return verdict
    return verdict.policy, verdict.status, tuple((f.criterion, f.status) for f in verdict.findings)


def _list(value: Any, part: str) -> list[Any]:
    if not isinstance(value, list):
        raise malformed(part, "not a list")
    return cast("list[Any]", value)


def _differences(ours: Any, theirs: Any, part: str) -> Iterator[str]:
    if type(ours) is not type(theirs):
        yield part
    elif isinstance(ours, dict):
        left, right = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
        yield from (f"{part}.{name}" for name in sorted(set(left) ^ set(right)))
        for name in sorted(set(left) & set(right)):
            yield from _differences(left[name], right[name], f"{part}.{name}")
    elif isinstance(ours, list):
        one, two = cast("list[Any]", ours), cast("list[Any]", theirs)
        if len(one) != len(two):
            yield part
        for i, (a, b) in enumerate(zip(one, two, strict=False)):
            yield from _differences(a, b, f"{part}[{i}]")
    elif ours != theirs:
        yield part
