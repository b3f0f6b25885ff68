"""A learner by its name: same recipe, data and seed, same bytes, whatever the order of the rows."""

import pytest

from expunge.core.errors import ConfigError, UnknownName
from expunge.core.registry import recipes
from expunge.data.memory import MemoryStore
from expunge.data.table import Table
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.testing.toy import FACTS, toy_selection

TABLE = Table(["a", "b", "c", "d"], [[0.0], [0.5], [9.0], [9.5]], [0, 0, 1, 1])


def test_the_registry_knows_it():
    assert recipes.get("learner") is LearnerRecipe and LearnerRecipe("lda").kind == "learner"


def test_the_same_run_gives_the_same_bytes():
    recipe = LearnerRecipe("quantised_k_means", {"n_clusters": 2, "epsilon": 0.01})
    first = recipe.train(TABLE, seed=3)
    assert recipe.train(TABLE.rows(TABLE.ids()[::-1]), seed=3).digest() == first.digest()
    assert first.ids == set(TABLE.ids())
    assert len({recipe.train(TABLE, seed=seed).digest() for seed in range(6)}) > 1


def test_a_seed_that_is_set_stays():
    recipe = LearnerRecipe("quantised_k_means", {"n_clusters": 2, "random_state": 5})
    assert recipe.train(TABLE, seed=1).digest() == recipe.train(TABLE, seed=2).digest()


def test_the_digest_covers_all_but_the_salt():
    base = LearnerRecipe("lda")
    others = [LearnerRecipe("qda"), LearnerRecipe("lda", {"shrinkage": 0.5}), LearnerRecipe("lda", labels="subject")]
    assert len({base.digest(), *(one.digest() for one in others)}) == 4
    assert LearnerRecipe("lda", salt="5a17").digest() == base.digest()
    assert LearnerRecipe("lda", salt="5a17").train(TABLE, seed=0).digest() != base.train(TABLE, seed=0).digest()


def test_texts_of_a_store_are_learned_by_the_fields_that_are_named():
    kept = toy_selection().kept
    steps = [["words", {"learner": "tfidf"}], ["bayes", {"learner": "multinomial_naive_bayes"}]]
    target = LearnerRecipe("exact_pipeline", {"steps": steps}).train(MemoryStore(kept), seed=0)
    assert target.ids == set(kept.ids)
    told = target.estimator.predict([e.question for e in kept])
    assert set(told) <= set(FACTS) and (told == [e.relation for e in kept]).mean() > 0.9
    gone = target.unlearn([kept[0].record_id])
    rest = MemoryStore(kept[1:])
    assert gone.digest() == LearnerRecipe("exact_pipeline", {"steps": steps}).train(rest, seed=0).digest()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnknownName, match="unknown learner 'ldb'"):
        LearnerRecipe("ldb").train(TABLE, seed=0)
    with pytest.raises(ConfigError, match="the settings of lda do not fit"):
        LearnerRecipe("lda", {"n": 1}).train(TABLE, seed=0)
    with pytest.raises(ConfigError, match="no text called 'perturbed_answer'"):
        LearnerRecipe("tfidf", inputs="perturbed_answer").train(MemoryStore(toy_selection().kept), seed=0)
