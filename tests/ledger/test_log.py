"""The log: appending, proving, two writers, killed writers, and its limits in time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from benchmarks import ledger as timing
from benchmarks import two_writers

from expunge.core.errors import LedgerError
from expunge.ledger import leaf as leaves
from expunge.ledger import tree
from expunge.ledger.check import check
from expunge.ledger.home_log import append
from expunge.ledger.keys import new_key
from expunge.ledger.leaf import NO_LEAF, Entry
from expunge.ledger.log import Log, log_path, origin_of


def plan(number):
    return Entry("PLAN", digests={"plan": f"sha256:{number:064x}"})


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_the_first_leaf_names_the_key_and_each_leaf_the_one_before(home):
    assert append(home, [plan(1), plan(2)]) == [1, 2]
    assert append(home, [plan(3)]) == [3]
    with Log(log_path(home)) as log:
        read = [leaves.read(body) for _, body in log.bodies()]
        assert [leaf.entry.kind for leaf in read] == ["KEY", "PLAN", "PLAN", "PLAN"]
        assert [leaf.prev for leaf in read] == [
            NO_LEAF,
            *(f"sha256:{tree.leaf_hash(log.body(n)).hex()}" for n in range(3)),
        ]
        owner = log.owners()[0][1]
        assert read[0].entry.digests["key"][7:] == owner.keyid[8:]
        assert log.origin == origin_of(owner.keyid) == log.checkpoint().origin
        assert [size for size, _ in log.checkpoints()] == [1, 3, 4]
        assert check(log).problems == ()
        assert (home / "ledger").stat().st_mode & 0o777 == 0o700
        assert log.path.stat().st_mode & 0o777 == 0o600


def test_the_same_is_appended_once_where_that_is_asked(home):
    assert append(home, [plan(1), plan(2)], once=True) == [1, 2]
    assert append(home, [plan(2), plan(3), plan(1)], once=True) == [2, 3, 1]
    assert append(home, [plan(2), plan(2)], once=True) == [2, 2]
    assert append(home, [plan(2)]) == [4]
    assert append(home, [plan(7), plan(1), plan(7)], once=True) == [5, 1, 5]
    with Log(log_path(home)) as log:
        assert [size for size, _ in log.checkpoints()] == [1, 3, 4, 5, 6]


def test_every_leaf_and_every_prefix_is_proved(home):
    append(home, [plan(n) for n in range(12)])
    for n in range(7):
        append(home, [plan(100 + n)])
    with Log(log_path(home)) as log:
        last = log.checkpoint()
        assert last.size == log.size == 20
        for seq in range(20):
            path = log.inclusion(seq, 20)
            assert tree.includes(tree.leaf_hash(log.body(seq)), seq, 20, path, last.root)
        assert two_writers.prefixes(log) == 20


def test_another_key_is_refused_and_changes_nothing(home, tmp_path):
    append(home, [plan(1)])
    before = log_path(home).read_bytes()
    with Log(log_path(home)) as log, pytest.raises(LedgerError, match="belongs to another key"):
        log.append([plan(2)], new_key(tmp_path / "other", "default.key"))
    assert log_path(home).read_bytes() == before


def test_an_entry_that_fails_leaves_no_part_of_its_batch(home, monkeypatch):
    append(home, [plan(1)])
    push, seen = tree.Frontier.push, []

    def failing(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            raise LedgerError("refused")
        return push(*arguments)

    monkeypatch.setattr(tree.Frontier, "push", failing)
    with pytest.raises(LedgerError, match="refused"):
        append(home, [plan(n) for n in range(2, 6)])
    with Log(log_path(home)) as log:
        assert log.size == 2
        assert check(log).problems == ()


def test_there_is_no_log_before_the_first_leaf(home):
    with pytest.raises(LedgerError, match="there is no log"):
        Log(log_path(home))
    assert not home.exists()
    other = home / "ledger" / "log.db"
    other.parent.mkdir(parents=True, mode=0o700)
    other.write_text("something else, long enough to be no database at all" * 20)
    with pytest.raises(LedgerError, match=r"cannot open the log|is no log"):
        Log(other)


def test_two_writers_lose_no_leaf_and_every_prefix_verifies(home):
    found = two_writers.run(3, home)
    assert min(found["leaves"]) > 0
    assert found["prefixes"] == 1 + sum(found["leaves"])


def test_writers_that_find_no_log_make_one(tmp_path):
    writers = 40
    for number in range(5):
        home, start = tmp_path / str(number), threading.Barrier(writers)

        def write(home=home, start=start):
            start.wait()
            return append(home, [])

        with ThreadPoolExecutor(writers) as pool:
            assert [f.result() for f in [pool.submit(write) for _ in range(writers)]] == [[]] * writers
        with Log(log_path(home)) as log:
            assert log.size == 1
            assert check(log).problems == ()


@contextmanager
def half_made(home):
    """Another process between its first write to a new log and the end of its switch, whose lock it holds."""
    path = log_path(home)
    path.parent.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_processes_that_find_no_log_wait_for_the_one_that_makes_it(tmp_path):
    line = (
        "import sys; from pathlib import Path; from expunge.ledger.home_log import append; "
        "print('ready', flush=True); sys.stdin.read(1); append(Path(sys.argv[1]), [])"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with half_made(tmp_path / "home") as other:
        started = [subprocess.Popen([sys.executable, "-c", line, str(tmp_path / "home")], **pipes) for _ in range(4)]
        for process in started:
            process.stdout.readline()
        for process in started:
            process.stdin.write(b"x")
            process.stdin.flush()
        time.sleep(0.3)
        assert [process.poll() for process in started] == [None] * len(started), "nobody gives up, nobody passes"
        other.execute("ROLLBACK")
        told = [process.communicate()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * len(started), told
    with Log(log_path(tmp_path / "home")) as log:
        assert log.size == 1
        assert check(log).problems == ()


def test_a_new_log_that_another_never_lets_go_of_is_an_error_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.ledger.log.PATIENCE", 0.05)
    with half_made(tmp_path / "home"), pytest.raises(LedgerError, match="database is locked"):
        Log(log_path(tmp_path / "home"), create=True)


def test_a_killed_writer_leaves_nothing_half_appended(home):
    append(home, [])
    most = 40
    for wait in (0.05, 0.2, 0.3):
        writer = two_writers.start(home, 3, 60, most=most)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        writer.stdout.close()
        assert writer.wait() == -signal.SIGKILL
        with Log(log_path(home)) as log:
            found = check(log)
            assert found.problems == ()
            assert found.last is not None
            assert found.last.size == found.size > 1
    assert append(home, [plan(1)]) == [found.size]


def test_a_writer_that_dies_before_it_commits_has_written_nothing(home):
    append(home, [plan(1)])
    line = (
        "import os, sys; from pathlib import Path; from expunge.ledger.log import Log, log_path; "
        "from expunge.ledger.home_log import signer_of; from expunge.ledger.leaf import Entry\n"
        "home = Path(sys.argv[1]); log = Log(log_path(home))\n"
        "with log.writing():\n"
        "    log.append_within([Entry('ADOPT')] * 5000, signer_of(home, log)); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", line, str(home)], check=False).returncode == 9
    with Log(log_path(home)) as log:
        assert log.size == 2
        assert check(log).problems == ()
    assert append(home, [plan(2)]) == [2]


def test_ten_thousand_leaves_stay_within_the_limits(tmp_path):
    """A hundredth of the limits of a million leaves, in processor time: others use this machine too."""
    found = timing.measure(10_000, tmp_path, clock=time.process_time)
    assert found["append_per_s"] >= 5000
    assert found["proof_ms"] < 5
    assert found["check_s"] < 0.6
