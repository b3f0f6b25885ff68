"""Processes that wait for one another: how long, and what is said of one that did not come."""

from datetime import timedelta
from types import SimpleNamespace
from typing import ClassVar

import pytest
from accelerate.utils import InitProcessGroupKwargs

from expunge.core.errors import EvidenceError, StoreError, TargetError
from expunge.engine.parallel import PATIENCE, Processes
from expunge.engine.together import ProcessLost, _dealing, gathered, together
from expunge.objectives import nll, npo


class Joined:
    """What accelerate makes of a launch of one process; it keeps how it was asked."""

    distributed_type = SimpleNamespace(name="NO")
    num_processes, process_index, device = 1, 0, "cpu"
    asked: ClassVar[list] = []

    def __init__(self, kwargs_handlers=()):
        self.asked += [h.timeout for h in kwargs_handlers if isinstance(h, InitProcessGroupKwargs)]


def test_whoever_joins_the_processes_waits_as_long_as_the_first_may_take(monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator", Joined)
    monkeypatch.setattr(Joined, "asked", [])
    with together():
        Processes(1.0 * npo.bind(beta=0.1) + nll.bind().on("retain"))
    assert Joined.asked == [PATIENCE, PATIENCE] and timedelta(days=1) < PATIENCE, "the first to join decides"


def test_one_that_waited_in_vain_names_both_causes_and_no_attack_is_left_out_for_it(monkeypatch):
    def gone(own):
        raise RuntimeError("Timed out waiting 604800000ms for recv operation to complete")

    monkeypatch.setattr("accelerate.utils.gather_object", gone)
    with _dealing(0, 2), pytest.raises(ProcessLost, match="ended, or did not come within 7 days") as lost:
        gathered({0: 1.5})
    assert not isinstance(lost.value, (EvidenceError, StoreError, TargetError)), "these are reasons to skip an attack"
