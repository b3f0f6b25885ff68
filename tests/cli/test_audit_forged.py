"""Results of exact deletions that somebody forged who holds the folder: none is called equal, or bit for bit."""

import json
import shutil
from dataclasses import replace

import pytest

import expunge
from expunge.core.errors import ClaimError
from expunge.core.guarantee import Exact, Unproven
from expunge.core.manifest import Manifest
from expunge.data.table import open_table
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.targets.shard_manifest import assignment
from expunge.workflow import audit_replay
from expunge.workflow.recipe_file import recipe_of, told
from expunge.workflow.replay_note import note_path
from expunge.workflow.saved import Saved
from expunge.workflow.training_record import Trained, only
from expunge.workflow.verbs import issue

from .exact_cases import here, make_tables

ROWS = [f"r{i}" for i in range(60)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(autouse=True)
def _same_process(monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)


@pytest.fixture
def made(tables, call, tmp_path):
    def make(ids="r3,r40", recipe="ridge", model="trained", out="x", method=None):
        by_parts = recipe.endswith(".yaml")
        if model == "trained":
            data = "classes.csv" if by_parts else "table.csv"
            assert call(*tables.train(tmp_path / "trained", recipe=recipe, data=data)).code == 0
        asked = tables.forget(
            tmp_path / model, tmp_path / out, "--ids", ids, method="sisa" if by_parts else "statistics"
        )
        assert call(*asked).code == 0
        return tmp_path / out

    return make


@pytest.fixture
def earned(call):
    def earned(run):
        said = call("certify", run, "--json")
        assert said.code == 0, said.err
        return said.json["earned"]["model"]["equality"], dict(said.json["certificate"]["notes"])

    return earned


def restated(run, **changes):
    """Rewrite what a run states of its result, and its manifest."""
    card = json.loads((run / "outcome.json").read_text())
    card["replay"] |= {name: value for name, value in changes.items() if name in ("after", "equals")}
    card |= {name: value for name, value in changes.items() if name in ("after", "notes")}
    (run / "outcome.json").write_text(json.dumps(card))
    Manifest.of(run).write(run)


def replaced(run, recipe, *, keep=False, **changes):
    """Put a model into a run that was trained by another recipe, and rewrite all that the folder says of it."""
    trained = Trained.read(run / "unlearned")
    rows = only(trained.source.open(), [name for name in ROWS if name not in ("r3", "r40")])
    target = recipe.train(rows, seed=trained.seed)
    shutil.rmtree(run / "unlearned")
    target.save(run / "unlearned")
    stated = {} if keep else {"recipe": told(recipe), "recipe_digest": recipe.digest()}
    replace(trained, result=target.digest(), **stated, **changes).write(run / "unlearned")
    restated(run, after=target.digest())


def recipe_in(run):
    return recipe_of(Trained.read(run / "unlearned").recipe)


def placed(tables, name="placed.yaml"):
    recipe = (tables.root / "sisa.yaml").read_text()
    places = "".join(f"  r{i}: [{0 if i < 40 else 1}, {i % 2}]\n" for i in range(60))
    (tables.root / name).write_text(f"{recipe}partition: explicit\nplaces:\n{places}")
    return name


def test_an_equal_digest_that_nobody_signed_is_not_believed(made, earned, call):
    run = made()
    after = json.loads((run / "outcome.json").read_text())["after"]
    restated(run, equals=after, notes={"independent run": "run again by a stranger"})
    equality, notes = earned(run)
    assert equality == "distribution" and "independent run" not in notes
    said = call("verify", run / "certificates" / "model.certificate.json")
    assert said.code == 0 and "in distribution" in said.out


def test_the_library_believes_no_outcome_of_an_independent_run(tables):
    table = open_table(str(tables.root / "table.csv"), label="y", id="name")
    target = expunge.train(LearnerRecipe("ridge", {"penalty": 0.5}), table, seed=0)
    request = expunge.Request(subject="u", scope=expunge.Records("r7"))
    outcome = expunge.unlearn(target, request, "statistics", table)
    vain = replace(outcome, replay=replace(outcome.replay, equals=outcome.replay.after))
    for certificate in (issue(request, vain), expunge.certify(request, vain)):
        assert certificate.earned == Exact("distribution")
    # The model as it was, given out for the one that forgot.
    before = target.digest()
    same = replace(outcome, target=target, replay=replace(outcome.replay, after=before, equals=before))
    assert isinstance(issue(request, same).earned, Unproven)
    with pytest.raises(ClaimError, match="still holds 1 of the 1 forgotten"):
        expunge.certify(request, same)


@pytest.mark.parametrize("recipe", ["ridge", "sisa.yaml"])
def test_a_model_that_still_holds_the_records_is_not_certified(recipe, made, refused, tmp_path):
    run = made(recipe=recipe)
    before = json.loads((run / "outcome.json").read_text())["before"]
    shutil.rmtree(run / "unlearned")
    shutil.copytree(tmp_path / "trained", run / "unlearned")
    restated(run, after=before, equals=before)
    assert "still holds 2 of the 2 forgotten records" in refused(2, "certify", run)


def test_a_model_on_file_that_is_another_than_the_result_is_not_called_equal(made, refused):
    run = made()
    record = (run / "unlearned" / "training.json").read_bytes()
    other = replace(recipe_in(run), settings={"penalty": 9.5})
    other.train(only(Trained.read(run / "unlearned").source.open(), ROWS[:20]), seed=0).save(run / "unlearned")
    (run / "unlearned" / "training.json").write_bytes(record)
    Manifest.of(run).write(run)
    assert "is another than its result states" in refused(2, "audit", "replay", run)
    assert not note_path(run).exists()


@pytest.mark.parametrize("there", [True, False], ids=["the model before is there", "it is gone"])
def test_a_recipe_that_was_not_committed_to_fails_though_digests_agree(there, made, earned, call, tmp_path):
    run = made()
    replaced(run, replace(recipe_in(run), settings={"penalty": 9.5}))
    if not there:
        shutil.rmtree(tmp_path / "trained")
    said = call("audit", "replay", run, "--json")
    assert said.code == 1 and said.json["equal"] and not said.json["holds"] and not note_path(run).exists()
    assert call("audit", "replay", run).out.startswith("NOT WHAT WAS COMMITTED TO: it was trained by another recipe")
    if there:
        assert earned(run)[0] == "distribution"


def test_a_recipe_that_is_said_to_be_the_first_one_is_not_in_the_log(made, earned, call):
    run = made()
    other = replace(recipe_in(run), settings={"penalty": 9.5})
    replaced(run, other, began=other.digest())
    said = call("audit", "replay", run)
    assert said.code == 0 and "not shown by the log" in said.out and not note_path(run).exists()
    equality, notes = earned(run)
    assert equality == "distribution" and "independent run" not in notes


def test_a_recipe_of_places_with_other_settings_fails(tables, made, call):
    run = made(recipe=placed(tables))
    replaced(run, replace(recipe_in(run), epochs=5))
    said = call("audit", "replay", run)
    assert said.code == 1 and said.out.startswith("NOT WHAT WAS COMMITTED TO")


@pytest.mark.parametrize("partition", ["contiguous", pytest.param("probability", marks=pytest.mark.slow)])
def test_places_that_the_result_chose_are_not_those_of_the_recipe(partition, tables, made, call, earned):
    odds = "probabilities: {" + ", ".join(f"r{i}: {(i % 7 + 1) / 50}" for i in range(60)) + "}\n"
    more = f"partition: {partition}\n" + (odds if partition == "probability" else "")
    (tables.root / f"{partition}.yaml").write_text((tables.root / "sisa.yaml").read_text() + more)
    run = made(recipe=f"{partition}.yaml")
    assert call("audit", "replay", run).code == 0
    equality, notes = earned(run)
    assert equality == "bitwise" and "the log was told of data sha256:" in notes["committed"]
    places = assignment(Saved(run / "unlearned").target.manifests)
    names = sorted(places)
    moved = {name: places[names[(i * 7 + 3) % len(names)]] for i, name in enumerate(names)}
    whole = recipe_in(run)
    replaced(run, replace(whole, places=moved), keep=True)
    said = call("audit", "replay", run)
    assert said.code == 1 and said.out.startswith("DIFFERENT") and not note_path(run).exists()
    replaced(run, replace(whole, places=moved))
    assert call("audit", "replay", run).out.startswith("NOT WHAT WAS COMMITTED TO")
    # A recipe that leaves them open is said to, and earns nothing.
    free = replace(whole, places=None)
    card = json.loads((run / "unlearned" / "training.json").read_text())
    card |= {"recipe": told(free), "recipe_digest": free.digest(), "began": free.digest()}
    (run / "unlearned" / "training.json").write_text(json.dumps(card))
    Manifest.of(run).write(run)
    said = call("audit", "replay", run)
    assert said.code == 0 and "the result's own choice" in said.out and not note_path(run).exists()


def test_a_recipe_that_named_the_gone_is_compared_with_the_whole_one_through_all_deletions(
    tables, made, call, earned, tmp_path
):
    name = placed(tables)
    made(recipe=name)
    run = made(ids="r7", recipe=name, model="x/unlearned", out="y")
    assert call("audit", "replay", run, "--json").json["committed"] is True
    assert earned(run)[0] == "bitwise"
    # Without any model that has it whole, nobody can say that the rest of it is what was committed to.
    shutil.rmtree(tmp_path / "trained")
    said = call("audit", "replay", run)
    assert said.code == 0 and "no model is left at hand that has it whole" in said.out
    assert not note_path(run).exists()


def test_whoever_certifies_looks_into_his_log_where_an_auditor_had_none(made, earned, call, monkeypatch, tmp_path):
    from expunge.ledger.keys import ensure_key
    from expunge.ledger.trust import trust

    run, own, other = made(), tmp_path / "home", tmp_path / "auditor"
    monkeypatch.setenv("EXPUNGE_HOME", str(other))
    said = call("audit", "replay", run, "--json")
    assert said.code == 0 and said.json["written"] and said.json["committed"] is None
    monkeypatch.setenv("EXPUNGE_HOME", str(own))
    trust(own, ensure_key(other).public, "the auditor")
    equality, notes = earned(run)
    assert equality == "bitwise" and "the log was told of data" in notes["committed"]
    shutil.rmtree(own / "ledger")
    equality, notes = earned(run)
    assert equality == "distribution" and notes["committed"].startswith("not shown by the log")


def test_an_auditor_without_a_log_vouches_for_the_recipe_that_he_ran_and_no_other(
    made, earned, call, monkeypatch, tmp_path
):
    from expunge.ledger.keys import ensure_key
    from expunge.ledger.trust import trust

    run, own, other = made(), tmp_path / "home", tmp_path / "auditor"
    first = Trained.read(run / "unlearned")
    recipe = replace(recipe_in(run), settings={"penalty": 9.5})
    replaced(run, recipe, began=recipe.digest())
    monkeypatch.setenv("EXPUNGE_HOME", str(other))
    assert call("audit", "replay", run).code == 0 and note_path(run).exists()
    monkeypatch.setenv("EXPUNGE_HOME", str(own))
    trust(own, ensure_key(other).public, "the auditor")
    # Once he has signed, the folder says the recipe that its owner's log knows.
    body = Trained.read(run / "unlearned")
    replace(body, recipe=first.recipe, recipe_digest=first.recipe_digest, began=first.began).write(run / "unlearned")
    Manifest.of(run).write(run)
    equality, notes = earned(run)
    assert equality == "distribution" and "another recipe or seed than the note" in notes["committed"]
