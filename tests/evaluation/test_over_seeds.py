"""Tables of several seeds: models are paired within a seed, and what a seed lacks is read at the others."""

import numpy as np
import pytest

from expunge.core.errors import EvidenceError
from expunge.core.measure import SHADOWS
from expunge.core.policy import Criterion, Policy
from expunge.evaluation.assess import assess
from expunge.evaluation.over_seeds import over_seeds, partly_measured, seeds_with
from expunge.evaluation.per_item import PerItem, left_out

IDS = [f"r{i}" for i in range(8)]
POLICY = Policy("p", "1", (Criterion("alias", 0.1, ("TEXT",)),), utility_floor=0.9)
WHO = ("model", "reference", "original")


def table(value):
    return {"ids": IDS, "subjects": IDS, "outcome": np.full(len(IDS), value)}


def measured(lacking=()):
    """Three seeds; at seed s the outcome of a model is its place, tenfold, plus s."""
    found = {}
    for place, who in enumerate(WHO):
        found[who] = [
            {"forget": table(0.0), **({} if (who, seed) in lacking else {"alias": table((10 * place + seed) / 100)})}
            for seed in range(3)
        ]
    return found


def difference(found):
    (compared,) = assess(over_seeds(found), POLICY, draws=50).assessment.comparisons
    return compared.difference


def test_all_seeds_are_read_where_all_have_it():
    assert difference(measured()).seeds == 3 and partly_measured(measured()) == {}
    assert difference(measured()).value == pytest.approx(-0.1)


@pytest.mark.parametrize("lacking", [{("model", 1)}, {("reference", 1)}, {(who, 1) for who in WHO}])
def test_a_seed_at_which_one_model_lacks_it_counts_for_none(lacking):
    found = measured(lacking)
    assert seeds_with(found)["alias"] == [0, 2] and seeds_with(found)["forget"] == [0, 1, 2]
    pooled = over_seeds(found)
    assert [t["outcome"][0] for t in pooled["model"]["alias"]] == [0.0, 0.02]
    assert difference(found).seeds == 2 and difference(found).value == pytest.approx(-0.1), "pairs of one seed"


def test_what_no_seed_has_for_every_model_is_unmeasured_and_the_reason_is_kept():
    lacking = {("model", 0), ("reference", 1), ("original", 2)}
    found = measured(lacking)
    found["model"][0]["left_out"] = left_out({"alias": "no question names a subject"})
    assert assess(over_seeds(found), POLICY, draws=50).assessment.skipped[0][0] == "alias"
    assert partly_measured(found) == {"alias": {"at": [], "why": ["no question names a subject"]}}


def test_a_model_that_never_has_it_takes_it_from_nobody():
    found = measured({("model", seed) for seed in range(3)})
    assert seeds_with(found)["alias"] == [0, 1, 2] and "alias" not in over_seeds(found)["model"]
    assert PerItem(over_seeds(found)).values("reference", "alias", "outcome").shape == (3, len(IDS))


def test_tables_of_one_seed_stay_as_they_are():
    found = {who: tables[:1] for who, tables in measured({("model", 0)}).items()}
    assert over_seeds(found) == {who: tables[0] for who, tables in found.items()}


def test_shadow_models_and_what_was_measured_once_serve_every_seed():
    found = measured({("model", 1)})
    found |= {"original": found["original"][:1], SHADOWS[0]: [{"forget": table(s / 8)} for s in range(4)]}
    pooled = over_seeds(found)
    assert len(pooled[SHADOWS[0]]["forget"]) == 4 and pooled["original"] == found["original"][0]
    assert len(pooled["reference"]["alias"]) == 2
    with pytest.raises(EvidenceError, match="number of seeds"):
        over_seeds({**measured(), "reference": measured()["reference"][:2]})
