"""Receipts: they verify offline, only as they were written, and only for the certificate that the log committed to."""

from __future__ import annotations

import json

import pytest
import rfc8785

from expunge.core.errors import LedgerError
from expunge.ledger import envelope, tree
from expunge.ledger import leaf as leaves
from expunge.ledger.checkpoint import cosign
from expunge.ledger.home_log import append
from expunge.ledger.keys import new_key
from expunge.ledger.leaf import Entry
from expunge.ledger.log import Log, log_path
from expunge.ledger.receipt import LogReceipt, certificate_entry, read_receipt, receipt_of, receipt_path
from expunge.ledger.trust import trust
from expunge.ledger.verify import NO_RECEIPT, verify


def logged(run, **changes):
    """Log the run's certificate as it is on disk and write the receipt beside it."""
    entry = certificate_entry(run.certificate, run.path.read_bytes())
    [seq] = append(run.home, [entry], once=True)
    with Log(log_path(run.home)) as log:
        receipt = receipt_of(log, seq)
    receipt_path(run.path).write_bytes(receipt.body())
    return receipt


def put(run, receipt):
    receipt_path(run.path).write_bytes(receipt.body())
    return verify(run.path)


def test_a_receipt_says_where_the_certificate_is_and_how_many_witnesses_there_are(run):
    append(run.home, [Entry("ADOPT")])
    receipt = logged(run)
    found = verify(run.path)
    assert found.ok
    assert found.receipt is not None
    assert (found.receipt.size, found.receipt.seq, found.receipt.witnesses) == (3, 2, 0)
    said = f"in the log of {receipt.checkpoint.origin} at size 3 as leaf 2, witnesses 0"
    assert any(line.startswith(said) for line in found.lines())
    assert found.lines()[-1] == "verified"
    assert read_receipt(receipt_path(run.path).read_bytes()) == receipt


def test_a_receipt_needs_neither_log_nor_home(run, tmp_path):
    logged(run)
    found = verify(run.path, key=run.signer.public, home=tmp_path / "nobody")
    assert found.ok
    assert found.receipt is not None
    assert not (tmp_path / "nobody").exists()


def test_a_receipt_stays_the_same_as_the_log_grows(run):
    receipt = logged(run)
    append(run.home, [Entry("ADOPT")] * 5)
    with Log(log_path(run.home)) as log:
        assert receipt_of(log, receipt.said.seq) == receipt


def test_no_receipt_is_said_and_is_not_fatal(run):
    found = verify(run.path)
    assert found.ok
    assert NO_RECEIPT in found.lines()


def test_witnesses_who_are_trusted_are_counted(run, tmp_path):
    receipt = logged(run)
    witness = new_key(tmp_path / "witness", "default.key")
    seen = cosign(receipt.checkpoint, "witness.example/w", 1_790_000_000, witness)
    cosigned = LogReceipt(receipt.leaf, receipt.path, seen)
    assert put(run, cosigned).receipt.witnesses == 0
    trust(run.home, witness.public, "Witness")
    found = put(run, cosigned)
    assert found.ok
    assert found.receipt.witnesses == 1
    assert any(line.endswith("witnesses 1") for line in found.lines())
    own = LogReceipt(receipt.leaf, receipt.path, cosign(receipt.checkpoint, "w", 1, run.signer))
    assert put(run, own).receipt.witnesses == 0


def test_a_changed_byte_of_a_receipt_is_never_taken(run):
    logged(run)
    path = receipt_path(run.path)
    body = path.read_bytes()
    for at in range(0, len(body), 7):
        changed = bytearray(body)
        changed[at] ^= 1
        path.write_bytes(bytes(changed))
        found = verify(run.path)
        assert not found.ok
        assert found.exit_code == 1
        assert any(problem.startswith("receipt: ") for problem in found.problems)
        assert NO_RECEIPT not in found.lines()
        assert found.lines()[-1] == "NOT verified"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b"{" * 100_000], ids=range(5))
def test_what_is_no_receipt_is_named(run, data):
    receipt_path(run.path).write_bytes(data)
    found = verify(run.path)
    assert not found.ok
    assert any("malformed receipt" in problem for problem in found.problems)


def test_the_receipt_of_another_leaf_or_kind_is_refused(run, toys, tmp_path):
    receipt = logged(run)
    [seq] = append(run.home, [Entry("ADOPT")])
    with Log(log_path(run.home)) as log:
        other = receipt_of(log, seq)
    assert put(run, other).problems == (f"receipt: leaf {seq} is a ADOPT, not a CERTIFICATE",)
    swapped = LogReceipt(receipt.leaf, other.path, other.checkpoint)
    assert "do not lead to the checkpoint's root" in put(run, swapped).problems[0]


def test_a_receipt_under_a_strange_key_is_refused(run, tmp_path):
    """Someone makes a log of their own, of the same leaves, with a key that the reader does not trust."""
    entry = certificate_entry(run.certificate, run.path.read_bytes())
    append(tmp_path / "strange", [entry])
    with Log(log_path(tmp_path / "strange")) as log:
        found = put(run, receipt_of(log, 1))
    assert found.problems == ("receipt: its checkpoint was changed, or is signed by a key that is not trusted here",)


def test_a_raised_guarantee_signed_again_by_the_same_key_contradicts_the_log(run, toys):
    """The evidence is made up, so the statement is consistent in itself; only the log knows that it was lower."""
    low = toys.certificate(evidence=(), assessment=None, policy=None)
    path = run.path.with_name("low.certificate.json")
    payload = json.loads(envelope.open_envelope(run.path.read_bytes()).payload)
    stated = json.loads(json.dumps(payload))
    stated["predicate"] = {**toys_predicate(low, run), "signers": payload["predicate"]["signers"]}
    path.write_bytes(envelope.sign(rfc8785.dumps(stated), run.signer))
    assert verify(path).ok
    [seq] = append(run.home, [certificate_entry(low, path.read_bytes())])
    with Log(log_path(run.home)) as log:
        receipt_path(path).write_bytes(receipt_of(log, seq).body())
    assert verify(path).ok
    path.write_bytes(run.path.read_bytes())
    found = verify(path)
    assert not found.ok
    assert "receipt: guarantee: the log committed to UNPROVEN, the certificate says EMPIRICAL" in found.problems
    assert "receipt: certificate file: not the digest that the log committed to" in found.problems
    assert f"{found.lines()[-1]}" == "NOT verified"


def toys_predicate(certificate, run):
    from expunge.ledger import statement

    return json.loads(statement.build(certificate, {}, run.signer.public))["predicate"]


def test_two_receipts_of_one_log_are_consistent(run):
    first = logged(run)
    append(run.home, [Entry("ADOPT")] * 3)
    with Log(log_path(run.home)) as log:
        second = receipt_of(log, 4)
        one, two = first.checkpoint, second.checkpoint
        path = log.consistency(one.size, two.size)
    assert tree.consistent(one.size, two.size, one.root, two.root, path)


def test_a_leaf_says_only_what_its_schema_allows(run):
    receipt = logged(run)
    changed = receipt.leaf.replace(b'"EMPIRICAL"', b'"Ada Lovelace"')
    data = json.loads(receipt.body())
    with pytest.raises(LedgerError, match="malformed leaf: state"):
        read_receipt(rfc8785.dumps({**data, "leaf": changed.decode()}))
    with pytest.raises(LedgerError, match="malformed leaf"):
        leaves.outline(changed)
