"""The contract of learners finds what it is there to find."""

import numpy as np
import pytest

from expunge.core.errors import StoreError
from expunge.targets.learners._rows import Rows
from expunge.targets.learners.nearest_centroid import NearestCentroid
from expunge.targets.learners.ridge import Ridge
from expunge.testing import learner_contract as contract


class KeepsSums(NearestCentroid):
    def _drop(self, X, y):
        pass


class KeepsOneInTen(Ridge):
    def _drop(self, X, y):
        if len(X) < 10:
            super()._drop(X, y)


class ChangesTheOld(NearestCentroid):
    def unlearn(self, ids):
        fresh = super().unlearn(ids)
        self.__dict__.update(fresh.__dict__)
        return fresh


class CopiesAll(NearestCentroid):
    def __getstate__(self):
        return dict(self.__dict__)


class KeepsNamesInItsState(NearestCentroid):
    gone = ()

    def unlearn(self, ids):
        fresh = super().unlearn(ids)
        fresh.gone = (*self.gone, *ids)
        return fresh

    def state(self):
        return super().state() | {"gone": list(self.gone)}


class IgnoresUnknownIds(NearestCentroid):
    def unlearn(self, ids):
        return super().unlearn([name for name in ids if name in self.ids_])


class DependsOnArrival(NearestCentroid):
    def _statistics(self):
        part = self._rows.parts[0]
        return super()._statistics() | {"first": part.block.ids[int(part.live.argmax())]}


class RemembersTheCount(NearestCentroid):
    def unlearn(self, ids):
        fresh = super().unlearn(ids)
        fresh.step, fresh._learned_with = self.step / 2, None
        return fresh


class AnswersWhenEmpty(NearestCentroid):
    def predict(self, X):
        return super().predict(X) if self._rows.parts else np.zeros(len(X))


class TakesAnIdTwice(NearestCentroid):
    def partial_fit(self, X, y=None, ids=None):
        try:
            return super().partial_fit(X, y, ids)
        except StoreError:
            self._rows = Rows()
            return self


BROKEN = {
    KeepsSums: "unlearned at once and never held",
    KeepsOneInTen: "unlearned at once and never held",
    ChangesTheOld: "unlearned one by one|no row|changed the learner",
    CopiesAll: "a copy holds something of an unlearned row",
    KeepsNamesInItsState: "states of|gone differs",
    IgnoresUnknownIds: "an unknown id is not refused",
    DependsOnArrival: "fitted in another order, unlearned: first differs",
    RemembersTheCount: "params differs",
    AnswersWhenEmpty: "predict answers where every row was unlearned",
    TakesAnIdTwice: "a held id learned again is not refused",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_learner_is_caught(broken):
    with pytest.raises((AssertionError, StoreError), match=BROKEN[broken]):
        contract.check_learner(broken)


def test_a_sound_learner_passes():
    contract.check_learner(lambda: NearestCentroid(exactness="1e-12"), seed=5)


def test_a_learner_of_floats_that_claims_bitwise_is_caught():
    X = np.random.default_rng(0).standard_normal((40, 3))
    y, ids = X.sum(axis=1), [str(i) for i in range(40)]
    one = Ridge(exactness="1e-12").fit(X, y, ids=ids).unlearn(["0", "1"])
    other = Ridge(exactness="1e-12").fit(X[2:], y[2:], ids=ids[2:])
    contract.hold_equal(one, other, X, "floats")
    for learner in (one, other):
        learner.exactness, learner._learned_with = "bitwise", None
    with pytest.raises(AssertionError, match=r"floats: (products|cross) differs"):
        contract.hold_equal(one, other, X, "floats")
