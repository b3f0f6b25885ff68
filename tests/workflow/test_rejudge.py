"""Judging again: nothing is earned by no verdict, and an attack that was run otherwise is unmeasured."""

from dataclasses import replace

import pytest

from expunge.core.errors import EvidenceError
from expunge.core.policy import Criterion, Policy, Verdict
from expunge.core.registry import attacks
from expunge.workflow.rejudge import Rejudged, _run_otherwise
from expunge.workflow.verbs import _pinned_attacks

ONE = Criterion("relearning", 0.1, ("FINETUNE", "LOGPROBS"))
MINE = Policy("mine", "1", (ONE,), 0.9)


def asking(**change):
    return replace(MINE, criteria=(replace(ONE, **change),))


def test_no_verdict_earns_nothing():
    assert not Rejudged(MINE, {}, {}).earned
    assert Rejudged(MINE, {"npo": Verdict("mine", "earned")}, {}).earned


@pytest.mark.parametrize(
    ("made", "asked", "unmeasured"),
    [
        (MINE, MINE, set()),
        (MINE, asking(budget="full"), {"relearning"}),
        (asking(budget="full"), MINE, {"relearning"}),
        (asking(budget="full"), asking(budget="full"), set()),
        (MINE, asking(settings="sha256:1"), {"relearning"}),
        (asking(settings="sha256:1"), MINE, set()),
    ],
)
def test_an_attack_at_another_budget_is_unmeasured(made, asked, unmeasured):
    assert _run_otherwise(made, asked) == unmeasured


def test_attacks_run_at_the_budget_of_the_policy_and_with_the_settings_that_it_pins():
    quick, full = (_pinned_attacks(asking(budget=b), ["relearning"])["relearning"] for b in ("quick", "full"))
    assert quick == attacks.get("relearning") and full != quick
    pinned = asking(settings=quick.digest())
    assert _pinned_attacks(pinned, ["relearning"])["relearning"] == quick
    with pytest.raises(EvidenceError, match="is not the attack that the policy mine asks for"):
        _pinned_attacks(replace(pinned, criteria=(replace(pinned.criteria[0], budget="full"),)), ["relearning"])
