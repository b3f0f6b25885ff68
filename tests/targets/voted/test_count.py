"""No crash, no second process and no second folder lets more answers be given than the budget."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import ClaimError, TargetError
from expunge.targets.voted.count import AnswerCount

ENDLESS = """
import sys
from pathlib import Path
from expunge.targets.voted.count import AnswerCount
count = AnswerCount(Path(sys.argv[1]))
while True:
    count.take(3, budget=10**6)
    print("...", end="", flush=True)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@settings(max_examples=40)
@given(
    budget=st.integers(1, 12),
    acts=st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["hand over", "hand over again", "open"])), max_size=12),
)
def test_whatever_happens_all_folders_together_give_no_more_than_the_budget(tmp_path_factory, budget, acts):
    root = tmp_path_factory.mktemp("count")
    folders = [root / "0"]
    AnswerCount.begin(folders[0])
    given_out = 0
    for act in acts:
        if act in ("hand over", "hand over again"):
            place = root / str(len(folders))
            place.mkdir()
            try:
                # Again: by somebody who still holds the folder before, with a token of his own.
                at = -1 if act == "hand over" else -2
                AnswerCount(folders[at] if len(folders) >= -at else folders[0]).hand_over(
                    place, place, token=place.name
                )
                folders.append(place)
            except ClaimError:
                place.rmdir()
            continue
        for folder in folders:
            number = 1 if act == "open" else act
            try:
                AnswerCount(folder).take(number, budget=budget)
                given_out += number
            except ClaimError:
                pass
        assert given_out <= budget
    assert AnswerCount(folders[-1]).given == given_out


def test_a_refused_question_costs_nothing(tmp_path):
    count = AnswerCount.begin(tmp_path)
    count.take(3, budget=5)
    with pytest.raises(ClaimError, match="3 are asked for, and 2 of 5 are left"):
        count.take(3, budget=5)
    count.take(2, budget=5)
    assert count.given == 5 and AnswerCount.begin(tmp_path).given == 5


def test_threads_do_not_race(tmp_path):
    count, taken = AnswerCount.begin(tmp_path), []

    def ask():
        for _ in range(50):
            try:
                AnswerCount(tmp_path).take(1, budget=100)
                taken.append(1)
            except ClaimError:
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == count.given == 100


def test_a_killed_process_has_counted_all_that_it_gave(tmp_path):
    AnswerCount.begin(tmp_path)
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = len(process.stdout.read(30))
        process.send_signal(signal.SIGKILL)
        seen += len(process.stdout.read())
    assert seen <= AnswerCount(tmp_path).given <= seen + 3


def test_a_killed_handing_over_is_done_again_and_another_is_refused(tmp_path):
    old, new, other = (tmp_path / name for name in ("old", "new", "other"))
    for folder in (old, new, other):
        folder.mkdir()
    count = AnswerCount.begin(old)
    count.take(4, budget=9)
    for _ in range(2):
        count.hand_over(new, new, token="mine")
    assert AnswerCount(new).given == 4 and count.handed_to == str(new)
    AnswerCount(new).take(2, budget=9)
    count.hand_over(new, other, token="mine")
    assert AnswerCount(other).given == 6
    (other / "answered.json").unlink()
    with pytest.raises(ClaimError, match="answers no more"):
        count.hand_over(other, other, token="theirs")
    with pytest.raises(ClaimError, match="answers no more"):
        count.take(1, budget=9)
    with pytest.raises(TargetError, match="nothing says how many answers"):
        AnswerCount(other)
