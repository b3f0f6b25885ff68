"""The original's own states cost its answers nothing; strange ones cost them all they are worth."""

import numpy as np
import pytest

from expunge.attacks.patching_depth import patched_falls, patching_depth
from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.engine.score import score
from expunge.metrics.loss import loss
from expunge.testing.toy import toy_model, toy_selection

FORGET = toy_selection().forget
ALL = Access.all()


def run(target, original):
    return patching_depth.run(target.oracle(ALL), FORGET, seed=0, original=original.oracle(ALL))


def test_the_originals_own_states_leave_its_answers_as_they_are(knowing):
    rows = run(knowing.clone(), knowing)
    assert [row["depth"] for row in rows] == pytest.approx([0] * len(FORGET), abs=1e-5)
    assert [row["fall_1"] for row in rows] == pytest.approx([0] * len(FORGET), abs=1e-5)


def test_patching_the_last_layer_lets_the_originals_head_read_the_other_model(knowing):
    # Where the head and the norm are the same, that is the other model's own answer.
    other = knowing.clone()
    for parameter in other.facts.decoder_layers(other.model)[0].parameters():
        parameter.data *= 0.5
    falls = patched_falls(other, knowing, FORGET)
    want = loss.of(score(knowing, FORGET, loss.needs)) - loss.of(score(other, FORGET, loss.needs))
    assert falls[:, -1] == pytest.approx(want, rel=1e-4, abs=1e-5)
    # Above the changed layer the two models are one: it matters nowhere where the exchange is made.
    assert falls[:, 0] == pytest.approx(falls[:, 1], rel=1e-4, abs=1e-5)


def test_a_fall_does_not_depend_on_what_a_record_is_batched_with(knowing, unknowing):
    together = patched_falls(unknowing, knowing, FORGET)
    alone = [patched_falls(unknowing, knowing, FORGET[i : i + 1]) for i in range(len(FORGET))]
    assert together == pytest.approx(np.concatenate(alone), rel=1e-3, abs=1e-4)


def test_less_is_kept_of_a_model_that_never_knew(knowing, unknowing):
    rows = run(unknowing, knowing)
    kept = np.array([row["outcome"] for row in rows])
    assert np.mean(kept) < 0.6 and (kept >= 0).all() and (kept <= 1).all()
    for row in rows:
        falls = [row["fall_1"], row["fall_2"]]
        assert row["outcome"] == pytest.approx(np.mean([min(1, np.exp(-fall)) for fall in falls]))
        assert row["depth"] == pytest.approx(1 - row["outcome"])


def test_states_of_another_size_are_refused(knowing):
    with pytest.raises(EvidenceError, match="cannot be compared"):
        run(toy_model(), knowing)
