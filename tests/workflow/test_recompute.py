"""What a run found comes out of its score tables again, byte for byte, with no model and no torch in sight."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from expunge.core.canonical import digest, read_json
from expunge.core.errors import EvidenceError, StoreError
from expunge.core.manifest import Manifest
from expunge.core.registry import policies
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.evaluation.score_table import load_tables, save_tables
from expunge.ledger.verify import verify
from expunge.testing.toy import toy_corpus, toy_recipe, toy_store
from expunge.workflow.recompute import KEPT, judging_policy, recompute
from expunge.workflow.single import FOUND, SCORES, Paths, certify_folder, unlearn_paths
from expunge.workflow.single_evaluate import evaluate_folder

pytestmark = pytest.mark.slow

FINDINGS = ("evidence.json", "report.html", "summary.json", "table.txt")
WITHOUT_TORCH = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate", "peft"):
            raise ImportError(f"{name} is out of bounds")

sys.meta_path.insert(0, Refused())
from expunge.cli import main
sys.exit(main())
"""


def bytes_of(folder, names):
    return {name: (folder / name).read_bytes() for name in names}


def without_models(run):
    for path in run.rglob("model.safetensors"):
        path.unlink()
    for path in run.rglob("target.json"):
        path.unlink()


def test_a_run_s_findings_come_out_again_without_models_and_without_torch(walked, environment):
    before = bytes_of(walked.out, FINDINGS)
    without_models(walked.out)
    for name in FINDINGS:
        (walked.out / name).unlink()
    command = [sys.executable, "-c", WITHOUT_TORCH, "evaluate", "--from", str(walked.out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert bytes_of(walked.out, FINDINGS) == before
    assert done.stdout.split() == [word for name in FINDINGS for word in (name, "restored")]
    assert recompute(walked.out).files == dict.fromkeys(FINDINGS, "same")


def test_a_finished_run_is_not_changed_by_computing_it_again(walked):
    manifest = Manifest.read(walked.out)
    assert recompute(walked.out).same
    assert manifest.changed(walked.out) == [] and Manifest.of(walked.out) == manifest
    assert not {e.path: e.contains_personal_data for e in manifest.entries}[KEPT]
    kept = (walked.out / KEPT).read_text()
    for example in (walked.out / "corpus.jsonl").read_text().splitlines()[:3]:
        assert example.split('"')[3] not in kept


def test_a_score_that_was_changed_is_found_out_and_nothing_is_overwritten(walked):
    folder = walked.out / "scores" / "npo"
    tables = load_tables(folder)
    tables["forget"]["token_logp"] = tables["forget"]["token_logp"] - np.float32(1)
    save_tables(folder, tables, salt="00")
    before = bytes_of(walked.out, FINDINGS)
    found = recompute(walked.out)
    assert not found.same and found.files["evidence.json"] == "differs"
    assert bytes_of(walked.out, FINDINGS) == before


def test_what_lacks_its_score_tables_its_facts_or_its_policy_is_refused(walked):
    body = (walked.out / KEPT).read_text()
    (walked.out / KEPT).write_text(body.replace('"kind": "road"', '"kind": "lane"'))
    with pytest.raises(EvidenceError, match="is malformed"):
        recompute(walked.out)
    policy = read_json(walked.out / "plan.json")["policy"]["digest"]
    (walked.out / KEPT).write_text(body.replace(policy, policy[:-4] + "0000"))
    with pytest.raises(EvidenceError, match="is not the one that judged the run"):
        recompute(walked.out)
    (walked.out / KEPT).write_text(body)
    shutil.rmtree(walked.out / "scores" / "npo")
    with pytest.raises(EvidenceError, match="no score tables"):
        recompute(walked.out)
    (walked.out / KEPT).unlink()
    with pytest.raises(StoreError, match="holds no findings"):
        recompute(walked.out)


@pytest.fixture
def single(tmp_path, monkeypatch):
    """The folder of one request that was evaluated."""
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    corpus, recipe = toy_corpus(), toy_recipe(steps=6)
    recipe.train(toy_store(), seed=0).save(tmp_path / "original")
    rest = MemoryStore(e for e in corpus if e.role != "forget")
    for seed, name in ((1, "reference"), (2, "second")):
        recipe.train(rest, seed=seed).save(tmp_path / name)
    files = {}
    for role in ("forget", "retain", "holdout", "general"):
        files[role] = tmp_path / f"{role}.jsonl"
        files[role].write_bytes(dump_examples(corpus.of(role)))
    out = tmp_path / "mine"
    unlearn_paths(Paths(str(tmp_path / "original"), **files), "grad_ascent", out, settings={"steps": 2})
    paths = {name: str(tmp_path / name) for name in ("reference", "second")}
    evaluate_folder(out, policy="research-tofu", **paths)
    return out


def test_a_single_request_s_findings_come_out_again_without_models(single):
    names = (FOUND, *FINDINGS)
    before = bytes_of(single, names)
    shutil.rmtree(single / "unlearned")
    for name in ("original", "reference", "second"):
        shutil.rmtree(single.parent / name)
    assert recompute(single).files == dict.fromkeys(names, "same")
    for name in names:
        (single / name).unlink()
    assert recompute(single, write=False).files == dict.fromkeys(names, "restored")
    assert not (single / FOUND).exists()
    moved = single.rename(single.parent / "elsewhere")
    assert recompute(moved).files == dict.fromkeys(names, "restored")
    assert bytes_of(moved, names) == before


def test_a_single_request_s_tables_are_salted_personal_and_certified(single):
    entries = {e.path: e.contains_personal_data for e in Manifest.read(single).entries}
    tables = [path for path in entries if path.startswith(f"{SCORES}/")]
    assert len(tables) >= 4 * 4 and all(entries[path] for path in tables) and not entries[KEPT]
    salts = {read_json(single / path)["salt"] for path in tables if path.endswith(".json")}
    assert len(salts) == 4 and all(len(salt) > 40 for salt in salts)
    certificate, path = certify_folder(single)
    assert any(residue.path == SCORES for residue in certificate.residue)
    assert {f"{SCORES}/grad_ascent/forget.json", "evidence.json"} <= set(verify(path).checked)
    assert not any(entries[name] for name in FINDINGS)
    with pytest.raises(StoreError, match="expunge evaluate again"):
        (single / SCORES / "grad_ascent" / "forget.json").write_text("{}")
        certify_folder(single)


def test_a_run_is_judged_by_the_version_of_the_policy_that_judged_it():
    """The digest is that of version 1, as it was before policies had a wish and criteria a side."""
    first = "sha256:a93b53001022ee9b7bbd56a509ebdd9efeaa919047426ea64432895f04093127"
    now = policies.get("research_tofu")
    for version, told in (("1", first), (now.version, digest(now))):
        assert judging_policy({"policy": {"name": "research-tofu", "digest": told}}).version == version
    other = digest(replace(now, utility_floor=0.5, version="1"))
    with pytest.raises(EvidenceError, match="not the one that judged the run"):
        judging_policy({"policy": {"name": "research-tofu", "digest": other}})
