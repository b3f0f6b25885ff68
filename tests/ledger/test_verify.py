"""What a stranger is told about a certificate, whole, changed, cut, copied, unknown and raised."""

import base64
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import LedgerError
from expunge.core.evidence import Estimate, Measurement
from expunge.core.guarantee import Exact
from expunge.ledger import envelope
from expunge.ledger.certify import certificate_path, digests, write_certificate
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.ledger.verify import verify
from expunge.testing.keys import DemoSigner

PARTS = ("envelope", "payload", "signature", "keyid", "predicate")


def outcome_of(path: Path, **settings) -> str:
    """What verifying prints, whether it raises or returns; fails if the certificate is accepted."""
    try:
        found = verify(path, **settings)
    except LedgerError as error:
        assert error.exit_code == 1
        return str(error)
    assert not found.ok
    assert found.exit_code == 1
    return "\n".join(found.lines())


def signed_again(run, change, signer=None) -> Path:
    """The certificate with its payload changed and properly signed by a trusted key."""
    payload = json.loads(envelope.open_envelope(run.path.read_bytes()).payload)
    change(payload)
    run.path.write_bytes(envelope.sign(rfc8785.dumps(payload), signer or run.signer))
    return run.path


def test_a_whole_certificate_verifies(run):
    found = verify(run.path)
    assert found.ok
    assert found.exit_code == 0
    assert found.checked == run.files
    assert found.certificate == run.certificate
    assert found.lines() == [
        "signature valid, signer Alice",
        f"key {run.signer.keyid}",
        "model: Empirical (policy ours)",
        "no receipt beside it: whether it is in a log is not known",
        f"4 of 4 files below {run.root} match",
        "verified",
    ]


def test_it_verifies_from_any_folder(run, monkeypatch):
    monkeypatch.chdir(run.path.parent)
    assert verify(run.path.name).checked == run.files
    monkeypatch.chdir(run.root)
    assert verify("certificates/../certificates/npo.certificate.json").checked == run.files


def test_a_certificate_in_the_run_folder_itself_verifies(run):
    moved = run.path.rename(run.root / "npo.certificate.json")
    assert verify(moved).checked == run.files


def test_a_given_key_needs_no_home(run, tmp_path):
    found = verify(run.path, key=run.signer.public.text, home=tmp_path / "absent")
    assert found.ok
    assert found.signer == "of the given key"
    assert not (tmp_path / "absent").exists()


def test_an_untrusted_signer_is_unknown(run, tmp_path):
    found = verify(run.path, home=tmp_path / "stranger")
    assert (found.ok, found.signature_valid, found.exit_code) == (False, True, 1)
    assert found.lines()[0] == "signature valid, signer UNKNOWN"
    assert found.lines()[-1] == "NOT verified"
    assert found.checked == run.files


def test_the_wrong_key_is_said_to_be_wrong(run, tmp_path):
    other = ensure_key(tmp_path / "other")
    with pytest.raises(LedgerError, match="wrong key"):
        verify(run.path, key=other.public)


def accepts_no_change(run, index: int, mask: int, home: Path | None = None) -> None:
    good = run.path.read_bytes()
    changed = bytearray(good)
    changed[index] ^= mask
    copy = run.path.with_name("changed.json")
    copy.write_bytes(changed)
    said = outcome_of(copy, home=home)
    assert any(part in said for part in PARTS), (index, said)
    if home is not None:
        assert "signature valid" not in said


def test_any_changed_byte_is_found(run):
    size = len(run.path.read_bytes())
    # Every byte of what the payload's base64 is wrapped in, and every 7th of the base64 itself.
    edges = [*range(120), *range(size - 320, size)]
    for index in sorted({*edges, *range(0, size, 7)}):
        accepts_no_change(run, index, 0x01)


@given(st.data())
def test_any_changed_byte_is_found_by_a_stranger_too(toys, tmp_path_factory, data):
    run = _shared_run(toys, tmp_path_factory)
    index = data.draw(st.integers(0, len(run.path.read_bytes()) - 1))
    accepts_no_change(run, index, data.draw(st.integers(1, 255)), home=run.root / "no-home")


_RUNS: list = []


def _shared_run(toys, tmp_path_factory):
    if not _RUNS:
        _RUNS.append(toys.run(tmp_path_factory.mktemp("shared")))
    return _RUNS[0]


def test_a_certificate_cut_short_is_said_to_be(run):
    good = run.path.read_bytes()
    for length in [0, 1, 2, 11, len(good) // 2, *range(len(good) - 260, len(good), 9), len(good) - 1]:
        run.path.write_bytes(good[:length])
        with pytest.raises(LedgerError, match=r"malformed certificate: envelope.*(empty|cut short)"):
            verify(run.path)


@pytest.mark.parametrize("extra", [b"\n", b" ", b"\x00", b"{}"])
def test_nothing_may_follow_the_certificate(run, extra):
    run.path.write_bytes(run.path.read_bytes() + extra)
    with pytest.raises(LedgerError, match="malformed certificate: envelope"):
        verify(run.path)


def test_what_is_no_file_is_said_to_be_none(run, tmp_path):
    with pytest.raises(LedgerError, match="is a folder"):
        verify(run.path.parent)
    with pytest.raises(LedgerError, match="cannot read the certificate"):
        verify(run.root / "absent.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="not an ordinary file"):
        verify(tmp_path / "pipe")


@pytest.mark.parametrize(
    "name", ["models/npo/model.safetensors", "models/npo/config.json", "scores/forget.json", "report.html"]
)
def test_a_changed_file_is_named(run, name):
    data = bytearray((run.root / name).read_bytes())
    data[-1] ^= 1
    (run.root / name).write_bytes(data)
    found = verify(run.path)
    assert not found.ok
    assert found.changed == (name,)
    assert f"changed: {name}" in found.lines()
    assert len(found.checked) == 3


def test_a_missing_file_is_named(run):
    (run.root / "report.html").unlink()
    found = verify(run.path)
    assert (found.ok, found.missing) == (False, ("report.html",))
    assert "missing: report.html" in found.lines()


def test_a_folder_in_place_of_a_file_is_a_change(run):
    (run.root / "report.html").unlink()
    (run.root / "report.html").mkdir()
    assert verify(run.path).changed == ("report.html",)


def test_a_lone_certificate_is_judged_by_its_signature(run, tmp_path):
    lone = tmp_path / "mail" / "inbox" / "npo.certificate.json"
    lone.parent.mkdir(parents=True)
    shutil.copy(run.path, lone)
    found = verify(lone)
    assert found.ok
    assert found.unchecked == run.files
    assert "artefacts not beside the certificate: 4 not checked" in found.lines()
    stranger = verify(lone, home=tmp_path / "stranger")
    assert stranger.lines()[0] == "signature valid, signer UNKNOWN"
    assert stranger.exit_code == 1
    assert verify(lone, root=run.root).checked == run.files
    elsewhere = verify(lone, root=tmp_path / "mail")
    assert (elsewhere.ok, elsewhere.missing) == (False, run.files)


def test_base64_spelled_otherwise_is_found(run):
    whole = json.loads(run.path.read_bytes())
    sig = whole["signatures"][0]["sig"]
    assert sig.endswith("==")
    other = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="
    assert base64.b64decode(other) == base64.b64decode(sig)
    whole["signatures"][0]["sig"] = other
    run.path.write_bytes(rfc8785.dumps(whole))
    with pytest.raises(LedgerError, match=r"envelope sig.*base64"):
        verify(run.path)


@pytest.mark.parametrize("home", ["home", "stranger"])
def test_another_signature_by_the_same_key_is_invalid_whoever_looks(run, tmp_path, home):
    whole = json.loads(run.path.read_bytes())
    whole["signatures"][0]["sig"] = base64.b64encode(run.signer.sign(b"something else")).decode()
    run.path.write_bytes(rfc8785.dumps(whole))
    found = verify(run.path, home=tmp_path / home)
    assert (found.ok, found.signature_valid, found.certificate) == (False, False, None)
    assert "INVALID" in found.lines()[0]
    assert "payload or signature" in found.lines()[1]


def test_a_swapped_keyid_is_found(run, tmp_path):
    other = ensure_key(tmp_path / "other")
    whole = json.loads(run.path.read_bytes())
    whole["signatures"][0]["keyid"] = other.keyid
    run.path.write_bytes(rfc8785.dumps(whole))
    with pytest.raises(LedgerError, match="envelope keyid"):
        verify(run.path)
    trust(run.home, other.public, "Bob")
    assert "INVALID" in outcome_of(run.path)


def test_a_statement_signed_by_another_than_it_names_is_found(run, tmp_path):
    other = ensure_key(tmp_path / "other")
    trust(run.home, other.public, "Bob")
    signed_again(run, lambda payload: None, other)
    with pytest.raises(LedgerError, match=r"envelope keyid.*names as its signer"):
        verify(run.path)


def test_a_raised_guarantee_is_found_though_a_trusted_key_signed_it(run):
    def raise_it(payload):
        payload["predicate"]["artefacts"][0]["earned"] = {"equality": "bitwise", "type": "Exact"}

    found = verify(signed_again(run, raise_it))
    assert (found.signature_valid, found.signer, found.ok) == (True, "Alice", False)
    assert any("earned: states Exact (bit for bit), its evidence earns Empirical" in line for line in found.lines())
    assert found.certificate.earned != Exact("bitwise")


def test_a_digest_of_another_run_needs_a_note_of_who_ran_it(toys, tmp_path):
    words, problem = "run again by a stranger", "evidence: a digest of another run, and no note of who ran it"
    certificate = toys.certificate(
        claim=Exact("bitwise"), replay=toys.replay(), policy=None, audit={"independent run": words}
    )
    run = toys.run(tmp_path / "run", certificate)
    assert verify(run.path, home=run.home).ok

    def drop(payload):
        notes = payload["predicate"]["notes"]
        payload["predicate"]["notes"] = [note for note in notes if "independent run" not in note]

    found = verify(signed_again(run, drop), home=run.home)
    assert found.signature_valid and not found.ok and any(problem in line for line in found.lines())


def test_a_raised_claim_earns_nothing_more(run):
    def raise_both(payload):
        for field in ("claimed", "earned"):
            payload["predicate"]["artefacts"][0][field] = {"equality": "distribution", "type": "Exact"}

    assert "its evidence earns Unproven (no replay" in outcome_of(signed_again(run, raise_both))


def test_a_verdict_that_its_intervals_do_not_give_is_found(run):
    def widen(payload):
        payload["predicate"]["artefacts"][0]["assessment"]["comparisons"][0]["difference"]["high"] = "0.5"

    said = outcome_of(signed_again(run, widen))
    assert "earned: states Empirical (policy ours), its evidence earns Unproven" in said
    assert "verdict: not what its policy says of its intervals" in said


def test_a_path_out_of_the_run_is_refused_though_signed(run):
    def escape(payload):
        payload["subject"].append({"name": "../home/keys/default.key", "digest": {"sha256": "0" * 64}})

    assert "artefact path '../home/keys/default.key'" in outcome_of(signed_again(run, escape))


def test_the_shipped_key_is_refused_unless_allowed(toys, run):
    path = certificate_path(run.root, "trial")
    write_certificate(run.certificate, {"report": run.root / "report.html"}, run.root, path, DemoSigner())
    with pytest.raises(LedgerError, match="--allow-demo"):
        verify(path)
    with pytest.raises(LedgerError, match="--allow-demo"):
        verify(path, key=DemoSigner().public)
    found = verify(path, allow_demo=True)
    assert found.ok
    assert found.lines()[0] == "signature valid, signer the demo key that everybody has"


def test_a_certificate_is_never_overwritten(toys, run):
    artefacts = {"all": run.root}
    again = write_certificate(run.certificate, artefacts, run.root, run.root / "other.json", run.signer)
    before = again.read_bytes()
    assert write_certificate(run.certificate, {"all": run.root}, run.root, again, run.signer).read_bytes() == before
    with pytest.raises(LedgerError, match="never overwritten"):
        write_certificate(toys.certificate(notes={}), artefacts, run.root, again, run.signer)
    assert again.read_bytes() == before
    assert verify(again).ok


def test_artefacts_are_refused_before_anything_is_written(run, tmp_path):
    (tmp_path / "outside.txt").touch()
    (run.root / "empty").mkdir()
    linked = run.root / "linked"
    linked.mkdir()
    (linked / "away").symlink_to(tmp_path, target_is_directory=True)
    for artefact, message in (
        (run.root / "absent", "is missing"),
        (tmp_path / "outside.txt", "outside of the run"),
        (run.root / ".." / "outside.txt", "outside of the run"),
        (run.root / "empty", "empty folder"),
        (linked, "neither a file nor a plain folder"),
    ):
        path = run.root / "certificates" / "new.json"
        with pytest.raises(LedgerError, match=message):
            write_certificate(run.certificate, {"it": artefact}, run.root, path, run.signer)
        assert not path.exists()


def test_relative_paths_give_the_same_names(run, monkeypatch):
    monkeypatch.chdir(run.root / "models")
    names = digests({"model": Path("npo"), "report": Path("../report.html")}, Path(".."))
    assert list(names) == ["models/npo/config.json", "models/npo/model.safetensors", "report.html"]


def test_equal_certificates_are_equal_bytes(toys, run, tmp_path):
    other = toys.run(tmp_path / "second")
    first, second = (
        write_certificate(toys.certificate(), {"report": r.root / "report.html"}, r.root, r.root / "c.json", run.signer)
        for r in (run, other)
    )
    assert first.read_bytes() == second.read_bytes()


def test_a_measurement_that_is_no_number_can_be_certified(toys, run):
    odd = Measurement("auc", Estimate(math.nan, -math.inf, math.inf))
    path = certificate_path(run.root, "odd")
    write_certificate(toys.certificate(evidence=(odd,)), {"all": run.root}, run.root, path, run.signer)
    assert verify(path).ok


def test_verifying_loads_nothing_but_the_base_install(run):
    code = "import sys; from expunge.ledger.verify import verify; assert verify(sys.argv[1]).ok; print(*sys.modules)"
    command = [sys.executable, "-c", code, str(run.path)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "scipy", "transformers"} & set(loaded)
    assert not [name for name in loaded if name.startswith("expunge.") and name.split(".")[1] not in ("core", "ledger")]
