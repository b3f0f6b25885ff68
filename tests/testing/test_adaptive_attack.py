"""Who sees the parts can ask for deletions that give an exact deletion away; who has noisy votes alone cannot."""

from functools import partial

import numpy as np
import pytest

from expunge.core.errors import ConfigError
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator
from expunge.methods.exact.sisa import sisa
from expunge.testing.adaptive_attack import Setting, best_test, chances, games, on_votes
from expunge.testing.games import play

ROWS = 12


@pytest.fixture(scope="module")
def played():
    return games(Setting())


def test_exact_deletion_holds_for_fixed_requests_and_fails_for_those_that_look(played):
    assert not played["fixed"].beaten
    assert played["seen"].beaten and played["seen"].margin > 0.95
    assert played["seen_far"].beaten
    assert min(game.plays for game in played.values()) >= 20_000


def test_counts_of_votes_give_it_away_and_noisy_votes_do_not(played):
    assert played["counted"].beaten and played["counted"].epsilon == played["voted"].epsilon == Setting().stated()
    assert not played["voted"].beaten


def test_the_tightest_case_holds_and_half_of_its_noise_is_caught(played):
    assert not played["tight"].beaten and played["tight_halved"].beaten


def test_the_best_test_finds_votes_with_little_noise_and_what_is_stated_still_holds():
    weak = Setting(shards=2, answers=20, epsilon=2.0)
    worlds = [on_votes(weak, anew=anew) for anew in (False, True)]
    run = partial(play, *worlds, seed=3, log_ratio=partial(best_test, weak), delta=0.0)
    assert run(epsilon=0.2).beaten and not run(epsilon=weak.stated()).beaten


def test_a_lone_vote_is_drowned_even_by_little_noise():
    loud = Setting(epsilon=2.0)
    worlds = [on_votes(loud, anew=anew) for anew in (False, True)]
    test = partial(best_test, loud)
    assert loud.stated() == 40 and not play(*worlds, epsilon=0.0, delta=0.0, seed=1, log_ratio=test).beaten


def test_the_log_ratio_is_that_of_the_two_worlds():
    """The chance of each output in both worlds, counted over all places and answers."""
    setting = Setting(rows=4, shards=2, answers=2, epsilon=1.0)
    yes, found = chances(setting), {}
    for first, a, b, c, d in np.ndindex(2, 2, 2, 2, 2):
        for x, y in np.ndindex(2, 2):
            told = [
                yes[int(place == first)] if said else 1 - yes[int(place == first)] for place, said in ((a, x), (b, y))
            ]
            for world, (u, v) in (("same", (a, b)), ("anew", (c, d))):
                out = (-1 if x else u, -1 if y else v)
                found.setdefault(out, {"same": 0.0, "anew": 0.0})[world] += told[0] * told[1] / 32
    for out, chance in found.items():
        ratio = best_test(setting, np.array([out], dtype=float))[0]
        assert ratio == pytest.approx(np.log(chance["same"] / chance["anew"]), abs=1e-12)


def test_on_real_parts_the_attack_leaves_an_empty_one():
    """Labels without a pattern on rows that have nothing in common: a part fits what it has."""
    y = np.random.default_rng(5).integers(0, 2, ROWS)
    rows = Table([f"r{i}" for i in range(ROWS)], np.eye(ROWS), y)
    nearest = Estimator("sklearn.neighbors:KNeighborsClassifier", (0, 1), {"n_neighbors": 1, "algorithm": "brute"})
    before = SISA(nearest, shards=3).train(rows, seed=11)
    # What a part fits at distance 0 is what it was trained on: its model says so to whoever has the weights.
    near = [before.model(s).estimator.kneighbors(rows.X)[0][:, 0] == 0 for s in range(3)]
    seen = [name for name, fits in zip(rows.ids(), near[0], strict=True) if fits]
    assert set(seen) == set(before.manifests[0].ids) and seen
    kept = rows.get(name for name in rows.ids() if name not in seen)
    after = sisa.unlearn(before, Selection(rows.get(seen), kept, repeats=True), seed=0).target
    assert not after.manifests[0].ids
    fresh = [SISA(nearest, shards=3).train(rows.without(seen), seed=seed).manifests for seed in range(20, 23)]
    assert all(part.ids for manifests in fresh for part in manifests)


@pytest.mark.parametrize(("wrong", "said"), [({"answers": 40}, "on pairs of"), ({"shards": 1}, "shards is 1")])
def test_sizes_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Setting(**wrong)
