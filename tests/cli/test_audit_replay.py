"""expunge audit replay: what an exact deletion claims is run again, and only equal digests raise the certificate."""

import json

import pytest

from expunge.core.canonical import read_json
from expunge.workflow import audit_replay
from expunge.workflow.replay_note import note_path

from .exact_cases import here, make_tables, retold


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture
def run(tables, call, tmp_path):
    assert call(*tables.train(tmp_path / "trained")).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "x", "--ids", "r3,r5")).code == 0
    assert call("certify", tmp_path / "x").code == 0
    return tmp_path / "x"


@pytest.fixture
def same_process(monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)


def certificate_of(run):
    return run / "certificates" / "model.certificate.json"


def earned(call, run):
    said = call("certify", run, "--json")
    assert said.code == 0, said.err
    return said.json["earned"]["model"]["equality"]


@pytest.mark.slow
def test_a_fresh_process_with_an_empty_cache_comes_to_the_same_bytes(run, call, tmp_path):
    first = certificate_of(run).read_bytes()
    said = call("audit", "replay", certificate_of(run), "--json")
    assert (said.code, said.err) == (0, "")
    found = said.json
    assert found["equal"] and found["replay"]["equals"] == read_json(run / "outcome.json")["after"]
    assert (found["records"], found["forgotten"], found["committed"]) == (58, 2, True)
    assert earned(call, run) == "bitwise"
    notes = dict(call("certify", run, "--json").json["certificate"]["notes"])
    assert notes["independent run"] == "run again by the same key that certifies"
    verified = call("verify", certificate_of(run))
    assert verified.code == 0 and "model: Exact (bit for bit)" in verified.out
    [aside] = (run / "certificates" / "superseded").glob("*.certificate.json")
    assert aside.read_bytes() == first != certificate_of(run).read_bytes()


def test_the_process_sees_neither_home_nor_cache_nor_folder_of_the_caller(run, call, monkeypatch, tmp_path):
    seen = {}

    for name in audit_replay.WITHIN:
        monkeypatch.setenv(name, str(tmp_path / "mine"))

    def looking(function, items, **how):
        import os

        def look(item):
            found = function(item)
            names = (*audit_replay.CACHES, *audit_replay.WITHIN)
            seen.update({name: os.environ[name] for name in names}, folder=os.getcwd(), pool=how["pool"])
            return found

        return here(look, items)

    monkeypatch.setattr(audit_replay, "apply", looking)
    assert call("audit", "replay", run, "--threads", "1").code == 0
    assert seen.pop("pool").threads == 1
    assert {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "TRANSFORMERS_CACHE"} < seen.keys()
    assert all("expunge-replay-" in place and str(tmp_path) not in place for place in seen.values())


def test_a_recipe_that_is_not_the_one_that_was_run_is_found_out(run, call, same_process):
    def other(body):
        from expunge.workflow.recipe_file import recipe_of

        body["recipe"]["settings"] = {"penalty": 2.5}
        body["recipe_digest"] = recipe_of(body["recipe"]).digest()

    retold(run, other)
    said = call("audit", "replay", run)
    assert said.code == 1 and said.out.startswith("DIFFERENT: a run from scratch on 58 records")
    assert said.out.count("\n") == 1 and "penalty" not in said.out
    assert not note_path(run).exists()


def test_a_certificate_whose_files_changed_is_not_replayed(run, call, same_process):
    retold(run, lambda body: body.update(seed=7))
    said = call("audit", "replay", certificate_of(run))
    assert said.code == 1 and "does not hold" in said.err


def test_rows_that_are_not_those_of_the_run_are_refused(run, tables, call, same_process, tmp_path):
    lines = (tables.root / "table.csv").read_text().splitlines()
    (tmp_path / "changed.csv").write_text("\n".join(x + "1" if x.startswith("r7,") else x for x in lines) + "\n")
    said = call("audit", "replay", run, "--data", tmp_path / "changed.csv")
    assert said.code == 2 and "the kept records are not those of the run" in said.err
    # The forgotten rows need not be there any more.
    lines = (tables.root / "table.csv").read_text().splitlines()
    (tmp_path / "left.csv").write_text("\n".join(x for x in lines if not x.startswith(("r3,", "r5,"))) + "\n")
    said = call("audit", "replay", run, "--data", tmp_path / "left.csv", "--json")
    assert said.code == 0 and said.json["equal"] and said.json["committed"] is False
    # What the log does not show earns nothing more.
    assert said.json["written"] is False and earned(call, run) == "distribution"


def test_other_versions_and_threads_are_said(run, call, same_process):
    def older(body):
        body["environment"] |= {"numpy": "1.0", "threads": "64"}

    retold(run, older)
    said = call("audit", "replay", run, "--json")
    assert said.code == 0 and said.json["equal"]
    told = " ".join(said.json["differing"])
    assert "numpy was 1.0, is " in told and "threads was 64, is " in told
    assert "numpy was 1.0, is " in call("audit", "replay", run).out


def test_a_note_counts_only_for_its_own_result_and_under_a_trusted_key(run, call, same_process, monkeypatch, tmp_path):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "auditor"))
    said = call("audit", "replay", run)
    assert said.code == 0 and note_path(run).exists()
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    assert "is not trusted here" in call("certify", run).err
    call("audit", "replay", run)
    mine = note_path(run).read_bytes()
    note_path(run).write_bytes(mine.replace(b'"sig":"', b'"sig":"A', 1))
    assert call("certify", run).code == 1
    note_path(run).write_bytes(mine)
    assert earned(call, run) == "bitwise"


def test_the_note_of_another_result_is_refused(run, tables, call, same_process, tmp_path):
    assert call("audit", "replay", run).code == 0
    assert call(*tables.forget(tmp_path / "trained", tmp_path / "y", "--ids", "r9")).code == 0
    note_path(tmp_path / "y").parent.mkdir()
    note_path(tmp_path / "y").write_bytes(note_path(run).read_bytes())
    assert "is about another result" in call("certify", tmp_path / "y").err


def test_an_audit_that_fails_takes_an_earlier_note_away(run, call, same_process):
    assert call("audit", "replay", run).code == 0 and note_path(run).exists()

    def other(body):
        from expunge.workflow.recipe_file import recipe_of

        body["recipe"]["settings"] = {"penalty": 2.5}
        body["recipe_digest"] = recipe_of(body["recipe"]).digest()

    retold(run, other)
    assert call("audit", "replay", run).code == 1
    assert not note_path(run).exists()


def test_shards_are_replayed_with_the_places_that_they_had(tables, call, same_process, tmp_path):
    (tables.root / "near.yaml").write_text((tables.root / "sisa.yaml").read_text() + "partition: contiguous\n")
    assert call(*tables.train(tmp_path / "t", recipe="near.yaml", data="classes.csv")).code == 0
    assert call(*tables.forget(tmp_path / "t", tmp_path / "x", "--ids", "r3,r40", method="sisa")).code == 0
    assert call("audit", "replay", tmp_path / "x").code == 0
    assert earned(call, tmp_path / "x") == "bitwise"


def test_what_claims_no_exact_deletion_is_refused(world, run, call, refused, tmp_path):
    assert call(*world.unlearn(tmp_path / "npo", "--steps", "1")).code == 0
    assert "claims no exact deletion" in refused(2, "audit", "replay", tmp_path / "npo")
    assert "cannot read the certificate" in refused(2, "audit", "replay", tmp_path / "absent.json")
    assert "holds no result" in refused(2, "audit", "replay", tmp_path / "trained")


def test_dry_run_says_what_would_be_trained(run, call):
    said = call("audit", "replay", run, "--dry-run", "--json")
    assert said.code == 0 and said.json["records"] == 58 and said.json["written"] is False
    assert json.loads((run / "outcome.json").read_text())["after"] == said.json["after"]
    assert not note_path(run).exists()


def test_what_is_claimed_up_to_rounding_may_differ_by_rounding(tables, call, same_process, tmp_path):
    more = ("--set", "exactness=1e-12", "--set", "penalty=0.5")
    assert call(*tables.train(tmp_path / "t", *more)).code == 0
    assert call(*tables.forget(tmp_path / "t", tmp_path / "x", "--ids", "r3,r5")).code == 0
    said = call("audit", "replay", tmp_path / "x", "--json")
    assert said.code == 0 and said.json["holds"] and said.json["replay"]["distance"] < 1e-10
    assert earned(call, tmp_path / "x") == "distribution"


def test_a_run_that_keeps_other_records_than_its_replay_states_is_found_out(run, call, same_process):
    path = run / "data.jsonl"
    path.write_text(path.read_text().replace('"forget"', '"retain"', 1))
    retold(run, lambda body: None)
    said = call("audit", "replay", run)
    assert said.code == 2 and "is not what its replay states" in said.err
