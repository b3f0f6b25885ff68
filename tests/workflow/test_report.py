"""Reports from what a finished run left on disk."""

import json
import shutil
import subprocess
import sys

import pytest

from expunge.core.canonical import digest_file, read_json
from expunge.core.errors import ConfigError, EvidenceError, StoreError
from expunge.core.files import write_json
from expunge.core.manifest import Manifest
from expunge.data.jsonl import dump_examples, read_examples
from expunge.workflow import demo, report_text
from expunge.workflow.report import render, write
from expunge.workflow.single import Paths, unlearn_paths
from expunge.workflow.single_evaluate import evaluate_folder


def personal(run):
    return {entry.path: entry.contains_personal_data for entry in Manifest.read(run).entries}


def test_the_run_is_rendered_again_byte_for_byte(walked):
    assert render([walked.out]).html == (walked.out / "report.html").read_text()
    before = {p: p.read_bytes() for p in walked.out.rglob("*") if p.is_file()}
    write(render([walked.out]))
    assert {p: p.read_bytes() for p in walked.out.rglob("*") if p.is_file()} == before


def test_the_evidence_has_what_is_drawn_and_no_name(walked):
    text = (walked.out / "evidence.json").read_text()
    evidence = json.loads(text)
    rows = {row["key"]: row for row in evidence["rows"]}
    assert {"recovery", "strips", "distributions"} <= rows["npo"].keys()
    assert "strips" not in rows["original"] and "recovery" not in rows["prompt_filter"]
    assert rows["npo"]["recovery"][0]["steps"] == 0
    gap = rows["npo"]["recovery"][-1]["value"] - rows["retrained"]["recovery"][-1]["value"]
    assert gap == pytest.approx(rows["npo"]["cells"]["relearn_gap"]["value"], abs=1e-4)
    records = [json.loads(line) for line in (walked.out / "corpus.jsonl").read_text().splitlines()]
    forgotten = [r for r in records if r["role"] == "forget"]
    assert len(evidence["items"]["people"]) == len(forgotten)
    assert not [r for r in forgotten for part in ("answer", "question", "subject", "record_id") if r[part] in text]


def test_a_report_with_text_shows_the_records_and_is_listed_as_personal(walked):
    write(render([walked.out], show_text=True))
    path = walked.out / "report-with-text.html"
    records = [json.loads(line) for line in (walked.out / "corpus.jsonl").read_text().splitlines()]
    page = path.read_text()
    for record in records:
        if record["role"] == "forget":
            assert record["question"] in page and record["answer"] in page
    assert personal(walked.out)[path.name] is True
    assert personal(walked.out)["report.html"] is False
    assert Manifest.read(walked.out).changed(walked.out) == []
    assert path.stat().st_mode & 0o077 == 0


def test_text_stands_beside_the_numbers_of_its_own_record(walked):
    from expunge.evaluation.score_table import load_tables
    from expunge.metrics.probability import probability
    from expunge.workflow.report_text import texts_of

    evidence = read_json(walked.out / "evidence.json")
    texts = texts_of(walked.out, evidence)
    records = [json.loads(line) for line in (walked.out / "corpus.jsonl").read_text().splitlines()]
    asked = {r["question"]: r for r in records}
    for model, said in texts.generated.items():
        table = load_tables(walked.out / "scores" / model)["forget"]
        place = {name: k for k, name in enumerate(table["ids"])}
        for n, question in enumerate(texts.questions):
            record = asked[question]
            assert texts.answers[n] == record["answer"]
            assert said[n] == table["generated"][place[record["record_id"]]]
            if model in evidence["items"]["scores"]["probability"]:
                value = probability.of(table)[place[record["record_id"]]]
                assert evidence["items"]["scores"]["probability"][model][n] == pytest.approx(value, abs=0.006)


def test_tokens_of_a_strip_spell_its_answer(walked):
    from expunge.workflow.report_text import texts_of

    texts = texts_of(walked.out, read_json(walked.out / "evidence.json"))
    assert texts.tokens
    for item, tokens in texts.tokens.items():
        spelled = "".join(tokens[:-1]).replace(" ", "")
        assert spelled == texts.answers[item - 1].replace(" ", "")


def test_a_finished_run_stays_finished_after_reports(walked, small, monkeypatch):
    monkeypatch.setattr(demo, "_walk", None)
    write(render([walked.out], show_text=True))
    write(render([walked.out], out=walked.out / "again.html"))
    assert demo.demo(walked.out, seed=3) == walked.table
    assert personal(walked.out)["again.html"] is False


def test_a_run_that_was_changed_is_not_declared_whole_by_a_report(walked):
    (walked.out / "table.txt").write_text("changed")
    note = read_json(walked.out / "done.json")
    write(render([walked.out], show_text=True))
    assert read_json(walked.out / "done.json")["key"] == note["key"]
    assert Manifest.read(walked.out).changed(walked.out) == ["table.txt"]


def test_text_may_not_take_the_place_of_what_is_listed_as_free_of_it(walked):
    for name in ("report.html", "certificates/x.html"):
        with pytest.raises(ConfigError, match="listed as free of text"):
            render([walked.out], out=walked.out / name, show_text=True)


def test_score_tables_of_other_records_are_not_shown(walked):
    evidence = read_json(walked.out / "evidence.json")
    evidence["items"]["scores"]["probability"]["original"][0] = 0.123
    write_json(walked.out / "evidence.json", evidence)
    with pytest.raises(EvidenceError, match="not those that the evidence was made from"):
        render([walked.out], show_text=True)
    render([walked.out])


def test_a_run_whose_scores_were_deleted_still_has_its_report_but_no_text(walked):
    page = render([walked.out]).html
    shutil.rmtree(walked.out / "scores")
    (walked.out / "corpus.jsonl").unlink()
    assert render([walked.out]).html == page
    with pytest.raises(StoreError, match="keeps no text"):
        render([walked.out], show_text=True)


def test_two_runs_of_the_same_records_are_subtracted_and_of_others_not(walked, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(walked.out, copy)
    page = render([walked.out, copy], out=tmp_path / "c.html")
    assert "differ by more than their intervals allow" in page.html
    assert digest_file(copy / "corpus.jsonl") not in page.html
    (copy / "corpus.jsonl").unlink()
    assert "the records of copy are no longer there" in render([walked.out, copy]).html


def test_a_single_request_is_compared_with_the_run_whose_models_it_used(walked, tmp_path):
    corpus = read_examples(walked.out / "corpus.jsonl")
    files = {}
    for role in ("forget", "retain", "holdout", "validation", "general"):
        files[role] = tmp_path / f"{role}.jsonl"
        files[role].write_bytes(dump_examples(corpus.of(role)))
    mine = tmp_path / "mine"
    unlearn_paths(Paths(str(walked.out / "original"), **files), "npo", mine, settings={"steps": 3}, seed=3)
    models = {"reference": str(walked.out / "retrained"), "second": str(walked.out / "second_reference")}
    evaluate_folder(mine, policy="research-tofu", **models, seed=3)
    page = render([mine, walked.out], out=tmp_path / "c.html").html
    assert "differ by more than their intervals allow" in page and "No differences are shown" not in page
    ours, theirs = ({r["key"]: r for r in read_json(run / "evidence.json")["rows"]} for run in (mine, walked.out))
    assert list(ours) == ["original", "retrained", "second_reference", "npo"]
    for key in ("original", "retrained", "second_reference"):
        for name in ("ks", "log10_p", "probability", "truth_ratio", "rouge_l", "min_k_auc", "model_utility"):
            assert ours[key]["cells"][name]["value"] == theirs[key]["cells"][name]["value"], (key, name)
    texts = report_text.texts_of(mine, read_json(mine / "evidence.json"))
    assert set(texts.generated) == set(ours) and set(texts.answers) == {e.answer for e in corpus.of("forget")}
    assert {e.question for e in corpus.of("forget")} == set(texts.questions)


def test_a_run_of_several_seeds_names_the_folders_that_keep_its_text(walked, tmp_path):
    pooled = tmp_path / "pooled"
    shutil.copytree(walked.out, pooled / "seed-0")
    shutil.copy(walked.out / "evidence.json", pooled)
    with pytest.raises(StoreError, match="Name the folder of one seed"):
        render([pooled], show_text=True)
    assert "differ by more than" in render([pooled, walked.out]).html


def test_no_torch_is_loaded(walked):
    code = f"""
import sys
from pathlib import Path
from expunge.workflow.report import render
render([Path({str(walked.out)!r})], show_text=True)
assert not {{"torch", "transformers"}} & set(sys.modules), "loaded"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
