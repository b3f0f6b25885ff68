"""A run folder with a certificate, as a stranger finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from expunge.core.canonical import digest_bytes
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.evidence import Estimate, Measurement, Replay
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Empirical
from expunge.core.outcome import Outcome
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.keys import FileSigner, ensure_key
from expunge.ledger.trust import trust

POLICY = Policy("ours", "1", (Criterion("truth_ratio", 0.15), Criterion("min_k_auc", 0.1)), utility_floor=0.9)
ASSESSMENT = Assessment(
    comparisons=(
        Comparison("truth_ratio", Estimate(0.02, -0.05, 0.09, n=120, groups=20), Estimate(0.7, 0.6, 0.8)),
        Comparison("min_k_auc", Estimate(-0.01, -0.06, 0.04, n=120, groups=20), Estimate(0.4, 0.35, 0.45)),
    ),
    utility=Estimate(0.97, 0.94, 1.0),
    detectors=tuple(Detector(name, fired=False) for name in POLICY.detectors),
)
SELECTION = Selection(forget=Examples([Example("r17", "Who paints?", "Ada paints.")]))
FORGOT = Measurement("truth_ratio", Estimate(0.12, 0.05, 0.19, n=120, groups=20), reference="retrained")


class Weights:
    """A target that is nothing but its digest."""

    def __init__(self, text: str) -> None:
        self.text = text

    def digest(self) -> str:
        return digest_bytes(self.text.encode())


@dataclass(frozen=True)
class Run:
    root: Path
    home: Path
    path: Path
    signer: FileSigner
    certificate: Certificate
    files: tuple[str, ...]


def make_outcome(**changes) -> Outcome[Weights]:
    fields = {
        "target": Weights("after"),
        "before": Weights("before").digest(),
        "method": "npo 1",
        "recipe": digest_bytes(b"recipe"),
        "claim": Empirical("ours"),
        "selection": SELECTION,
        "original": Weights("before"),
        "seed": 3,
        "notes": {"level": 1.25, "stopped": "never"},
    }
    return Outcome(**(fields | changes))


def make_certificate(**changes) -> Certificate:
    request = Request("user-4711", Records("r17"), "GDPR Art. 17", due="2026-12-01", salt="ab" * 16)
    residue = (Residue("scores/forget.json", "score table"),)
    settings = {"evidence": (FORGOT,), "policy": POLICY, "assessment": ASSESSMENT, "residue": residue}
    outcome = make_outcome(**{k: changes.pop(k) for k in list(changes) if k in ("claim", "replay", "notes", "target")})
    return issue(request, outcome, **(settings | changes))


def make_replay(**changes) -> Replay:
    before, after = Weights("before").digest(), Weights("after").digest()
    return Replay(**({"before": before, "after": after, "data": digest_bytes(b"data"), "equals": after} | changes))


def make_run(folder: Path, certificate: Certificate | None = None) -> Run:
    root, home = folder / "run", folder / "home"
    contents = {
        "models/npo/model.safetensors": b"\x00weights" * 9,
        "models/npo/config.json": b"{}",
        "scores/forget.json": b"[1]",
        "report.html": b"<p>",
    }
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    signer = ensure_key(home)
    trust(home, signer.public, "Alice")
    certificate = certificate or make_certificate()
    artefacts = {"model": root / "models/npo", "scores": root / "scores/forget.json", "report": root / "report.html"}
    path = write_certificate(certificate, artefacts, root, certificate_path(root, "npo"), signer)
    return Run(root, home, path, signer, certificate, tuple(sorted(contents)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = make_run(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(made.home))
    return made


@pytest.fixture(scope="session")
def toys() -> SimpleNamespace:
    """Builders, for tests that need another certificate than the usual one."""
    return SimpleNamespace(
        POLICY=POLICY,
        ASSESSMENT=ASSESSMENT,
        FORGOT=FORGOT,
        SELECTION=SELECTION,
        Weights=Weights,
        outcome=make_outcome,
        certificate=make_certificate,
        replay=make_replay,
        run=make_run,
    )
