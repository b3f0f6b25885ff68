"""Behind the vote a deletion is SISA's, exact; what is certified is the vote's, and one version alone answers."""

import os
from dataclasses import replace

import numpy as np
import pytest

from expunge.accounting.adaptive import votes_information
from expunge.accounting.recount import recount, recounted
from expunge.core.canonical import digest_folder, read_json
from expunge.core.earning import earn
from expunge.core.errors import ClaimError, ConfigError, StoreError, TargetError
from expunge.core.files import write_json
from expunge.core.guarantee import Certified, Unproven
from expunge.core.provenance import Guarded
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.parts.voting import apart, load_voted
from expunge.engine.recipes.adaptive_sisa import AdaptiveSISA
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator
from expunge.methods.certified.adaptive_sisa import adaptive_sisa
from expunge.methods.exact.sisa import sisa
from expunge.testing.toy import toy_model
from expunge.workflow.recipe_file import recipe_of, told

X = np.random.default_rng(3).normal(size=(30, 2))
TABLE = Table([f"r{i}" for i in range(30)], X, (X[:, 0] > 0).astype(int))
BAYES = Estimator("sklearn.naive_bayes:GaussianNB", (0, 1))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def recipe(share=None, **more):
    return AdaptiveSISA(SISA(BAYES, shards=4, slices=2, epochs=2), 0.5, **{"answers": 8, "share": share, **more})


def asked(*ids):
    kept = [name for name in TABLE.ids() if name not in ids]
    return Selection(TABLE.get(ids), TABLE.get(kept), repeats=True)


def forget(target, *ids, workdir=None):
    kept = [name for name in TABLE.ids() if name in target.ids and name not in ids]
    return adaptive_sisa.unlearn(
        target, Selection(TABLE.get(ids), TABLE.get(kept), repeats=True), seed=0, workdir=workdir
    )


@pytest.mark.parametrize("share", [None, 0.3])
def test_the_parts_are_those_of_a_training_with_the_same_secret_that_never_had_the_records(share, tmp_path):
    made = recipe(share)
    target = made.train(TABLE, seed=0)
    write_json(tmp_path / "voted" / "key.json", {"key": f"{target.parts.card['seed']:064x}"})
    scratch = made.train(TABLE.without(["r2", "r9"]), seed=7, workdir=tmp_path)
    together, after = forget(target, "r2", "r9"), forget(forget(target, "r9").target, "r2")
    assert together.target.parts.weights == after.target.parts.weights == scratch.parts.weights
    assert together.target.parts.digest() == after.target.parts.digest() == scratch.parts.digest()
    assert together.target.ids == set(TABLE.ids()) - {"r2", "r9"}
    assert together.target.digest() == after.target.digest() != target.digest()


def test_two_trainings_with_one_seed_place_records_by_secrets_of_their_own():
    one, other = (recipe().train(TABLE, seed=5) for _ in range(2))
    assert one.parts.card["seed"] != other.parts.card["seed"] and one.parts.card["seed"] > 2**128
    assert [m.ids for m in one.parts.manifests] != [m.ids for m in other.parts.manifests]


def test_the_proof_is_of_all_answers_and_does_not_grow_with_requests():
    target = recipe(delta=1e-6).train(TABLE, seed=0)
    first = forget(target, "r1", "r2")
    second = forget(first.target, "r7")
    more = {"voters": 2, "shards": 4, "coordinates": 34, "slack": 1e-6}
    epsilon, delta = votes_information(8, epsilon=0.5, **more)
    for outcome, units in ((first, 2), (second, 3)):
        assert outcome.claim == Certified(epsilon, delta, "adaptive") == Certified(4.0, 0.0, "adaptive")
        assert (outcome.proof.units, outcome.proof.valid_until) == (units, None)
        assert recount(outcome.proof) == outcome.proof.epsilon
        ends = {"before": outcome.before, "after": outcome.target.digest()}
        assert earn(outcome.claim, evidence=outcome.own, **ends) == outcome.claim
        assert isinstance(earn(outcome.claim, evidence=outcome.own, **{**ends, "after": outcome.before}), Unproven)
        assert outcome.replay is None and "replayed" not in outcome.notes and outcome.cost.seconds == 0
    less = {**dict(second.proof.numbers), "answers": "9"}
    assert "its numbers come to 4.5" in recounted(replace(second.proof, numbers=tuple(sorted(less.items()))))


def test_shards_that_draw_for_themselves_are_fewer_coordinates_that_reach_one_vote():
    votes = recipe(0.25).votes(10**6)
    assert (votes.voters, votes.coordinates) == (1, 4) and recipe().votes(20).coordinates == 24
    many = AdaptiveSISA(SISA(BAYES, shards=2000), 0.005, answers=2, delta=1e-6, share=0.001)
    one = replace(many, share=None, epsilon=0.01)  # as much noise
    assert many.votes(10**6).loss()[0] < one.votes(10**6).loss()[0] / 4


def test_a_record_may_be_in_several_parts_or_in_none_and_is_forgotten_all_the_same(tmp_path):
    ids = {f"r{i}": f"r{i}" for i in range(2000)}
    parts = apart(ids, shards=5, epochs=(1, 1), share=0.2, seed=3)
    copies = np.array([sum(name in set(part.ids) for part in parts) for name in ids])
    assert abs(copies.mean() - 1.0) < 0.1 and copies.min() == 0 and copies.max() >= 3
    held = np.array([[name in set(part.ids) for name in ids] for part in parts])
    # 2,000 independent draws: seven standard deviations.
    assert np.abs(np.corrcoef(held) - np.eye(5)).max() < 7 / np.sqrt(2000)
    target = recipe(0.05).train(TABLE, seed=0)
    nowhere = next(name for name in TABLE.ids() if name not in target.parts.ids)
    assert nowhere in target.ids
    found = forget(target, nowhere)
    assert found.target.parts.weights == target.parts.weights and nowhere not in found.target.ids
    assert found.target.digest() != target.digest() and found.proof.units == 1
    with pytest.raises(ClaimError, match="never learned, or deleted before"):
        forget(found.target, nowhere)


def test_versions_share_one_budget_and_once_saved_the_last_alone_answers(tmp_path):
    first = recipe().train(TABLE, seed=0)
    first.predict(X[:2])
    second = forget(first, "r1").target
    second.predict(X[:3])
    assert first.left == second.left == 3
    second.save(tmp_path / "second")
    opened = load_voted(tmp_path / "second")
    assert (opened.left, opened.digest()) == (3, second.digest())
    assert adaptive_sisa.prove(opened) == adaptive_sisa.prove(second)
    for old in (first, second):
        with pytest.raises(ClaimError, match="answers no more"):
            old.predict(X[:1])
    with pytest.raises(ClaimError, match="answers no more"):
        forget(first, "r2")
    opened.predict(X[:3])
    with pytest.raises(ClaimError, match="budget of answers is spent"):
        load_voted(tmp_path / "second").predict(X[:1])


def test_a_killed_deletion_is_done_again_in_its_folder_and_not_in_another(tmp_path):
    recipe().train(TABLE, seed=0).save(tmp_path / "model")
    opened, before = load_voted(tmp_path / "model"), digest_folder(tmp_path / "model")
    outcome = forget(opened, "r4", workdir=tmp_path / "work")
    assert digest_folder(tmp_path / "model") == before
    outcome.target.save(tmp_path / "result")  # and killed before anybody was told
    again = forget(load_voted(tmp_path / "model"), "r4", workdir=tmp_path / "work")
    again.target.save(tmp_path / "result")
    assert load_voted(tmp_path / "result").digest() == outcome.target.digest()
    with pytest.raises(ClaimError, match="answers no more"):
        forget(load_voted(tmp_path / "model"), "r4", workdir=tmp_path / "elsewhere")


def test_a_killed_training_goes_on_and_one_that_was_saved_starts_anew(tmp_path):
    made = recipe()
    first = made.train(TABLE, seed=0, workdir=tmp_path)
    assert made.train(TABLE, seed=0, workdir=tmp_path).digest() == first.digest()
    first.save(tmp_path / "model")
    assert made.train(TABLE, seed=0, workdir=tmp_path).digest() != first.digest()


def test_a_changed_folder_is_refused(tmp_path):
    recipe().train(TABLE, seed=0).save(tmp_path / "model")
    for name, change in (("answers", 9), ("epsilon", 0.1)):
        card = read_json(tmp_path / "model" / "target.json")
        write_json(tmp_path / "model" / "target.json", {**card, "votes": {**card["votes"], name: change}})
        with pytest.raises(TargetError, match="changed since it was saved"):
            load_voted(tmp_path / "model")
        write_json(tmp_path / "model" / "target.json", card)
    (tmp_path / "model" / "answered.json").unlink()
    with pytest.raises(TargetError, match="nothing says how many answers"):
        load_voted(tmp_path / "model")


def test_others_on_the_machine_can_read_neither_key_nor_placement(tmp_path):
    def mode(*path):
        return tmp_path.joinpath(*path).stat().st_mode & 0o777

    target = recipe().train(TABLE, seed=0, workdir=tmp_path)
    assert (mode("voted"), mode("voted", "key.json")) == (0o700, 0o600)
    forget(target, "r4", workdir=tmp_path / "work").target.save(tmp_path / "result")
    [work] = [path for path in (tmp_path / "work").iterdir() if path.is_dir()]
    assert mode(work) == mode("result", "parts") == 0o700 and mode("result", "parts", "target.json") == 0o600


SGD = Estimator("sklearn.linear_model:SGDClassifier", (0, 1), {"loss": "log_loss"})


@pytest.mark.parametrize("trainer", [BAYES, SGD])
def test_inputs_are_looked_at_before_any_part_and_errors_of_parts_do_not_show(trainer, tmp_path):
    """Parts that saw one class and parts that saw two answer alike to what they would stumble over."""
    AdaptiveSISA(SISA(trainer, shards=4, epochs=2), 0.5, answers=40).train(TABLE, seed=0).save(tmp_path / "model")
    target = load_voted(tmp_path / "model")
    assert target.columns == 2
    for wrong in (
        [[np.nan, 0.0]],
        [[np.inf, 0.0]],
        [[1.0]],
        [[1.0, 2.0, 3.0]],
        [1.0, 2.0],
        [["x", "y"]],
        [],
        [[1], [1, 2]],
    ):
        with pytest.raises(StoreError, match=r"the rows are not|rows of shape"):
            target.predict(wrong)
        assert target.left == 40
    huge = target.predict([[1e300, -1e300]] * 3)  # beyond what an estimator takes
    assert set(huge) <= {0, 1} and target.left == 37
    assert target.predict(np.zeros((0, 2))).shape == (0,) and target.left == 37


def test_rows_that_changed_and_other_targets_are_refused():
    target = recipe().train(TABLE, seed=0)
    assert isinstance(target.provenance, Guarded)
    moved = Table(TABLE.ids(), X + 1, TABLE.y).get(["r1"])
    with pytest.raises(StoreError, match="is not what was trained on"):
        adaptive_sisa.check(target, replace(asked("r1"), forget=moved), seed=0)
    for method, other in ((adaptive_sisa, toy_model()), (adaptive_sisa, SISA(BAYES).train(TABLE, seed=0))):
        with pytest.raises(ClaimError, match="needs a target with provenance Guarded by a noisy vote"):
            method.unlearn(other, asked("r1"), seed=0)
    with pytest.raises(ClaimError, match="sisa needs a target with provenance Sharded"):
        sisa.unlearn(target, asked("r1"), seed=0)


def test_a_recipe_is_told_and_read_again_and_refuses_what_would_tell_more():
    made = recipe(0.3, delta=1e-6)
    assert recipe_of(told(made)) == made and recipe_of(told(made)).digest() == made.digest()
    for wrong in (
        {"sisa": SISA(BAYES, vote="mean")},
        {"sisa": SISA(BAYES, partition="contiguous")},
        {"sisa": SISA(BAYES, salt="5a")},
        {"sisa": SISA(Estimator("sklearn.linear_model:Ridge"))},
        {"share": 0.0},
        {"delta": 1.0},
    ):
        with pytest.raises(ConfigError):
            replace(made, **wrong)
