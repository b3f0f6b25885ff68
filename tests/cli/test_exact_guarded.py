"""expunge train and unlearn: other data, another request, a swapped recipe or a passing error are told as such."""

import json
import shutil

import pytest

from expunge.core.errors import TargetError, WorkerLost
from expunge.engine.parts.building import load_sharded
from expunge.engine.trainers.estimator import Estimator
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.targets.shard_manifest import assignment
from expunge.workflow import audit_replay

from .exact_cases import here, make_tables, retold

EACH = [("ridge", "table.csv", "statistics"), ("sisa.yaml", "classes.csv", "sisa")]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture
def same_process(monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)


def rewritten(tables, data, place, change):
    lines = (tables.root / data).read_text().splitlines()
    path = place / data
    path.write_text("\n".join(change(lines)) + "\n")
    return path


@pytest.mark.parametrize(("recipe", "data", "method"), EACH, ids=["statistics", "sisa"])
@pytest.mark.parametrize("row", ["forgotten", "kept"])
def test_rows_that_are_not_what_was_trained_on_are_refused_before_anything_changes(
    row, recipe, data, method, tables, call, refused, tmp_path
):
    assert call(*tables.train(tmp_path / "trained", recipe=recipe, data=data)).code == 0
    name = "r3" if row == "forgotten" else "r17"

    def edit(lines):
        return [line if line.split(",")[0] != name else line.replace(",", ",9", 1) for line in lines]

    other = rewritten(tables, data, tmp_path, edit)
    asked = tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3", "--data", str(other), method=method)
    assert f"record '{name}' is not what was trained on" in refused(2, *asked)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("recipe", "data", "method"), EACH, ids=["statistics", "sisa"])
def test_a_place_is_not_taken_for_a_person_once_a_line_is_gone(
    recipe, data, method, tables, call, refused, tmp_path, caplog
):
    def bare(lines):
        return [line.partition(",")[2] for line in lines]

    path = rewritten(tables, data, tmp_path, bare)
    where = ["--data", str(path), "--label", "y", "--out", str(tmp_path / "trained")]
    assert call("train", "--recipe", str(tables.root / recipe) if "." in recipe else recipe, *where).code == 0
    assert "have no ids and are named after their places" in caplog.text
    lines = path.read_text().splitlines()
    # The first row is gone, another one came at the end: as many rows, and every id is there.
    path.write_text("\n".join([lines[0], *lines[2:], lines[5]]) + "\n")
    asked = tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", f"{path.stem}-00007", method=method)
    assert "is not what was trained on" in refused(2, *asked)
    assert not (tmp_path / "x").exists()


def test_a_second_deletion_is_held_to_the_same_rows(tables, call, refused, tmp_path):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3")).code == 0
    model = tmp_path / "x" / "unlearned"
    told, before = (json.loads((at / "training.json").read_text()) for at in (model, tmp_path / "trained"))
    assert set(before["members"]) - set(told["members"]) == {"r3"}
    # Under a salt of its own, so that what was said of a record before says nothing of it now.
    assert told["salt"] != before["salt"] and not set(told["members"].values()) & set(before["members"].values())
    lines = (tables.root / "table.csv").read_text().splitlines()
    swapped = [*lines[:10], "r9," + lines[11].partition(",")[2], *lines[11:]]
    other = rewritten(tables, "table.csv", tmp_path, lambda _: swapped)
    assert "is not what" in refused(2, *tables.forget(model, tmp_path / "y", "--ids", "r5", "--data", str(other)))
    assert call(*tables.forget(model, tmp_path / "z", "--ids", "r5")).code == 0


def test_checkpoints_outlive_a_passing_error_and_the_same_command_continues(tables, call, tmp_path, monkeypatch):
    command = tables.train(tmp_path / "out", "--json", recipe="sisa.yaml", data="classes.csv")
    trained, train = [], Estimator.train

    def failing(self, *given, names, **more):
        if len(trained) == 3:
            raise TargetError("no space left")
        trained.append(names)
        return train(self, *given, names=names, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Estimator, "train", failing)
        assert call(*command).code == 2
    assert (tmp_path / "out" / ".work").is_dir() and not (tmp_path / "out" / "target.json").exists()
    seen = []
    monkeypatch.setattr(
        Estimator, "train", lambda self, *g, names, **m: (seen.append(names), train(self, *g, names=names, **m))[1]
    )
    assert call(*command).code == 0
    assert len(seen) == 1 and not set(seen) & set(trained)


def test_a_deletion_keeps_its_checkpoints_when_workers_are_lost_and_takes_no_other_request(
    tables, call, refused, tmp_path, monkeypatch
):
    assert call(*tables.train(tmp_path / "trained", recipe="sisa.yaml", data="classes.csv")).code == 0
    done, train = [], Estimator.train

    def lost(self, *given, **more):
        if len(done) == 2:
            raise WorkerLost("shard 1", 3)
        done.append(more["names"])
        return train(self, *given, **more)

    def asked(ids):
        return tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", ids, method="sisa")

    everyone = ",".join(f"r{i}" for i in range(20))
    with monkeypatch.context() as patch:
        patch.setattr(Estimator, "train", lost)
        assert call(*asked(everyone)).code != 0
    assert (tmp_path / "x" / ".work").is_dir()
    assert "another request was begun" in call(*asked("r33")).err
    assert (tmp_path / "x" / ".work").is_dir()
    assert call(*asked(everyone)).code == 0


def test_an_audit_says_what_the_log_shows_and_no_more(tables, call, tmp_path, monkeypatch, same_process):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3,r5")).code == 0
    assert "the log was told of all data, the recipe and the seed" in call("audit", "replay", tmp_path / "x").out
    found = call("audit", "replay", tmp_path / "x", "--json").json
    assert (found["committed"], found["not_shown"]) == (True, "")
    # The vault is there and the log is not: nothing shows what was said before the training.
    shutil.rmtree(tmp_path / "home" / "ledger", ignore_errors=True)
    said = call("audit", "replay", tmp_path / "x")
    assert said.code == 0 and "equal" in said.out and "not shown by the log" in said.out


def test_a_partition_that_was_swapped_after_the_training_is_not_equal(tables, call, tmp_path, same_process):
    recipe = (tables.root / "sisa.yaml").read_text()
    places = "".join(f"  r{i}: [{0 if i < 50 else 1}, {i % 2}]\n" for i in range(60))
    (tables.root / "placed.yaml").write_text(f"{recipe}partition: explicit\nplaces:\n{places}")
    assert call(*tables.train(tmp_path / "trained", recipe="placed.yaml", data="classes.csv")).code == 0
    asked = tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3", method="sisa")
    assert call(*asked).code == 0
    said = call("audit", "replay", tmp_path / "x")
    assert said.code == 0 and "the log was told of all data, the recipe and the seed" in said.out

    def keyed(body):
        from expunge.workflow.recipe_file import recipe_of

        body["recipe"] |= {"partition": "keyed", "places": None}
        body["recipe_digest"] = body["began"] = recipe_of(body["recipe"]).digest()

    retold(tmp_path / "x", keyed)
    assert "DIFFERENT" in call("audit", "replay", tmp_path / "x").out


def test_another_seed_in_the_record_than_in_the_log_is_not_called_committed(tables, call, tmp_path, same_process):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3")).code == 0
    retold(tmp_path / "x", lambda body: body.update(seed=5))
    # Ridge draws nothing, so that the result is the same under any seed.
    said = call("audit", "replay", tmp_path / "x")
    assert said.code == 0 and "equal" in said.out and "not shown by the log" in said.out


def test_rows_of_one_subject_stand_together_and_those_without_one_apart(tables, call, refused, tmp_path):
    lines = (tables.root / "classes.csv").read_text().splitlines()
    who = ["who", *("Ana" if i < 20 else "" for i in range(60))]
    (tables.root / "of.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, who, strict=True)) + "\n")
    (tables.root / "by.yaml").write_text((tables.root / "sisa.yaml").read_text() + "by: subject\n")
    command = tables.train(tmp_path / "out", recipe="by.yaml", data="classes.csv")
    assert "nothing says whom the rows are about" in call(*command).words
    assert not (tmp_path / "out").exists()
    command = tables.train(tmp_path / "out", "--subject", "who", recipe="by.yaml", data="of.csv")
    assert call(*command).code == 0
    places = assignment(load_sharded(tmp_path / "out").manifests)
    assert len({places[f"r{i}"] for i in range(20)}) == 1
    assert {places[f"r{i}"] for i in range(20, 60)} == {(k, r) for k in range(2) for r in range(2)}
    asked = tables.forget(tmp_path / "out", tmp_path / "x", "--ids", "r3", method="sisa")
    assert call(*asked).code == 0


def test_a_dry_run_tells_what_of_a_column_stays(tables, call, tmp_path, caplog):
    assert call(*tables.train(tmp_path / "out", "--dry-run")).code == 0
    assert "which values occur in column colour is read off the data" in caplog.text
    assert not (tmp_path / "out").exists()


def test_a_certificate_says_of_which_column_a_value_outlives_its_last_row(tables, call, tmp_path):
    lines = (tables.root / "table.csv").read_text().splitlines()
    text = "\n".join(line.replace("red", "mauve") if line.startswith(("r7,", "r8,")) else line for line in lines)
    (tables.root / "mauve.csv").write_text(text + "\n")
    assert call(*tables.train(tmp_path / "trained", data="mauve.csv")).code == 0
    for ids, alone in (("r3", False), ("r7", False), ("r7,r8", True)):
        out = tmp_path / ids
        assert call(*tables.forget(tmp_path / "trained", out, "--ids", ids)).code == 0
        certificate = call("certify", out, "--json").json["certificate"]
        told = dict(certificate["notes"])["columns"]
        assert "colour was read off the data" in told and "mauve" not in json.dumps(certificate)
        assert ("In colour no kept row has some value" in told) is alone
        assert "mauve" in (out / "unlearned" / "training.json").read_text()


def test_a_label_outlives_its_last_row_too(tables, call, tmp_path):
    lines = (tables.root / "classes.csv").read_text().splitlines()
    named = [line.rsplit(",", 1) for line in lines[1:]]
    rows = [f"{row},{'rare' if at == 4 else 'one' if y == '1' else 'none'}" for at, (row, y) in enumerate(named)]
    (tables.root / "rare.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    train = tables.train(tmp_path / "trained", recipe="gaussian_naive_bayes", data="rare.csv")
    assert call(*train).code == 0
    for ids, alone in (("r3", False), ("r4", True)):
        assert call(*tables.forget(tmp_path / "trained", tmp_path / ids, "--ids", ids)).code == 0
        told = json.loads((tmp_path / ids / "outcome.json").read_text())["notes"]["columns"]
        assert ("In y no kept row has some value" in told) is alone


def test_a_certificate_says_whose_key_ran_it_again(tables, call, tmp_path, monkeypatch, same_process):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3")).code == 0
    own, other = tmp_path / "home", tmp_path / "auditor"
    for home, words in ((own, "by the same key that certifies"), (other, "by another key than")):
        monkeypatch.setenv("EXPUNGE_HOME", str(home))
        assert call("audit", "replay", tmp_path / "x").code == 0
        monkeypatch.setenv("EXPUNGE_HOME", str(own))
        trust(own, ensure_key(home).public, "the auditor" if home is other else "mine")
        said = call("certify", tmp_path / "x", "--json")
        assert words in dict(said.json["certificate"]["notes"])["independent run"]
        path = tmp_path / "x" / "certificates" / "model.certificate.json"
        assert f"independent run: run again {words}" in call("verify", path).out


def test_a_run_is_told_from_the_model_in_it(tables, call, refused, tmp_path):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3")).code == 0
    again = tables.forget(tmp_path / "x", tmp_path / "y", "--ids", "r5")
    assert f"Give --model {tmp_path / 'x'}/unlearned" in refused(2, *again)
