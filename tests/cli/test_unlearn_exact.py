"""expunge unlearn, certify and verify on what expunge train made: ids in any form, one result, honest residue."""

import json
import shutil
from contextlib import nullcontext

import pytest

from expunge.core.canonical import digest_folder
from expunge.workflow.verbs import adopt

from .exact_cases import make_tables

GONE = ("r3", "r5", "r41")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = make_tables(tmp_path_factory.mktemp("tables"))
    lines = (root.root / "table.csv").read_text().splitlines()
    (root.root / "ids.txt").write_text("".join(f"{name}\n" for name in GONE))
    (root.root / "gone.csv").write_text("\n".join([lines[0], *(lines[1 + int(n[1:])] for n in GONE)]) + "\n")
    rows = ({"record_id": name, "question": "a row", "answer": "none"} for name in GONE)
    (root.root / "gone.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root.root / "kept.csv").write_text("\n".join(line for line in lines if line.split(",")[0] not in GONE) + "\n")
    return root


@pytest.fixture
def trained(tables, call, tmp_path):
    out = tmp_path / "trained"
    assert call(*tables.train(out)).code == 0
    return out


def test_ids_in_any_form_give_what_training_without_them_gives(tables, trained, call, tmp_path):
    found, original = {}, digest_folder(trained)
    given = {"ids": ("--ids", ",".join(GONE))}
    given |= {name: ("--forget", str(tables.root / name)) for name in ("ids.txt", "gone.csv", "gone.jsonl")}
    for name, more in given.items():
        said = call(*tables.forget(trained, tmp_path / f"x-{name}", *more, "--json"))
        assert (said.code, said.err) == (0, "")
        found[name] = said.json["after"]
    assert len(set(found.values())) == 1
    assert digest_folder(trained) == original
    # The same salt, and the columns of the first training: the data without the rows might have fewer.
    salt = json.loads((trained / "target.json").read_text())["salt"]
    rest = tables.train(tmp_path / "rest", "--set", f"salt={salt}", data="kept.csv")
    assert call(*rest, "--json").json["digest"] == found["ids"]


@pytest.mark.parametrize("recipe", ["ridge", "sisa"])
def test_the_certificate_carries_the_replay_names_what_is_left_and_verifies_without_torch(
    recipe, tables, call, tmp_path, without, monkeypatch
):
    more = {"recipe": "sisa.yaml", "data": "classes.csv"} if recipe == "sisa" else {}
    method = "sisa" if recipe == "sisa" else "statistics"
    assert call(*tables.train(tmp_path / "trained", **more)).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3,r8", method=method)).code == 0
    said = call("certify", tmp_path / "x", "--json")
    assert said.code == 0 and said.json["earned"]["model"] == {"type": "Exact", "equality": "distribution"}
    certificate = said.json["certificate"]
    [replay] = certificate["artefacts"][0]["evidence"]
    card = json.loads((tmp_path / "x" / "outcome.json").read_text())
    assert replay["type"] == "Replay" and replay["equals"] == "" and replay["after"] == card["after"]
    assert certificate["artefacts"][0]["claimed"] == {"type": "Exact", "equality": "bitwise"}
    left = " ".join(place["path"] for place in certificate["residue"])
    parts = ("shards",) if recipe == "sisa" else ("state.safetensors", "state.json")
    for what in (*parts, "training.json", "the data that it was trained on", "the vault", "data.jsonl"):
        assert what in left
    assert "r3" not in json.dumps(certificate)
    assert not [place for place in (tables.root, tmp_path) if str(place) in json.dumps(certificate)]
    without("torch")
    for module in ("torch", "safetensors", "sklearn"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and "model: Exact (in distribution)" in verified.out


def test_what_was_forgotten_cannot_be_forgotten_again_and_more_can(tables, trained, call, refused, tmp_path):
    assert call(*tables.forget(trained, tmp_path / "x", "--ids", "r3")).code == 0
    again = tables.forget(tmp_path / "x" / "unlearned", tmp_path / "y", "--ids", "r3,r5")
    assert "not in this model: forgotten before" in refused(2, *again)
    more = tables.forget(tmp_path / "x" / "unlearned", tmp_path / "y", "--ids", "r5,r41", "--json")
    at_once = tables.forget(trained, tmp_path / "z", "--ids", ",".join(GONE), "--json")
    assert call(*more).json["after"] == call(*at_once).json["after"]
    assert len(json.loads((tmp_path / "y" / "unlearned" / "training.json").read_text())["unlearned_in"]) == 2


def test_the_data_may_have_moved_but_not_shrunk(tables, trained, call, refused, tmp_path):
    shutil.copy(tables.root / "table.csv", tmp_path / "moved.csv")
    body = json.loads((trained / "training.json").read_text())
    body["source"]["path"] = str(tmp_path / "absent.csv")
    listed = json.loads((trained / "manifest.json").read_text())
    (trained / "training.json").write_text(json.dumps(body))
    listed["files"] = [entry for entry in listed["files"] if entry["path"] != "training.json"]
    (trained / "manifest.json").write_text(json.dumps(listed))
    forget = tables.forget(trained, tmp_path / "x", "--ids", "r3")
    assert "absent.csv" in refused(2, *forget)
    short = refused(2, *forget, "--data", tables.root / "kept.csv")
    assert "3 records that the model learned are not in the data" in short
    assert call(*forget, "--data", tmp_path / "moved.csv").code == 0


@pytest.mark.slow
def test_workers_change_no_byte(tables, call, tmp_path, monkeypatch):
    from expunge.workflow import audit_replay

    from .exact_cases import here

    assert call(*tables.train(tmp_path / "trained", recipe="sisa.yaml", data="classes.csv")).code == 0
    alone = call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3,r8", "--json", method="sisa"))
    forget = tables.forget(tmp_path / "trained", tmp_path / "y", "--ids", "r3,r8", "--json", method="sisa")
    told = call(*forget, "--workers", "2")
    assert told.code == 0 and told.json["after"] == alone.json["after"] != told.json["before"]
    monkeypatch.setattr(audit_replay, "apply", here)
    again = call("audit", "replay", tmp_path / "y", "--workers", "2", "--json")
    assert again.code == 0 and again.json["equal"] and again.json["environment"]["threads"]


@pytest.mark.slow
def test_ray_trains_and_deletes_to_the_bytes_of_workers_and_of_this_process(tables, call, tmp_path):
    from expunge.execution.map import staying
    from expunge.execution.pool import Pool

    pytest.importorskip("ray", reason="the extra ray is not installed")
    told, bytes_of = {}, {}
    for name, more in {"here": (), "local": ("--workers", "2"), "ray": ("--ray", "--workers", "2")}.items():
        trained, run = tmp_path / f"trained-{name}", tmp_path / name
        # A cluster of its own that both commands find, so that it is started once.
        with staying(Pool("ray", workers=2)) if name == "ray" else nullcontext():
            made = call(*tables.train(trained, "--set", "salt=00ff", *more, recipe="sisa.yaml", data="classes.csv"))
            assert (made.code, made.err) == (0, "")
            forget = tables.forget(trained, run, "--ids", "r3,r8", *more, "--json", method="sisa")
            said = call(*forget)
        assert (said.code, said.err) == (0, "")
        told[name] = said.json["before"], said.json["after"]
        folders = {"before": trained, "after": run / "unlearned"}
        # Paths and the time stand in these two; all else is weights, optimiser, rows, manifests and cards.
        bytes_of[name] = {
            (when, path.relative_to(folder)): path.read_bytes()
            for when, folder in folders.items()
            for path in folder.rglob("*")
            if path.is_file() and path not in (folder / "training.json", folder / "manifest.json")
        }
    assert told["here"] == told["local"] == told["ray"] and told["here"][0] != told["here"][1]
    assert bytes_of["here"] == bytes_of["local"] == bytes_of["ray"]
    assert sum(path.name == "estimator.safetensors" for _, path in bytes_of["ray"]) == 8


def test_parts_are_trained_on_the_workers_that_were_asked_for(tables, call, tmp_path, monkeypatch):
    from expunge.engine.parts import building

    assert call(*tables.train(tmp_path / "trained", recipe="sisa.yaml", data="classes.csv")).code == 0
    seen, build = [], building.build_without

    def watched(target, plan, path, *, pool, stage):
        seen.append(pool)
        return build(target, plan, path, pool=None, stage=stage)

    monkeypatch.setattr(building, "build_without", watched)
    forget = tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3", method="sisa")
    assert call(*forget, "--workers", "3", "--dry-run").code == 0 and not seen
    assert call(*forget, "--workers", "3").code == 0
    assert [pool.workers for pool in seen] == [3]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "give --ids or one --forget"),
        (("--ids", "r3", "--forget", "ids.txt"), "give --ids or one --forget"),
        (("--ids", "r99,r3"), "1 of 2 records are not in the data"),
        (("--ids", " , "), "the forget set is empty"),
        (("--ids", "r3", "--retain", "table.csv"), "--retain has no meaning"),
        (("--ids", "r3", "--wish", "refuse"), "--wish has no meaning"),
        (("--ids", "r3", "--label", "y"), "go with --data"),
        (("--ids", "r3", "--method", "npo"), "npo reads its records from files by role"),
        (("--ids", "r3", "--method", "sisa"), "sisa needs a target with provenance Sharded"),
        (("--ids", "r3", "--method", "statistic"), "Did you mean 'statistics'"),
        (("--ids", "r3", "--set", "beta=2"), "beta"),
        (("--ids", "r3", "--workers", "2"), "statistics trains no parts"),
        (("--forget", "letter.txt"), "1 of 1 records are not in the data"),
        (("--forget", "other.csv"), "has no column 'name'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_changes_nothing(more, words, tables, trained, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tables.root)
    (tables.root / "letter.txt").write_text("Dear all\n")
    (tables.root / "other.csv").write_text("id,a\nr3,1\n")
    assert words in refused(2, *tables.forget(trained, tmp_path / "x"), *more)


def test_a_model_that_was_not_trained_so_is_refused_before_anything_changes(world, tables, refused, tmp_path):
    command = ["unlearn", "--model", world.path("original"), "--method", "replay", "--ids", "ana-city"]
    message = refused(2, *command, "--data", world.path("forget.jsonl"), "--out", tmp_path / "x")
    assert "replay needs a target with provenance Replayable" in message


def test_workers_are_for_models_of_parts(world, refused, tmp_path):
    assert "--workers and --ray" in refused(2, *world.unlearn(tmp_path / "x"), "--workers", "2")


@pytest.mark.parametrize("recipe", ["ridge", "sisa"])
def test_everything_can_be_forgotten_and_run_again(recipe, tables, call, tmp_path, monkeypatch):
    from expunge.workflow import audit_replay

    from .exact_cases import here

    more = {"recipe": "sisa.yaml", "data": "classes.csv"} if recipe == "sisa" else {}
    assert call(*tables.train(tmp_path / "trained", **more)).code == 0
    method, ids = "sisa" if recipe == "sisa" else "statistics", ",".join(f"r{i}" for i in range(60))
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", ids, method=method)).code == 0
    monkeypatch.setattr(audit_replay, "apply", here)
    said = call("audit", "replay", tmp_path / "x", "--json")
    assert said.code == 0 and said.json["equal"] and (said.json["records"], said.json["forgotten"]) == (0, 60)


@pytest.mark.parametrize("recipe", ["ridge", "sisa"])
def test_a_reference_is_trained_by_the_same_recipe_without_the_records(recipe, tables, call, tmp_path, monkeypatch):
    from expunge.workflow import audit_replay

    from .exact_cases import here

    monkeypatch.setattr(audit_replay, "apply", here)
    more = {"recipe": "sisa.yaml", "data": "classes.csv"} if recipe == "sisa" else {}
    method = "sisa" if recipe == "sisa" else "statistics"
    assert call(*tables.train(tmp_path / "trained", **more)).code == 0
    found = {}
    for name, way, seed in (("x", method, "0"), ("same", "retrain", "0"), ("other", "retrain", "5")):
        asked = tables.forget(tmp_path / "trained", tmp_path / name, "--ids", "r3,r8", "--seed", seed, method=way)
        assert call(*asked, "--dry-run").code == 0 and not (tmp_path / name).exists()
        said = call(*asked, "--json")
        assert said.code == 0, said.err
        found[name] = said.json["after"]
    # A learner draws nothing; the parts of SISA and where a record goes follow from the seed.
    assert found["same"] == found["x"] and (found["other"] == found["x"]) is (recipe == "ridge")
    said = call("audit", "replay", tmp_path / "other", "--json")
    assert said.code == 0 and said.json["equal"] and said.json["records"] == 58
    assert call("certify", tmp_path / "other", "--json").json["earned"]["model"]["equality"] == "distribution"
    again = tables.forget(tmp_path / "other" / "unlearned", tmp_path / "y", "--ids", "r5", method=method)
    assert call(*again).code == 0


def test_a_reference_is_of_the_data_that_was_trained_on(tables, call, refused, tmp_path):
    lines = (tables.root / "classes.csv").read_text().splitlines()
    (tables.root / "later.csv").write_text("\n".join(x[:-1] + "7" if x.startswith("r9,") else x for x in lines) + "\n")
    assert call(*tables.train(tmp_path / "trained", recipe="sisa.yaml", data="classes.csv")).code == 0
    asked = tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3", method="retrain")
    assert "record 'r9' is not what was trained on" in refused(2, *asked, "--data", tables.root / "later.csv")


def test_a_record_that_is_forgotten_is_not_named_by_the_recipe_any_more(tables, call, tmp_path, monkeypatch):
    from expunge.workflow import audit_replay

    from .exact_cases import SISA, here

    chances = ", ".join(f"r{i}: {0.25 if i % 2 else 0.5}" for i in range(60))
    text = f"{SISA}partition: probability\nprobabilities: {{{chances}}}\n"
    (tables.root / "chances.yaml").write_text(text)
    assert call(*tables.train(tmp_path / "trained", recipe="chances.yaml", data="classes.csv")).code == 0
    assert '"r3"' in (tmp_path / "trained" / "training.json").read_text()
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3", method="sisa")).code == 0
    told = (tmp_path / "x" / "unlearned" / "training.json").read_text()
    assert '"r3"' not in told and '"r4"' in told
    monkeypatch.setattr(audit_replay, "apply", here)
    assert call("audit", "replay", tmp_path / "x", "--json").json["equal"]


def test_a_file_of_the_model_that_changed_is_named(tables, trained, refused, tmp_path):
    body = (trained / "state.json").read_bytes()
    (trained / "state.json").write_bytes(body + b" ")
    assert "state.json changed since the run wrote it" in refused(
        2, *tables.forget(trained, tmp_path / "x", "--ids", "r3")
    )


def test_a_crash_leaves_the_old_model_valid_and_no_result(tables, trained, call, tmp_path, monkeypatch):
    before = adopt(trained).digest()

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("expunge.targets.learner.Learner.save", stop)
        assert call(*tables.forget(trained, tmp_path / "x", "--ids", "r3")).code == 130
    assert adopt(trained).digest() == before
    assert "holds no result" in call("certify", tmp_path / "x").err
    assert call(*tables.forget(trained, tmp_path / "x", "--ids", "r3")).code == 0
    assert call("certify", tmp_path / "x").code == 0
