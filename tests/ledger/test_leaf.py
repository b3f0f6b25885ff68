"""Leaves: one spelling, a closed schema, and no place for text."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ExpungeError, LedgerError, UnknownName
from expunge.ledger import leaf as leaves
from expunge.ledger.leaf import COUNTERS, DIGESTS, LARGEST_COUNT, STATES, Entry, Kind, Leaf


def written(*fields):
    return Leaf(*fields).body()


DIGEST = "sha256:" + "ab" * 32
ACTOR = "ed25519:" + "cd" * 32
BODY = written(
    3,
    "2026-11-21T12:00:00Z",
    ACTOR,
    DIGEST,
    Entry("PLAN", "r_0123456789ab", digests={"plan": DIGEST}, counters={"records": 37}),
)
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
entries = st.sampled_from(Kind).flatmap(
    lambda kind: st.builds(
        Entry,
        st.just(kind.value),
        st.one_of(st.just(""), st.text("0123456789abcdef", min_size=12, max_size=12).map("r_{}".format)),
        st.sampled_from(sorted(STATES[kind])),
        st.dictionaries(st.sampled_from(sorted(DIGESTS)), hexes.map("sha256:{}".format)),
        st.dictionaries(st.sampled_from(sorted(COUNTERS)), st.integers(0, LARGEST_COUNT)),
    )
)


def changed(**fields):
    """The bytes of the leaf with fields of another value, spelled as they must be."""
    return rfc8785.dumps({**json.loads(BODY), **fields})


@given(entries, st.integers(0, 10**17))
def test_a_leaf_reads_back_and_is_its_rfc_8785_form(entry, seq):
    body = written(seq, "2026-11-21T12:00:00Z", ACTOR, DIGEST, entry)
    read = leaves.read(body)
    assert (read.seq, read.entry, read.body()) == (seq, entry, body)
    assert leaves.outline(body).said == leaves.spell(entry.body)
    assert body == rfc8785.dumps(json.loads(body))


@given(st.data())
def test_the_quick_check_accepts_what_the_whole_one_accepts(data):
    """Bytes one edit away from a leaf: a character changed, a piece dropped, doubled or moved."""
    body = data.draw(entries.map(lambda entry: written(7, "2026-11-21T12:00:00Z", ACTOR, DIGEST, entry)))
    one, two = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    byte = data.draw(st.sampled_from([b"", b"0", b",", b'"', b"}", b"a", b"A"]))
    edits = [body[:one] + byte + body[one + 1 :], body[:one] + body[two:], body[:two] + body[one:], body]
    comma = body.split(b",")
    edits.append(b",".join(data.draw(st.permutations(comma))))
    for edit in edits:
        said = []
        for accept in (leaves.read, leaves.outline):
            try:
                accept(edit)
                said.append(True)
            except LedgerError:
                said.append(False)
        assert said[0] == said[1]
    assert said[0] or edit != body


def test_numbers_are_decimal_strings():
    fields = json.loads(BODY)
    assert (fields["v"], fields["seq"], fields["counters"]) == ("1", "3", {"records": "37"})


TEXTS = ["Ada Lovelace", "ada@example.com", "+49 30 1234567", "r_0123456789AB", "é", "", "NONE ", 7, None, [], {}, True]


@pytest.mark.parametrize("field", ["v", "seq", "t", "actor", "prev", "kind", "state", "digests", "counters"])
@pytest.mark.parametrize("value", TEXTS, ids=repr)
def test_no_field_takes_text(field, value):
    if field in ("digests", "counters") and value == {}:
        return
    with pytest.raises(LedgerError, match="malformed leaf"):
        leaves.read(changed(**{field: value}))


@pytest.mark.parametrize("value", [v for v in TEXTS if v not in ("", "é")], ids=repr)
def test_no_request_takes_text(value):
    with pytest.raises(LedgerError, match="malformed leaf: request"):
        leaves.read(changed(request=value))


@given(st.text(), st.text())
def test_no_group_takes_text_as_a_name_or_a_value(name, value):
    for field, good, names in (("digests", DIGEST, DIGESTS), ("counters", "1", COUNTERS)):
        for group in ({name: good}, {"plan" if field == "digests" else "rows": value}):
            if not (set(group) <= names and set(group.values()) <= {good}) and not value.isdecimal():
                with pytest.raises(LedgerError, match="malformed leaf"):
                    leaves.read(changed(**{field: group}))


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.integers(), st.none()), min_size=1))
def test_no_field_can_be_added(more):
    if set(more) <= set(json.loads(BODY)):
        return
    with pytest.raises(LedgerError, match=r"malformed leaf: (fields|body)"):
        leaves.read(leaves.spell({**json.loads(BODY), **more}))


@pytest.mark.parametrize(
    "body",
    [
        BODY + b"\n",
        b" " + BODY,
        BODY.replace(b'"37"', b'"37","records":"38"'),
        BODY.replace(b"PLAN", b"\\u0050LAN"),
        BODY.replace(b"PLAN", "PLÄN".encode()),
        BODY[:-1],
        b"[]",
        b"",
        b"[" * 100_000,
    ],
    ids=range(9),
)
def test_another_spelling_is_refused(body):
    with pytest.raises(LedgerError, match="malformed leaf"):
        leaves.read(body)


@pytest.mark.parametrize("count", [-1, LARGEST_COUNT + 1, 1.5, True, "7", 4111111111111111])
def test_a_counter_counts(count):
    with pytest.raises(LedgerError, match="counter 'records'"):
        Entry("PLAN", counters={"records": count})


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ({"kind": "PLANS"}, "PLAN"),
        ({"kind": "PLAN", "state": "EXAKT"}, "EXACT"),
        ({"kind": "PLAN", "digests": {"plans": DIGEST}}, "plan"),
        ({"kind": "PLAN", "counters": {"record": 1}}, "records"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(arguments, near):
    with pytest.raises(UnknownName, match=f"Did you mean.*'{near}'"):
        Entry(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "PLAN", "state": "EXACT"},
        {"kind": "CERTIFICATE"},
        {"kind": "PLAN", "request": "user-4711"},
        {"kind": "PLAN", "digests": {"plan": "ada@example.com"}},
        {"kind": "PLAN", "digests": {"plan": DIGEST.upper()}},
    ],
)
def test_what_the_schema_lacks_is_never_written(arguments):
    with pytest.raises(ExpungeError):
        Entry(**arguments)
