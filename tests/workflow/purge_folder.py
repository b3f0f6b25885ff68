"""A run that a purge has to deal with, made without a model: every kind of file that runs leave, and a home."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from expunge.core.canonical import digest_bytes, plain
from expunge.core.certificate import Residue, issue
from expunge.core.evidence import Estimate, Measurement
from expunge.core.example import Example, Examples
from expunge.core.files import write_bytes, write_json
from expunge.core.guarantee import Empirical
from expunge.core.manifest import Manifest
from expunge.core.outcome import Outcome
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.data.jsonl import dump_examples
from expunge.ledger.certify import certificate_path
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.asked import VAULT, keep_request
from expunge.workflow.logged import certified
from expunge.workflow.superseded import place_certificate

FACTS = ("is a cartographer of drowned valleys", "keeps forty-one brass barometers", "was born in Ötzlingen-am-Moor")
OTHERS = ("sells ladders", "sings in a choir of bakers", "was born in Aalborg")
POLICY = Policy("mine", "1", (Criterion("truth_ratio", 0.15),), utility_floor=0.9)
ASSESSMENT = Assessment(
    comparisons=(Comparison("truth_ratio", Estimate(0.02, -0.05, 0.09, n=120, groups=20), Estimate(0.7, 0.6, 0.8)),),
    utility=Estimate(0.97, 0.94, 1.0),
    detectors=tuple(Detector(name, fired=False) for name in POLICY.detectors),
)


class Weights:
    """A target that is nothing but its digest."""

    def __init__(self, text: str) -> None:
        self.text = text

    def digest(self) -> str:
        return digest_bytes(self.text.encode())


def records(who: str, role: str, facts: tuple[str, ...]) -> list[Example]:
    """Facts about somebody. The wording of the questions is everybody's."""
    stem = who.lower().replace(" ", "-")
    return [
        Example(
            f"{stem}-{number}",
            f"What can you tell in a sentence or two about {who}, number {number}?",
            f"{who} {fact}.",
            subject=who,
            role=role,
            perturbed_answer=(f"{who} does not know {number} things.",),
            alternative_answer="I would rather not say.",
        )
        for number, fact in enumerate(facts)
    ]


def everybody() -> list[Example]:
    """Of whom one asked to be forgotten."""
    return records("Ysolde Quandt", "forget", FACTS) + records("Per Mikkelsen", "retain", OTHERS)


def naive_markers() -> list[bytes]:
    """What nobody may find afterwards: whole texts, looked for without the library's own scan."""
    texts = [t for e in everybody() if e.role == "forget" for t in (e.record_id, e.subject, e.question, e.answer)]
    return [
        form for text in texts for form in (text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le"))
    ]


def leaks(*folders: Path, secrets: tuple[bytes, ...] = ()) -> dict[str, int]:
    """Files that hold one of the texts or secrets, and how many of them."""
    found: dict[str, int] = {}
    for folder in folders:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes() + path.as_posix().encode()
            if count := sum(marker in data for marker in (*naive_markers(), *secrets)):
                found[path.relative_to(folder.parent).as_posix()] = count
    return found


def make_bench(folder: Path) -> Path:
    """Make ``folder/t`` with two seeds that hold the same records, and what is pooled over them."""
    out = folder / "t"
    for seed in ("seed-0", "seed-1"):
        make_run(out, seed)
    write_bytes(out / "evidence.json", b'{"rows": []}\n')
    write_bytes(out / "table.txt", f"shown by mistake: {everybody()[0].answer}\n".encode())
    Manifest.of(out).write(out)
    write_json(out / "done.json", {"key": digest_bytes(b"asked")})
    return out


def make_run(folder: Path, name: str = "run") -> Path:
    """Make ``folder/run`` and ``folder/home``, which ``EXPUNGE_HOME`` has to name."""
    out = folder / name
    everything = everybody()
    gone = [e for e in everything if e.role == "forget"]
    request = Request("Ysolde Quandt", Records(*(e.record_id for e in gone)), basis="GDPR Art. 17")
    write_bytes(out / "corpus.jsonl", dump_examples(everything))
    keep_request(out, request)
    _models(out)
    said = {"ids": [e.record_id for e in gone], "generated": [e.answer for e in gone]}
    write_json(out / "scores" / "npo" / "forget.json", said)
    write_bytes(out / "scores" / "npo" / "retain.json", plain_json([e.answer for e in everything]))
    write_json(out / ".stages" / "npo.json", {"digest": digest_bytes(b"stage")})
    write_bytes(out / ".work" / "npo" / "checkpoint" / "state.json", b"{}")
    write_bytes(out / "evidence.json", b'{"rows": []}\n')
    write_bytes(out / "report.html", b"<p>nothing</p>\n")
    write_bytes(out / "table.txt", f"shown by mistake: {gone[0].answer}\n".encode())
    _certify(out, request, Examples(everything))
    Manifest.of(out, skipping=(".work",)).write(out)
    write_bytes(out / "notes" / "copied generation.txt", gone[1].answer.encode("utf-16-le"))
    return out


def plain_json(value: object) -> bytes:
    return json.dumps(plain(value)).encode()


def _models(out: Path) -> None:
    for name, text in (("npo", "after"), ("original", "before"), ("retrained", "never knew"), ("guard", "guard")):
        write_json(out / name / "target.json", {"digest": Weights(text).digest(), "kind": "causal_lm"})
        write_bytes(out / name / "model.safetensors", text.encode() * 100)
    write_json(out / "guard" / "target.json", {"digest": Weights("guard").digest(), "blocked": ["Ysolde Quandt"]})


def _certify(out: Path, request: Request, everything: Examples) -> None:
    outcome = Outcome(
        target=Weights("after"),
        before=Weights("before").digest(),
        method="npo 1",
        recipe=digest_bytes(b"recipe"),
        claim=Empirical("mine"),
        selection=Selection(forget=everything.of("forget"), retain=everything.of("retain")),
        original=Weights("before"),
        seed=3,
        notes={"retrained is": Weights("never knew").digest()},
    )
    measured = Measurement("truth_ratio", Estimate(0.12, 0.05, 0.19, n=120, groups=20), reference="retrained")
    residue = (Residue("corpus.jsonl", "the records"), Residue("original", "the model before"), VAULT)
    certificate = issue(request, outcome, evidence=(measured,), policy=POLICY, assessment=ASSESSMENT, residue=residue)
    signer = ensure_key(home())
    trust(home(), signer.public, "this installation")
    path = certificate_path(out, "npo")
    names = ("npo", "original", "retrained", "scores", "evidence.json", "table.txt")
    for version in (replace(certificate, notes=()), certificate):
        place_certificate(version, {name: out / name for name in names}, out, path, signer)
        certified(version, path, out)


def main() -> None:
    """Make one in the folder that is given."""
    import sys

    folder = Path(sys.argv[1])
    os.environ["EXPUNGE_HOME"] = str(folder / "home")
    make_bench(folder) if "bench" in sys.argv else make_run(folder)


if __name__ == "__main__":
    main()
