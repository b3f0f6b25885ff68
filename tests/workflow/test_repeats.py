"""Of two records that say the same, under ids of their own, an exact method forgets one; others say what to name."""

import contextlib
import os
from dataclasses import replace
from unittest import mock

import pytest

import expunge
from expunge.core.errors import ScopeError
from expunge.core.example import Examples
from expunge.core.guarantee import Exact
from expunge.core.request import Records, Request
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.testing.toy import toy_corpus
from expunge.workflow import audit_replay
from expunge.workflow.exact import Asked, unlearn_exact
from expunge.workflow.requests import unlearn_batch
from expunge.workflow.single import certify_folder
from expunge.workflow.train import train
from expunge.workflow.verbs import unlearn_selection

RECORDS = toy_corpus().of("forget", "retain")
TWIN = replace(RECORDS[0], record_id="twin")
TWINS = Examples([*RECORDS, TWIN])
STEPS = {"steps": [["words", {"learner": "tfidf"}], ["bayes", {"learner": "multinomial_naive_bayes"}]]}
RECIPE = LearnerRecipe("exact_pipeline", STEPS)


def asked(*ids):
    return Request(subject="who", scope=Records(*ids))


def test_one_of_two_equal_records_goes_and_the_notes_say_that_the_other_stays():
    target, store = RECIPE.train(MemoryStore(TWINS), seed=0), MemoryStore(TWINS)
    never = RECIPE.train(MemoryStore(TWINS[1:]), seed=0)
    outcome = expunge.unlearn(target, asked(RECORDS[0].record_id), "statistics", store)
    assert outcome.target.digest() == never.digest()
    assert outcome.notes["repeated"] == "kept records that repeat forgotten ones: 1; the result knows what they say"
    (answer,) = unlearn_batch(target, [asked(RECORDS[0].record_id)], "statistics", store)
    assert answer.outcome.target.digest() == never.digest() and "twin" in answer.outcome.selection.retain.ids
    both = expunge.unlearn(target, asked(RECORDS[0].record_id, "twin"), "statistics", store)
    assert "repeated" not in both.notes and set(both.target.ids) == set(RECORDS.ids[1:])
    with pytest.raises(ScopeError, match=r"for example twin, which repeat.*Name these records too"):
        expunge.unlearn(target, asked(RECORDS[0].record_id), "simnpo", store)
    with pytest.raises(ScopeError, match=r"simnpo cannot keep what it is to unlearn.*for example twin"):
        unlearn_selection(target, outcome.selection, "simnpo")


def here(function, items, **_):
    """What a worker does, in this process, which is put back."""
    with contextlib.chdir("."), mock.patch.dict(os.environ):
        return [function(item) for item in items]


def test_the_folder_of_such_a_deletion_is_run_again_and_certified(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(audit_replay, "apply", here)
    data = tmp_path / "records.jsonl"
    data.write_bytes(dump_examples(TWINS))
    train(RECIPE, data, seed=3, out=tmp_path / "trained")
    unlearn_exact(Asked(str(tmp_path / "trained"), ids=("twin",)), "statistics", tmp_path / "x", settings={})
    assert audit_replay.replay(tmp_path / "x").equal
    assert certify_folder(tmp_path / "x")[0].earned == Exact("bitwise")
