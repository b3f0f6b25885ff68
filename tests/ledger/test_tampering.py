"""Every way to tamper with a log is detected, and the message says what was tampered with."""

from __future__ import annotations

import gc
import shutil
import sqlite3
from types import SimpleNamespace

import pytest

from expunge.core.errors import LedgerError
from expunge.ledger import checkpoint as notes
from expunge.ledger import tree
from expunge.ledger.check import check
from expunge.ledger.home_log import append, rotate, signer_of
from expunge.ledger.keys import new_key
from expunge.ledger.leaf import Entry, read, spell
from expunge.ledger.log import Log, log_path, mark, place

SIZES = (1, 2, 4, 5, 8, 9, 10)
"""Of the checkpoints below."""


def plan(number):
    return Entry("PLAN", digests={"plan": f"sha256:{number:064x}"})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("made") / "home"
    number = 0
    for count in (1, 2, 1, 3, 1, 1):
        append(home, [plan(number + i) for i in range(count)])
        number += count
    return home


@pytest.fixture
def log(made, tmp_path):
    """A copy of the log, with its file open to an attacker."""
    shutil.copytree(made, tmp_path / "home")
    home = tmp_path / "home"
    db = sqlite3.connect(log_path(home), isolation_level=None)

    def problems(**against):
        with Log(log_path(home)) as opened:
            return check(opened, against).problems

    def body(seq):
        return db.execute("SELECT body FROM leaves WHERE seq = ?", (seq,)).fetchone()[0]

    def last():
        with Log(log_path(home)) as opened:
            return opened.checkpoint()

    def signer():
        with Log(log_path(home)) as opened:
            return signer_of(home, opened)

    yield SimpleNamespace(home=home, run=db.execute, problems=problems, body=body, last=last, signer=signer)
    db.close()


def rehash(log, *, sign=None):
    """Make every mark and node, and with a key every checkpoint, fit the leaves that are there now."""
    edge, nodes, roots = tree.Frontier(), [], {}
    for seq, (body,) in enumerate(log.run("SELECT body FROM leaves ORDER BY seq").fetchall()):
        made = edge.push(tree.leaf_hash(body))
        nodes += [(place(level, seq >> level), value) for level, value in made]
        roots[seq + 1] = edge.root()
        log.run("UPDATE leaves SET mark = ? WHERE seq = ?", (mark(spell(read(body).entry.body)), seq))
    log.run("DELETE FROM nodes")
    for row in nodes:
        log.run("INSERT INTO nodes VALUES (?, ?)", row)
    if sign is not None:
        for size, text in log.run("SELECT size, note FROM checkpoints").fetchall():
            again = notes.sign(notes.parse(text).origin, size, roots[size], sign)
            log.run("UPDATE checkpoints SET note = ? WHERE size = ?", (str(again.note), size))


def relink(log, start):
    """Write ``prev`` of the leaves from a place on anew."""
    for seq in range(start, log.run("SELECT count(*) FROM leaves").fetchone()[0]):
        prev = f"sha256:{tree.leaf_hash(log.body(seq - 1)).hex()}".encode()
        old = read(log.body(seq)).prev.encode()
        log.run("UPDATE leaves SET body = ? WHERE seq = ?", (log.body(seq).replace(old, prev), seq))


def edit(log, seq, old, new):
    changed = log.body(seq).replace(old, new)
    assert changed != log.body(seq)
    log.run("UPDATE leaves SET body = ? WHERE seq = ?", (changed, seq))


def test_an_untouched_log_verifies(log):
    assert log.problems(now=log.last()) == ()
    with Log(log_path(log.home)) as opened:
        assert tuple(size for size, _ in opened.checkpoints()) == SIZES


@pytest.mark.parametrize("seq", range(10))
def test_any_flipped_byte_of_any_leaf_names_the_leaf(log, seq):
    body = log.body(seq)
    for at in range(0, len(body), 31):
        flipped = bytearray(body)
        flipped[at] ^= 1
        log.run("UPDATE leaves SET body = ? WHERE seq = ?", (bytes(flipped), seq))
        problems = log.problems()
        assert any(problem.startswith(f"leaf {seq} was changed") for problem in problems), (at, problems)
    log.run("UPDATE leaves SET body = ? WHERE seq = ?", (body, seq))
    assert log.problems() == ()


def test_a_changed_leaf_that_fits_the_schema_and_the_tree_is_named_by_the_next(log):
    edit(log, 4, b"0003", b"0007")
    rehash(log)
    problems = log.problems()
    assert problems[0] == (
        "checkpoint of size 5: its root is not that of the first 5 leaves: a leaf was changed and hashed again"
    )
    assert "leaf 5 does not follow leaf 4: one of them was changed" in problems
    relink(log, 5)
    rehash(log)
    assert [p.partition(":")[0] for p in log.problems()] == [f"checkpoint of size {n}" for n in (5, 8, 9, 10)]


@pytest.mark.parametrize("seq", range(10))
def test_a_dropped_leaf_is_named(log, seq):
    log.run("DELETE FROM leaves WHERE seq = ?", (seq,))
    said = log.problems()
    if seq == 9:
        assert said[0] == "checkpoint of size 10, but the log has 9 leaves: its tail was cut"
    else:
        assert said == (f"leaf {seq} is missing: it was dropped",)


def test_a_dropped_leaf_is_seen_when_the_gap_is_closed(log):
    log.run("DELETE FROM leaves WHERE seq = 4")
    for seq in range(5, 10):
        log.run("UPDATE leaves SET seq = ? WHERE seq = ?", (seq - 1, seq))
    rehash(log)
    assert log.problems()[0] == "leaf 4 says that it is leaf 5: leaves were swapped or moved"


def test_swapped_leaves_are_named(log):
    for before, after in ((3, -1), (6, 3), (-1, 6)):
        log.run("UPDATE leaves SET seq = ? WHERE seq = ?", (after, before))
    problems = log.problems()
    for at, found in ((3, 6), (6, 3)):
        assert f"leaf {at} says that it is leaf {found}: leaves were swapped or moved" in problems
        assert f"leaf {at} was changed: its hash is not the one in the tree" in problems


@pytest.mark.parametrize("kept", [1, 4, 8, 9])
def test_a_cut_tail_is_named(log, kept):
    old = log.last()
    log.run("DELETE FROM leaves WHERE seq >= ?", (kept,))
    first = next(size for size in SIZES if size > kept)
    assert f"checkpoint of size {first}, but the log has {kept} leaves: its tail was cut" in log.problems()
    log.run("DELETE FROM checkpoints WHERE size > ?", (kept,))
    assert f"the tree has more nodes than {kept} leaves give: the tail was cut" in log.problems()
    rehash(log)
    assert log.problems() == ()
    assert log.problems(old=old) == (
        f"old, a checkpoint of size 10, is newer than the log, which has {kept} leaves: "
        "it was rolled back, or its tail was cut",
    )


def test_a_leaf_that_no_checkpoint_holds_is_named(log):
    log.run("DELETE FROM checkpoints WHERE size = 10")
    assert log.problems()[0].startswith("no checkpoint holds the last of the 10 leaves")


def test_a_checkpoint_signed_with_another_key_is_named(log, tmp_path):
    other = new_key(tmp_path / "other", "default.key")
    rehash(log, sign=other)
    problems = log.problems()
    for size in SIZES:
        assert (
            f"checkpoint of size {size} was changed or re-signed: it is not signed with the log's key at that size"
            in problems
        )
    log.run("UPDATE keys SET public = ?", (other.public.raw,))
    assert log.problems()[0] == "the public key that leaf 0 names is missing"


def test_a_changed_signature_size_or_origin_of_a_checkpoint_is_named(log):
    [text] = log.run("SELECT note FROM checkpoints WHERE size = 5").fetchone()
    for changed in (
        text[:-6] + "AAA=\n",
        text.replace("\n5\n", "\n4\n"),
        text.replace("expunge/", "other/"),
        text[:50],
    ):
        log.run("UPDATE checkpoints SET note = ? WHERE size = 5", (changed,))
        [problem] = log.problems()
        assert problem.startswith("checkpoint of size 5 was changed")


@pytest.mark.parametrize(("level", "index"), [(1, 0), (1, 4), (2, 1), (3, 0)])
def test_a_changed_node_is_named_and_fails_proofs(log, level, index):
    log.run("UPDATE nodes SET hash = ? WHERE place = ?", (b"\x07" * 32, place(level, index)))
    assert log.problems() == (f"node {index} of level {level} was changed: it is not the hash of its children",)
    with Log(log_path(log.home)) as opened:
        seqs, last = range(10), opened.checkpoint()
        proved = [
            tree.includes(tree.leaf_hash(opened.body(seq)), seq, 10, opened.inclusion(seq, 10), last.root)
            for seq in seqs
        ]
    assert not all(proved)


def test_a_missing_node_is_named(log):
    log.run("DELETE FROM nodes WHERE place = ?", (place(1, 2),))
    assert log.problems()[0].startswith("node 2 of level 1 was changed")
    with Log(log_path(log.home)) as opened, pytest.raises(LedgerError, match="node 2 of level 1 is missing"):
        opened.inclusion(7, 8)


def test_a_fork_is_named_by_whoever_holds_the_other_history(log, tmp_path):
    """The operator restores a copy and lets it grow otherwise; the log's own key signs both."""
    fork = tmp_path / "fork"
    shutil.copytree(log.home, fork)
    append(log.home, [plan(500)])
    append(fork, [plan(501)])
    with Log(log_path(fork)) as opened:
        assert check(opened).problems == ()
        theirs = opened.checkpoint()
    assert theirs.size == log.last().size
    expected = "is of another history: the log's key signed both, so it was forked or rewritten"
    assert log.problems(theirs=theirs) == (f"theirs, a checkpoint of size 11, {expected}",)
    append(log.home, [plan(502)])
    assert log.problems(theirs=theirs) == (f"theirs, a checkpoint of size 11, {expected}",)


def test_a_history_rewritten_and_signed_anew_is_named_by_an_old_checkpoint(log):
    old = log.last()
    edit(log, 2, b"0001", b"0009")
    relink(log, 3)
    rehash(log, sign=log.signer())
    assert log.problems() == ()
    assert "forked or rewritten" in log.problems(old=old)[0]


def test_an_old_copy_put_back_is_named_by_a_newer_checkpoint(log, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(log.home, old)
    append(log.home, [plan(1000)])
    newer = log.last()
    with Log(log_path(old)) as opened:
        assert check(opened).problems == ()
        [problem] = check(opened, {"kept": newer}).problems
    assert problem == (
        "kept, a checkpoint of size 11, is newer than the log, which has 10 leaves: "
        "it was rolled back, or its tail was cut"
    )


def test_the_checkpoint_of_another_log_or_key_is_none_of_this_one(log, tmp_path):
    append(tmp_path / "other", [plan(1)])
    with Log(log_path(tmp_path / "other")) as opened:
        other = opened.checkpoint()
    assert "is of another log" in log.problems(other=other)[0]
    key = new_key(tmp_path / "third", "default.key")
    for size, said in ((5, "is not signed with this log's key at that size"), (50, "is not signed with a key of this")):
        forged = notes.sign(log.last().origin, size, b"\x01" * 32, key)
        assert said in log.problems(forged=forged)[0]


def test_nothing_is_appended_to_what_was_tampered_with(log):
    log.run("UPDATE nodes SET hash = ? WHERE place = ?", (b"\x07" * 32, place(3, 0)))
    with pytest.raises(LedgerError, match=r"does not end as its last checkpoint says.*tampered"):
        append(log.home, [plan(1)])
    rehash(log)
    edit(log, 9, b"PLAN", b"ADOPT")
    with pytest.raises(LedgerError, match="leaf 9 was changed"):
        append(log.home, [plan(1)])


def test_a_retired_key_signs_nothing_anymore(log):
    old = log.signer()
    before, after = rotate(log.home)
    append(log.home, [plan(7)])
    assert log.problems() == ()
    assert (before.raw, after.raw) == (old.public.raw, log.signer().public.raw)
    last = log.last()
    forged = notes.sign(last.origin, last.size, last.root, old)
    log.run("UPDATE checkpoints SET note = ? WHERE size = ?", (str(forged.note), last.size))
    assert "is not signed with the log's key at that size" in log.problems()[0]


def test_a_key_that_no_leaf_names_is_named(log, tmp_path):
    log.run("INSERT INTO keys VALUES (99, ?)", (new_key(tmp_path / "other", "default.key").public.raw,))
    assert log.problems() == ("the kept public keys are not those that the leaves name",)


def test_a_log_without_its_beginning_is_named(log):
    edit(log, 0, b"CREATED", b"ROTATED")
    rehash(log)
    assert log.problems()[0] == "leaf 0 does not name the log's first key: the beginning was cut or changed"


@pytest.mark.parametrize("changed", [0, "x", None])
def test_a_changed_mark_is_named_before_leaves_are_written_twice(log, changed):
    if changed is None:
        log.run("UPDATE leaves SET mark = (SELECT mark FROM leaves WHERE seq = 5) WHERE seq = 7")
    else:
        log.run("UPDATE leaves SET mark = ? WHERE seq = 7", (changed,))
    assert log.problems() == ("mark of leaf 7 was changed: the leaf would not be found, and could be written again",)
    said = read(log.body(7)).entry
    assert append(log.home, [said], once=True) == [10]


@pytest.mark.parametrize("damage", ["DROP TABLE leaves", "UPDATE keys SET public = x'07'", "DROP TABLE checkpoints"])
def test_a_damaged_file_is_one_error_and_nothing_is_left_open(log, damage):
    append(log.home, [plan(77)])
    log.run(damage)
    with pytest.raises(LedgerError), Log(log_path(log.home)) as opened, opened.snapshot():
        check(opened)
    # A generator that raises while it is collected is a warning, and warnings are errors.
    gc.collect()
