"""Rotating the key: what the old one signed still verifies, and a rotation cut short is finished or undone."""

from __future__ import annotations

import pytest

from expunge.ledger import home_log
from expunge.ledger.check import check
from expunge.ledger.home_log import NEXT, append, note_trust, rotate
from expunge.ledger.keys import ensure_key
from expunge.ledger.leaf import Entry, read
from expunge.ledger.log import Log, key_digest, log_path
from expunge.ledger.receipt import certificate_entry, receipt_of, receipt_path
from expunge.ledger.trust import find_trusted, trusted_keys, untrust
from expunge.ledger.verify import verify


def state(home):
    with Log(log_path(home)) as log:
        found = check(log)
        assert found.problems == ()
        return found.size, [key.keyid for _, key in log.owners()]


def test_what_the_old_key_signed_still_verifies(run):
    [seq] = append(run.home, [certificate_entry(run.certificate, run.path.read_bytes())])
    with Log(log_path(run.home)) as log:
        receipt_path(run.path).write_bytes(receipt_of(log, seq).body())
    for _ in range(2):
        old, new = rotate(run.home)
        assert ensure_key(run.home).keyid == new.keyid != old.keyid
        assert find_trusted(run.home, old.keyid)
        append(run.home, [Entry("ADOPT")])
        assert verify(run.path).ok
        assert verify(run.path).receipt is not None
    size, keys = state(run.home)
    assert (size, len(set(keys))) == (6, 3)


def test_a_rotation_is_a_leaf_that_the_old_key_signs(tmp_path):
    home = tmp_path / "home"
    append(home, [])
    old, new = rotate(home)
    with Log(log_path(home)) as log:
        entry, last = read(log.body(1)).entry, log.checkpoint()
        assert (entry.kind, entry.state) == ("KEY", "ROTATED")
        assert entry.digests == {"before": key_digest(old), "key": key_digest(new)}
        assert last.signed_by(old)
        assert not last.signed_by(new)
    append(home, [Entry("ADOPT")])
    with Log(log_path(home)) as log:
        assert log.checkpoint().signed_by(new)
    assert b"PRIVATE" in (home / "keys" / "default.key").read_bytes()
    assert sorted(p.name for p in (home / "keys").iterdir()) == ["default.key"]


@pytest.mark.parametrize("written", [False, True])
def test_a_rotation_cut_short_is_undone_or_finished(tmp_path, monkeypatch, written):
    home = tmp_path / "home"
    append(home, [])
    old = ensure_key(home)
    calls = []

    class Killed(BaseException):
        pass

    def cut(*arguments):
        calls.append(arguments)
        if len(calls) == (2 if written else 1):
            raise Killed
        return real(*arguments)

    with monkeypatch.context() as patch:
        if written:
            real = home_log.signer_of
            patch.setattr(home_log, "signer_of", cut)
        else:
            real = Log.rotate_within
            patch.setattr(Log, "rotate_within", cut)
        with pytest.raises(Killed):
            rotate(home)
    assert (home / "keys" / NEXT).exists()
    assert ensure_key(home).keyid == old.keyid
    append(home, [Entry("ADOPT")])
    assert not (home / "keys" / NEXT).exists()
    size, keys = state(home)
    assert keys[-1] == ensure_key(home).keyid
    assert (size, len(keys)) == ((3, 2) if written else (2, 1))


def test_a_signer_who_was_trusted_no_longer_is_unknown(run):
    keyid = run.signer.keyid
    assert [key.keyid for key in trusted_keys(run.home)] == [keyid]
    assert untrust(run.home, keyid)
    assert not untrust(run.home, keyid)
    note_trust(run.home, keyid, trusted=False)
    assert trusted_keys(run.home) == []
    assert verify(run.path).signer == "UNKNOWN"
    with Log(log_path(run.home)) as log:
        assert read(log.body(1)).entry.state == "UNTRUSTED"
