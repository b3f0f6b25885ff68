"""A part with too few rows left for its model is silent: its records go all the same, as from scratch."""

import pytest

from expunge.core.errors import TargetError
from expunge.data.table import Table
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator
from expunge.engine.trainers.module import Module

CLASSES = (2, 5)
TRAINERS = {
    "qda": lambda nets: Estimator("sklearn.discriminant_analysis:QuadraticDiscriminantAnalysis", CLASSES),
    "lda": lambda nets: Estimator("sklearn.discriminant_analysis:LinearDiscriminantAnalysis", CLASSES),
    "calibrated": lambda nets: Estimator("sklearn.calibration:CalibratedClassifierCV", CLASSES, {"cv": 2}),
    "neighbours": lambda nets: Estimator("sklearn.neighbors:KNeighborsClassifier", CLASSES, {"algorithm": "brute"}),
    "module": lambda nets: Module(f"{nets}:dropping", CLASSES, {"inputs": 3, "outputs": 2}),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_deletion_is_not_refused_for_what_it_leaves_of_a_part(name, nets, table, forget):
    ids = table.ids()
    places = {one: (at % 2, (at // 2) % 2) for at, one in enumerate(ids)}
    recipe = SISA(TRAINERS[name](nets), shards=2, slices=2, epochs=2, partition="explicit", places=places, salt="ab")
    target = recipe.train(table, seed=3)
    first = [one for one in ids if places[one][0] == 0]
    label = dict(zip(ids, table.y.tolist(), strict=True))
    # Of one class a single row is left; of the part of the module one in all.
    left = [first[0], *([] if name == "module" else [next(one for one in first if label[one] != label[first[0]])])]
    outcome = forget(target, table, *(one for one in first if one not in left))
    assert list(outcome.notes["silent"]) == ["0"] and outcome.notes["silent"]["0"]
    never = recipe.recorded(outcome.target).train(table.rows(sorted(outcome.target.ids)), seed=3)
    assert outcome.target.digest() == never.digest()
    assert outcome.target.explain(table.X[:1])[0].silent == (0,)
    alone = target.outputs(table.X)[0][1]
    assert (outcome.target.predict_proba(table.X).argmax(1) == alone.argmax(1)).all(), "the other part answers alone"
    rest = forget(outcome.target, table.rows(sorted(outcome.target.ids)), left[0]).target
    assert left[0] not in rest.ids
    with pytest.raises(TargetError, match=r"no part of this model can answer. of part 0"):
        SISA(recipe.trainer, shards=1).train(table.rows(left), seed=3).predict(table.X)


def test_a_part_speaks_again_with_the_rows_of_a_later_slice(table):
    ids = table.ids()[:30]
    places = {one: (0, 0 if at < 1 else 1) for at, one in enumerate(ids)}
    trainer = Estimator("sklearn.neighbors:KNeighborsClassifier", CLASSES, {"algorithm": "brute"})
    recipe = SISA(trainer, shards=1, slices=2, epochs=2, partition="explicit", places=places, salt="ab")
    target = recipe.train(Table(ids, table.X[:30], table.y[:30]), seed=3)
    assert not target.why_silent(0) and target.predict(table.X).shape == (60,)
