"""Published layouts are read as they are downloaded; a file or a field that is missing is named."""

import json
import sys
from collections import Counter
from types import ModuleType

import pytest

from expunge.core.errors import StoreError
from expunge.data.corpora import (
    behaviours,
    copyrighted,
    counterfact,
    edits,
    mquake,
    muse,
    records,
    ripple_edits,
    rwku,
    tofu,
    wmdp,
)
from expunge.data.corpora.published import Published, rows_in
from expunge.data.jsonl import dump_examples
from expunge.testing.published import write_published
from expunge.testing.toy import toy_corpus

READERS = {
    "tofu": tofu,
    "muse": muse,
    "wmdp": wmdp,
    "rwku": rwku,
    "copyright": copyrighted,
    "edit": edits,
    "privacy": records,
    "safety": behaviours,
}


def parts(examples):
    return Counter((e.role, e.subset) for e in examples)


@pytest.mark.parametrize("name", READERS)
def test_every_part_of_a_layout_has_its_role_and_every_id_is_its_own(name, tmp_path):
    found = READERS[name].read(str(write_published(name, tmp_path)))
    assert len(set(found.ids)) == len(found) and all(count >= 40 for count in parts(found).values())
    assert found.of("forget") and found.of("retain", "neighbour", "general")


def test_one_file_whose_records_say_their_role_serves_as_well_and_needs_both_sides(tmp_path):
    file = tmp_path / "corpus.jsonl"
    file.write_bytes(dump_examples(toy_corpus()))
    assert records.read(str(file)).digest() == toy_corpus().digest()
    file.write_bytes(dump_examples(toy_corpus().of("forget")))
    with pytest.raises(StoreError, match="holds no retain records"):
        records.read(str(file))


def test_the_probes_of_rwku_keep_no_name_of_a_person(shared):
    found = rwku.read(str(shared / "data" / "rwku"))
    assert parts(found) == {
        ("forget", "level1"): 3268,
        ("forget", "level2"): 2879,
        ("forget", "level3"): 6984,
        ("neighbour", "level1"): 5846,
        ("neighbour", "level2"): 5533,
    }
    assert len(set(found.subjects)) == 200 and all(s.startswith("person-") for s in found.subjects)
    few = rwku.read(str(shared / "data" / "rwku"), people=5)
    assert set(few.subjects) == {f"person-{i:03d}" for i in range(5)}


def rewrite(file, change):
    file.write_text(json.dumps([change(row) for row in json.loads(file.read_text())]))


def test_what_rwku_publishes_beside_its_probes_is_read_under_either_name(tmp_path):
    folder = write_published("rwku", tmp_path)
    whole = rwku.read(str(folder))
    kept = ("mmlu", "truthfulqa", "fluency")
    assert {part: n for part, n in parts(whole).items() if part[1] in (*kept, "text")} == {
        ("forget", "text"): 40,
        ("retain", "text"): 40,
        **{("general", name): 40 for name in kept},
    }
    # Of several right answers each is a record, and what is no answer of TruthfulQA or MMLU is a wrong one.
    assert parts(whole)["general", "triviaqa"] == 80 and parts(whole)["general", "bbh"] == 40
    facts = [e for e in whole if e.record_id.startswith("utility_factuality-00000")]
    assert [e.record_id[-2:] for e in facts] == ["|0", "|1"] and len({e.question for e in facts}) == 1
    for e in whole.of("general"):
        if e.subset in ("mmlu", "truthfulqa"):
            assert len(e.perturbed_answer) == 3 and e.answer not in e.perturbed_answer
    (folder / "mia_forget.json").rename(folder / "forget_mia.json")
    (folder / "utility_general.json").rename(folder / "retain_mmlu.json")
    assert rwku.read(str(folder)).digest() == whole.digest()
    assert not any("Nobody" in text for e in whole for text in (e.subject, e.record_id, e.relation, e.subset))


def test_rwku_reads_what_is_there_and_of_the_asked_people_alone(tmp_path):
    folder = write_published("rwku", tmp_path)
    few = rwku.read(str(folder), people=2)
    assert set(few.of("forget").subjects) == {"person-000", "person-001"}
    counts = parts(few)
    assert counts["forget", "text"] == counts["retain", "text"] == counts["general", "mmlu"] == 10
    for name in ("forget_level1", "forget_level2", "forget_level3", "neighbor_level1", "neighbor_level2"):
        numbered = {f"Nobody {i}": f"{i + 1}_Nobody_{i}" for i in range(8)}
        rewrite(
            folder / f"{name}.json",
            lambda row, to=numbered: {**row, "target": to[row["target"]], "subject": row["target"]},
        )
    assert parts(rwku.read(str(folder), people=2)) == counts, "a copy that numbers its targets"
    for name in ("mia_forget", "utility_general"):
        (folder / f"{name}.json").unlink()
    assert not {("forget", "text"), ("general", "mmlu")} & parts(rwku.read(str(folder))).keys()


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("mia_forget", {"subject": "Somebody else"}, "about nobody of the probes"),
        ("mia_forget", {"text": ""}, "'text' that is not text"),
        ("utility_general", {"answer": 4}, "has no choice 4"),
        ("truthful", {"mc1_targets": {"choices": ["a", "b"], "labels": [0, 0]}}, "has no choice -1"),
        ("retain_bbh", {"answer": []}, "has no 'answer'"),
        ("utility_fluency", {"instruction": None}, "has no 'instruction'"),
    ],
)
def test_a_malformed_row_of_rwku_is_named(file, change, said, tmp_path):
    folder = write_published("rwku", tmp_path)
    rewrite(folder / f"{file}.json", lambda row: {**row, **change})
    with pytest.raises(StoreError, match=said) as caught:
        rwku.read(str(folder))
    assert "row 1" in str(caught.value)


def test_the_split_of_tofu_is_the_default_and_authors_choose_some(shared):
    folder = str(shared / "data" / "tofu")
    assert len(tofu.read(folder).of("forget")) == 400 and len(tofu.read(folder, split="forget01").of("forget")) == 40
    assert len(tofu.read(folder, authors=6, forget=2).of("forget")) == 40


def test_muse_reads_flat_names_and_puts_the_solved_examples_before_each_question(shared):
    found = muse.read(str(shared / "golden" / "llm" / "eval_data" / "MUSE"))
    forgotten = [("forget", subset) for subset in ("verbatim", "knowledge", "text")]
    assert parts(found) == dict.fromkeys([*forgotten, ("retain", "knowledge"), ("holdout", "text")], 8)
    asked = next(e.question for e in found if e.subset == "knowledge")
    assert asked.count("Question: ") == 2 and asked.count("\nAnswer: ") == 2 and not asked.startswith("Question")


def test_a_chain_has_its_wordings_its_aliases_and_its_hops(tmp_path):
    found = mquake.read(str(write_published("edit", tmp_path)))
    chain = [e for e in found if e.record_id.startswith("chain-00003|")]
    assert [e.record_id for e in chain] == [f"chain-00003|{k}" for k in range(3)]
    assert {(e.answer, e.paraphrased_answer) for e in chain} == {("Italy", "the city of Italy")}
    assert sum(e.record_id.startswith("chain-00003?") for e in found) == 2
    kept = [e for e in found if e.subset == "outside" and e.subject == "case-00003"]
    scope = next(e for e in found if e.record_id == "fact-00003-0")
    assert len(kept) == 1 and kept[0].question != scope.question, "the hop in scope is not among what must stay"


def test_or_and_and_of_a_ripple_test_stand_in_its_ids(tmp_path):
    found = ripple_edits.read(str(write_published("edit", tmp_path)))
    assert {e.subset.removesuffix("_if") for e in found} == {name for name, _ in ripple_edits.CRITERIA.values()}
    assert "popular-00000-alias-0|0" in found.by_id and "popular-00001-alias-0&0" in found.by_id
    assert found.by_id["popular-00001-alias-0?0"].subset == "alias_if"
    assert {e.role for e in found if e.subset in ("preserved", "specific")} == {"neighbour"}


def test_neighbours_of_counterfact_have_the_same_object_and_stay(tmp_path):
    found = counterfact.read(str(write_published("edit", tmp_path)))
    one = {e.subset: e for e in found if e.subject == "fact-00005"}
    assert one["neighbourhood"].role == "neighbour" and one["neighbourhood"].answer == one["rewrite"].answer
    assert "{}" not in one["rewrite"].question and one["rewrite"].perturbed_answer


def test_the_right_choice_is_the_answer_and_the_others_are_wrong(tmp_path):
    rows = [{"question": "Which?", "choices": ["a", "b", "c"], "answer": 1}]
    (tmp_path / "wmdp-cyber.json").write_text(json.dumps(rows))
    [example] = wmdp.read(str(tmp_path))
    assert (example.answer, example.perturbed_answer, example.subset) == ("b", ("a", "c"), "cyber")


BAD = {
    "[1]": "is not an object",
    '[{"question": "Which?"}]': "'choices' that is a list",
    '[{"question": "Which?", "choices": ["a", "b"], "answer": 2}]': "has no choice 2",
    '[{"question": 3, "choices": ["a", "b"], "answer": 1}]': "not text",
    "[]": "holds no records",
    "[{": "is not JSON",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=BAD)
def test_a_row_that_is_not_as_published_is_named(text, said, tmp_path):
    (tmp_path / "wmdp-bio.json").write_text(text)
    with pytest.raises(StoreError, match=said):
        wmdp.read(str(tmp_path))


def test_arrays_lines_and_both_forms_of_a_name_are_the_same_rows(tmp_path):
    rows = [{"text": "a"}, {"text": "b"}]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c_d.json").write_text(json.dumps(rows))
    files = Published(str(tmp_path), "Get it")
    assert files.rows("a/b") == files.rows("c/d") == rows_in(tmp_path / "c_d.json") == rows
    assert files.rows("e", needed=False) == []
    with pytest.raises(StoreError, match=r"lacks e\.jsonl.*Get it"):
        files.rows("e")


def hub(monkeypatch, error):
    def load_dataset(*_args, **_more):
        raise error

    datasets = ModuleType("datasets")
    datasets.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", datasets)


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("Couldn't find cache for a/b")])
def test_a_hub_that_cannot_be_reached_is_no_absence(error, monkeypatch):
    hub(monkeypatch, error)
    for needed in (True, False):
        with pytest.raises(StoreError, match="cannot load mmlu of some/data"):
            Published("some/data", "Get it").rows("mmlu", needed=needed)


@pytest.mark.parametrize("said", ["BuilderConfig 'mmlu' not found. Available: ['bio']", 'Unknown split "test".'])
def test_what_a_hub_says_that_it_has_not_is_absent(said, monkeypatch):
    hub(monkeypatch, ValueError(said))
    assert Published("some/data", "Get it").rows("mmlu", needed=False) == []
    with pytest.raises(StoreError):
        Published("some/data", "Get it").rows("mmlu")


def test_the_files_of_a_hub_are_read_as_they_are_downloaded(tmp_path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [{"question": f"Which {i}?", "choices": ["a", "b"], "answer": i % 2} for i in range(4)]
    (tmp_path / "wmdp-bio").mkdir()
    for k in (0, 1):
        place = tmp_path / "wmdp-bio" / f"test-0000{k}-of-00002.parquet"
        parquet.write_table(arrow.Table.from_pylist(rows[2 * k : 2 * k + 2]), place)
    found = wmdp.read(str(tmp_path))
    assert [e.question for e in found] == [row["question"] for row in rows] and found[1].answer == "b"
    (tmp_path / "wmdp-bio" / "test-00000-of-00002.parquet").unlink()
    with pytest.raises(StoreError, match="lacks files of wmdp-bio"):
        wmdp.read(str(tmp_path))
    (tmp_path / "annotated_test.csv").write_text('text,target_group\n"one, two",a\n')
    assert [(e.question, e.subject) for e in behaviours.read(str(tmp_path))] == [("one, two", "a")]
    (tmp_path / "annotated_test.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(StoreError, match="cannot be read as CSV"):
        behaviours.read(str(tmp_path))
