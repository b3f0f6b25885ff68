"""Unlearned parts are those of a run that never had the records: the same bytes, whatever runs them."""

import os
import shutil

import numpy as np
import pytest

from expunge.core.access import Access
from expunge.core.errors import ClaimError, ConfigError, StoreError, TargetError
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Exact
from expunge.core.provenance import Plain, Sharded
from expunge.data.table import Table
from expunge.engine.parts.building import build_again, load_sharded
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator
from expunge.engine.trainers.module import Module
from expunge.execution.map import staying
from expunge.execution.pool import Pool
from expunge.methods.exact._kept import salted
from expunge.methods.exact.sisa import sisa
from expunge.targets.shard_manifest import assignment, checkpoint_folder, rows_folder, shard_folder

SGD = Estimator(
    "sklearn.linear_model:SGDClassifier", (2, 5), {"loss": "log_loss", "learning_rate": "adaptive", "eta0": 0.1}
)
BAYES = Estimator("sklearn.naive_bayes:GaussianNB", (2, 5))
LINEAR = Module("torch.nn:Linear", (2, 5), {"in_features": 3, "out_features": 2}, "adam", lr=0.05, batch_size=8)
SALT = "5a17"


def recipe(trainer=SGD, **more):
    return SISA(trainer, **{"shards": 3, "slices": 3, "epochs": 4, "salt": SALT, **more})


@pytest.fixture(scope="module")
def original(table):
    return recipe().train(table, seed=5)


@pytest.fixture(scope="module")
def places(original):
    return assignment(original.manifests)


def at(places, shard, part):
    """The first record in a slice of a shard."""
    return next(name for name, place in places.items() if place == (shard, part))


def files_of(folder):
    return {p.relative_to(folder): (p.stat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("gone", [("r1",), ("r0", "r7", "r22", "r41", "r59")])
@pytest.mark.parametrize("trainer", [SGD, BAYES, LINEAR], ids=["steps", "refitted", "torch"])
def test_unlearned_weights_are_those_of_a_run_without_the_data(table, forget, trainer, gone):
    made = recipe(trainer)
    before = made.train(table, seed=5)
    outcome = forget(before, table, *gone)
    scratch = made.train(table.without(gone), seed=5)
    assert outcome.target.weights == scratch.weights != before.weights
    assert outcome.target.digest() == scratch.digest() == outcome.replay.after
    assert outcome.replay.data == salted(table.without(gone).digest(), made.salt)
    assert outcome.target.ids == set(table.ids()) - set(gone)


def test_dropout_batch_statistics_and_moments_are_replayed_too(table, forget, nets):
    made = recipe(Module(f"{nets}:dropping", (2, 5), {"inputs": 3, "outputs": 2}, "adam", batch_size=7), shards=2)
    scratch = made.train(table.without(["r3", "r30"]), seed=1)
    before = made.train(table, seed=1)
    after = forget(before, table, "r3", "r30").target
    assert after.weights == scratch.weights
    assert not set(before.weights) & set(after.weights)


def test_one_by_one_and_batched_come_to_the_same_in_any_order(original, table, forget):
    one = forget(original, table, "r8").target
    other = forget(forget(one, table, "r50").target, table, "r13").target
    back = forget(forget(original, table, "r13", "r50").target, table, "r8").target
    batch = forget(original, table, "r50", "r8", "r13").target
    assert other.weights == back.weights == batch.weights
    assert other.digest() == back.digest() == batch.digest()


def test_the_order_of_the_rows_in_the_store_changes_nothing(original, table):
    turned = table.rows(table.ids()[::-1])
    assert recipe().train(turned, seed=5).digest() == original.digest() != recipe().train(turned, seed=6).digest()


def test_only_what_saw_the_record_is_trained_again(original, table, places, forget, tmp_path):
    name = at(places, 1, 1)
    outcome = forget(original, table, name, workdir=tmp_path)
    old, new = files_of(original.folder), files_of(outcome.target.folder)
    card, shard = original.folder / "target.json", shard_folder(original.folder, 1).relative_to(original.folder)
    written = {path for path in new if new[path] != old.get(path)}
    touched = {shard / "manifest.json", card.relative_to(original.folder)}
    touched |= {p for p in new if p.is_relative_to(shard / "rows" / "0001")}
    touched |= {p for p in new if any(p.is_relative_to(shard / "slices" / part) for part in ("0001", "0002"))}
    assert written <= touched and shard / "manifest.json" in written
    told = outcome.notes["replayed"]
    assert told["shards"][0] | {"point_epochs": 0} == {
        "shard": 1, "records": 1, "from_slice": 1, "slices": 2, "point_epochs": 0
    }  # fmt: skip
    kept = original.manifests[1].without([name])
    assert told["point_epochs"] == kept.point_epochs(1) < told["point_epochs_of_all"]


def test_the_rows_of_the_forgotten_are_in_no_file_of_the_new_target(table, forget):
    marked = Table(table.ids(), np.where(np.arange(60)[:, None] == 17, 0.123456789, table.X), table.y)
    mark = np.float64(0.123456789).tobytes()
    before = recipe().train(marked, seed=5)
    after = forget(before, marked, "r17").target
    seen = [any(mark in data or b'"r17"' in data for _, data in files_of(t.folder).values()) for t in (before, after)]
    assert seen == [True, False]


@pytest.mark.parametrize("partition", ["contiguous", "probability"])
def test_recorded_places_are_what_a_comparison_needs(table, forget, partition):
    odds = {name: (i % 7) / 50 for i, name in enumerate(table.ids())} if partition == "probability" else None
    made = recipe(partition=partition, probabilities=odds, shards=4, slices=2)
    before = made.train(table, seed=5)
    # By position r14 and r59 are the rows at the end of a shard whose 15 rows two slices do not divide.
    after = forget(before, table, "r4", "r14", "r59").target
    scratch = made.recorded(before).train(table.without(["r4", "r14", "r59"]), seed=5)
    assert after.weights == scratch.weights and after.digest() == scratch.digest()
    assert made.recorded(before).train(table, seed=5).digest() == before.digest()
    # Pinned, they are the recipe's own, and no target can choose others.
    pinned = made.pinned(table, seed=5)
    assert pinned.places == assignment(before.manifests) and pinned.digest() != made.digest()
    assert pinned.recorded(before) is pinned and pinned.pinned(table.rows(["r3", "r1"]), seed=5) is pinned
    assert pinned.train(table, seed=5).digest() == before.digest()


def test_an_audit_from_rows_and_manifests_alone_gives_the_same(original, table, forget, tmp_path):
    after = forget(original, table, "r2").target
    assert (
        build_again(after, tmp_path / "again").digest() == after.digest() == load_sharded(tmp_path / "again").digest()
    )


def test_records_of_a_subject_cost_one_shard(table, forget):
    made = recipe(by="subject")
    before = made.train(table, seed=5)
    outcome = forget(before, table, "r20", "r21")
    assert len(outcome.notes["replayed"]["shards"]) == 1
    assert outcome.target.digest() == made.train(table.without(["r20", "r21"]), seed=5).digest()


@pytest.mark.parametrize("trainer", [SGD, BAYES, LINEAR], ids=["steps", "refitted", "torch"])
def test_an_emptied_shard_is_silent_and_an_emptied_slice_is_passed_over(table, forget, trainer):
    made = recipe(trainer, shards=2, slices=2)
    few = table.rows(table.ids()[:14])
    before = made.train(few, seed=5)
    shard, part = before.manifests[0].ids, before.manifests[1].slices[0]
    empty = forget(before, few, *shard).target
    assert empty.digest() == made.train(few.without(shard), seed=5).digest()
    said = empty.explain(few.X[:1])[0]
    assert said.silent == (0,) and [p.shard for p in said.parts] == [1] and said.parts[0].weight == 1.0
    holed = forget(empty, few, *part).target
    assert holed.digest() == made.train(few.without([*shard, *part]), seed=5).digest()
    none = forget(holed, few, *holed.ids).target
    with pytest.raises(TargetError, match="holds no record any more"):
        none.predict(few.X)


def test_a_part_whose_rows_are_of_one_class_says_that_class(table):
    rows = [name for name, label in zip(table.ids(), table.y, strict=True) if label == 5][:8]
    made = SISA(Estimator("sklearn.linear_model:LogisticRegression", (2, 5)), shards=1)
    assert (made.train(table.rows(rows), seed=0).predict(table.X) == 5).all()


def test_a_forgotten_record_is_unknown_and_nothing_is_changed(original, table, forget, tmp_path):
    after = forget(original, table, "r8").target
    left = files_of(after.folder)
    with pytest.raises(StoreError, match="'r8' is not in this model"):
        forget(after, table, "r9", "r8", workdir=tmp_path)
    other = Table(["strange"], table.X[:1], table.y[:1])
    with pytest.raises(StoreError, match="'strange' is not in this model"):
        forget(after, other, "strange", workdir=tmp_path)
    assert files_of(after.folder) == left and not list(tmp_path.iterdir())


def test_a_plain_target_is_refused(original, table, forget):
    class Ordinary:
        kind, provenance = "learner", Plain()

    with pytest.raises(ClaimError, match="sisa needs a target with provenance Sharded"):
        forget(Ordinary(), table, "r8")
    assert isinstance(original.provenance, Sharded) and sisa.claim == Exact("bitwise")


def test_a_saved_target_is_the_same_and_a_changed_one_is_refused(original, table, tmp_path):
    manifest = original.save(tmp_path / "model")
    loaded = load_sharded(tmp_path / "model")
    assert loaded.digest() == original.digest() and (loaded.predict(table.X) == original.predict(table.X)).all()
    assert all(entry.contains_personal_data for entry in manifest.entries)
    assert loaded.oracle(Access.all()).access == Access.WEIGHTS
    path = loaded.model_folder(0) / "estimator.json"
    data = path.read_text()
    path.unlink()
    path.write_text(data.replace('"only": null', '"only": 5'))
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_sharded(tmp_path / "model")
    (tmp_path / "model" / "target.json").unlink()
    with pytest.raises(TargetError, match="no target in"):
        load_sharded(tmp_path / "model")


def test_rows_that_were_changed_on_file_are_not_trained_on(original, table, places, forget, tmp_path):
    original.save(tmp_path / "model")
    changed = load_sharded(tmp_path / "model")
    name = at(places, 2, 0)
    other = rows_folder(shard_folder(changed.folder, 2), 1) / "rows.json"
    data = other.read_text()
    other.unlink()
    other.write_text(data.replace('"r', '"q', 1))
    with pytest.raises(StoreError, match="rows of slice 1 of shard 2 are not those of its manifest"):
        forget(changed, table, name)


def test_an_interrupted_unlearning_leaves_the_old_model_and_goes_on(
    original, table, places, forget, tmp_path, monkeypatch
):
    name, real = at(places, 1, 0), type(SGD).train
    before = files_of(original.folder)

    def stops(self, model, rows, *, epochs, seed, names, workdir=None):
        if names == ("shard", 1, "slice", 1):
            raise KeyboardInterrupt
        return real(self, model, rows, epochs=epochs, seed=seed, names=names, workdir=workdir)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(SGD), "train", stops)
        forget(original, table, name, workdir=tmp_path)
    assert files_of(original.folder) == before and load_at(original.folder) == original.digest()
    (folder,) = tmp_path.iterdir()
    with pytest.raises(TargetError, match="no target in"):
        load_sharded(folder)
    first = checkpoint_folder(shard_folder(folder, 1), 0)
    kept = files_of(first)
    after = forget(original, table, name, workdir=tmp_path).target
    assert files_of(first) == kept and after.folder == folder
    assert after.digest() == recipe().train(table.without([name]), seed=5).digest() == load_at(folder)
    assert forget(original, table, name, workdir=tmp_path).target.digest() == after.digest()


def load_at(folder):
    return load_sharded(folder).digest()


def test_parts_of_several_environments_are_told_of(original, table, forget, monkeypatch):
    assert "environments" not in forget(original, table, "r8").notes
    other = {"threads": "1", "versions": {"numpy": "0.1"}}
    monkeypatch.setattr("expunge.engine.parts.training.environment", lambda here: other)
    told = forget(original, table, "r8").notes["environments"]
    assert len(told) == 2 and other in told


def test_a_damaged_checkpoint_is_made_again_from_the_one_before(table, tmp_path):
    made = recipe(shards=1)
    whole = made.train(table, seed=5, workdir=tmp_path)
    shard, digest = shard_folder(whole.folder, 0), whole.digest()
    first = files_of(checkpoint_folder(shard, 0))
    (checkpoint_folder(shard, 1) / "model" / "estimator.safetensors").write_bytes(b"cut")
    shutil.rmtree(checkpoint_folder(shard, 2))
    assert made.train(table, seed=5, workdir=tmp_path).digest() == digest
    assert files_of(checkpoint_folder(shard, 0)) == first
    assert recipe(shards=1, epochs=5).train(table, seed=5, workdir=tmp_path).digest() != digest


def test_two_workers_train_and_unlearn_as_this_process_does(table, forget, original, tmp_path):
    pool = Pool(workers=2)
    with staying(pool):
        before = recipe().train(table, seed=5, pool=pool, workdir=tmp_path)
        after = forget(before, table, "r1", "r2", "r3", method=sisa.with_pool(pool), workdir=tmp_path).target
    assert before.digest() == original.digest()
    assert after.digest() == recipe().train(table.without(["r1", "r2", "r3"]), seed=5).digest()


@pytest.mark.slow
@pytest.mark.parametrize("pool", [Pool(workers=1), Pool(workers=2), Pool("ray", workers=2)], ids=str)
def test_modules_are_the_same_whatever_trains_them(table, forget, pool):
    if pool.backend == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    made = recipe(LINEAR, shards=2)
    with staying(pool):
        before = made.train(table, seed=5, pool=pool)
        after = forget(before, table, "r1", "r2", "r3", method=sisa.with_pool(pool)).target
    assert before.digest() == made.train(table, seed=5).digest()
    assert after.digest() == made.train(table.without(["r1", "r2", "r3"]), seed=5).digest()


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_loses_no_checkpoint(table, nets, tmp_path):
    count = tmp_path / "steps"
    trainer = Module(f"{nets}:Dying", (2, 5), {"count": str(count), "at": 9}, batch_size=16)
    made = SISA(trainer, shards=1, slices=3, epochs=(2, 2, 2))
    target = made.train(table, seed=3, pool=Pool(workers=1), workdir=tmp_path / "work")
    steps = count.stat().st_size
    count.write_bytes(b"." * 1000)
    whole = made.train(table, seed=3)
    assert target.digest() == whole.digest()
    done = count.stat().st_size - 1000
    held = target.manifests[0].held
    per = [2 * -(-n // 16) for n in held]
    assert done == sum(per)
    # Slice 0 was on file when the worker died in a later one: only the steps of that slice were done twice.
    dying = next(r for r in range(3) if sum(per[: r + 1]) >= 9)
    assert dying > 0 and steps == sum(per) + 9 - sum(per[:dying])


def test_texts_are_kept_and_digested_as_tables_are(tmp_path):
    from expunge.engine.parts.rows import digest_of, joined, load_rows, save_rows

    rows = Examples(
        (Example("a", "Wo\u2028hin?", "Da\u2028hin.", perturbed_answer=("x",)), Example("b", "Q?", "A.", "s"))
    )
    save_rows(rows, tmp_path)
    assert load_rows(tmp_path).items == rows.items
    assert digest_of(rows, salt="1") == digest_of(rows[::-1], salt="1") != digest_of(rows, salt="2")
    assert digest_of(joined([rows[:1], rows[1:]]), salt="1") == digest_of(rows, salt="1")


@pytest.mark.parametrize("y", [None, np.array(["no", "yes", "no"]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])])
@pytest.mark.parametrize("more", [{}, {"subjects": "abc", "groups": "xyz"}])
def test_tables_come_back_as_they_were(tmp_path, y, more):
    from expunge.engine.parts.rows import digest_of, joined, load_rows, save_rows

    rows = Table("pqr", np.arange(6, dtype=np.float32).reshape(3, 2), y, **more)
    save_rows(rows, tmp_path)
    back = load_rows(tmp_path)
    assert isinstance(back, Table) and back.digest() == rows.digest() and back.X.dtype == rows.X.dtype
    halves = joined([rows.rows("p"), rows.rows("qr")])
    assert digest_of(halves, salt="") == digest_of(rows, salt="")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"trainer": 3}, "needs a trainer"),
        ({"shards": 0}, "cannot have 0 shards"),
        ({"places": {"r1": (0, 0)}}, "places belong to the partition explicit"),
        ({"partition": "probability"}, "probabilities belong to the partition probability"),
        ({"epochs": (1, 2)}, "3 slices need as many numbers of epochs"),
        ({"slices": 9}, "too few for 9 slices"),
    ],
)
def test_settings_that_do_not_fit_are_refused(more, said):
    with pytest.raises(ConfigError, match=said):
        recipe(**more)


def test_a_store_without_records_is_refused_and_leaves_no_folder(table, tmp_path):
    with pytest.raises(ConfigError, match="no record to train on"):
        recipe().train(table.rows([]), seed=0, workdir=tmp_path)
    assert not os.listdir(tmp_path)


def test_a_recipe_is_its_settings(table):
    made = recipe(partition="explicit", places={"r1": (0, 1)}, epochs=(3, 2, 2))
    assert SISA(**made.settings()).digest() == made.digest() == SISA(**{**made.settings(), "salt": "77"}).digest()
    assert made.digest() != SISA(**{**made.settings(), "places": {"r1": (0, 2)}}).digest()
    assert made.kind == "learner"
