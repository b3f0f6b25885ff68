"""Bad input to ``unlearn``: one message that says what, why and what next, the exit code, and nothing half-written."""

import json
import shutil
import sqlite3

import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.core.example import Example
from expunge.data.jsonl import dump_examples
from expunge.workflow import single

ONE_TABLE = "here, give a file with one table of records."


def lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = {"question": "Where does Ana live?", "answer": "Ana lives in Oslo."}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("cannot read", "No such file", "Check the path")),
        (
            lines({"prompt": "Where?", "answer": "Oslo."}),
            ("has no 'question'", "are prompt, answer", "Name the columns"),
        ),
        (lines({**GOOD, "answer": "  "}), ("has no 'answer'",)),
        (lines({**GOOD, "answer": 7}), ("a 'answer' that is not text",)),
        (lines(GOOD) + '{"question": "Wh', (":2 is not JSON", "Unterminated string")),
        ('[{"question": "Wh', ("is not JSON",)),
        (lines(["question", "answer"]), ("is not an object", "it is a str")),
        ("", ("the forget set is empty", "holds no record")),
        ("[]", ("the forget set is empty",)),
        (lines({**GOOD, "record_id": "a"}, {**GOOD, "record_id": "a"}), ("share the id 'a'",)),
        (b"\xff\xfe\x00", ("is not UTF-8 text",)),
    ],
    ids=[
        "missing",
        "wrong column",
        "blank",
        "number",
        "broken line",
        "broken array",
        "no object",
        "empty file",
        "empty array",
        "same id twice",
        "not text",
    ],
)
def test_a_bad_forget_file(content, words, world, refused, tmp_path):
    path = tmp_path / "given.jsonl"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(2, *world.unlearn(tmp_path / "out", forget=path))
    assert all(word in message for word in (*words, "given.jsonl" if "share" not in message else "")), message


def test_a_record_to_forget_and_to_retain_is_refused_by_id_or_by_text(world, refused, tmp_path):
    retain = tmp_path / "retain.jsonl"
    for text in ("", "other "):
        clash = Example("ana-city" if text else "another", f"{text}Where does Ana live?", "Ana lives in Oslo.")
        forgotten = tmp_path / "forget.jsonl"
        forgotten.write_bytes(dump_examples([Example("ana-city", "Where does Ana live?", "Ana lives in Oslo.")]))
        retain.write_bytes(dump_examples([clash]))
        message = refused(2, *world.unlearn(tmp_path / "out", forget=forgotten, retain=retain))
        assert "forget and retain overlap in 1 record" in message
        assert clash.record_id in message
        way = "Put each record in one role." if text else "Name these records too; only an exact method can keep them."
        assert message.endswith(way)


def test_a_record_in_retain_and_general_is_refused(world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", general=world.root / "retain.jsonl"))
    assert "retain and general overlap in 9 records" in message


def test_files_of_one_name_without_ids_do_not_overlap(world, call, tmp_path):
    given = {}
    for role in ("forget", "retain"):
        given[role] = tmp_path / role / "data.jsonl"
        given[role].parent.mkdir()
        given[role].write_text(lines({"question": f"To {role}?", "answer": "Oslo."}))
    said = call(*world.unlearn(tmp_path / "out", "--dry-run", **given))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("would forget 1 records by npo")


def test_an_answer_longer_than_the_context(world, refused, tmp_path):
    for role in ("forget", "holdout"):
        path = tmp_path / f"{role}.jsonl"
        path.write_text(lines({"record_id": "long", "question": "Where?", "answer": "Oslo " * 60}))
        message = refused(2, *world.unlearn(tmp_path / "out", **{role: path}))
        assert "record 'long' is 6" in message
        assert "the context holds 48" in message
        assert "Shorten it" in message


def test_a_loss_that_is_not_a_number_names_the_step_and_leaves_nothing(world, refused, tmp_path):
    command = world.unlearn(tmp_path / "out", "--lr", "1e30", "--steps", "9", "--save-every", "1")
    message = refused(2, *command, planned=True)
    assert "is not a number at step 2 of 9" in message


def test_a_model_with_infinite_weights(world, refused, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(world.root / "original", broken)
    (broken / "target.json").unlink()
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] = torch.full_like(
        weights["model.layers.0.mlp.up_proj.weight"], torch.inf
    )
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    message = refused(2, *world.unlearn(tmp_path / "out", model=broken), planned=True)
    assert "the loss is not a number at step 1" in message


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ("asked by ana@example.org", "seems to hold an e-mail address"),
        ("asked by ana @example.org", "seems to hold an e-mail address"),
        ("Art. 17 GDPR " * 10, "is too long"),
    ],
)
def test_a_basis_that_may_name_somebody(basis, words, world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", "--basis", basis))
    assert words in message and "certificate" in message and "example.org" not in message


def test_a_forget_file_given_twice(world, refused, tmp_path):
    (tmp_path / "link.jsonl").symlink_to(world.root / "forget.jsonl")
    shutil.copy(world.root / "forget.jsonl", tmp_path / "copy.jsonl")
    for again in (world.path("forget.jsonl"), tmp_path / "link.jsonl", tmp_path / "copy.jsonl"):
        message = refused(2, *world.unlearn(tmp_path / "out", "--forget", str(again)))
        assert "is given twice" in message


def test_a_sequence_of_one(world, refused, tmp_path):
    assert "--in-sequence orders several requests" in refused(2, *world.unlearn(tmp_path / "out", "--in-sequence"))


def test_a_database_of_two_tables_gets_advice_that_can_be_followed_here(world, refused, tmp_path):
    pytest.importorskip("apsw")
    path = tmp_path / "two.sqlite"
    with sqlite3.connect(path) as db:
        for table in ("first", "second"):
            db.execute(f"CREATE TABLE {table} (question TEXT, answer TEXT)")
    db.close()
    message = refused(2, *world.unlearn(tmp_path / "out", forget=path))
    assert message.endswith("Name one with table=. That is an argument of load_data in Python: " + ONE_TABLE)


def test_an_unknown_method_gets_near_names(world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", method="nop"))
    assert message == "expunge: unknown method 'nop'. Did you mean 'npo'?"


def test_a_setting_that_the_method_lacks(world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", "--steps", "3", method="prompt_filter"))
    assert message == "expunge: unknown setting of prompt_filter 'steps'. Did you mean 'system'?"


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_learning_rate_that_is_none(rate, world, refused, tmp_path):
    assert "lr cannot be" in refused(2, *world.unlearn(tmp_path / "out", "--lr", rate))


def test_a_target_that_lacks_what_the_method_needs(world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", method="statistics"))
    assert "statistics works on learner" in message
    assert "this target is a causal_lm" in message


def test_retrain_needs_a_recipe(world, refused, tmp_path):
    message = refused(2, *world.unlearn(tmp_path / "out", method="retrain"))
    assert "retrain needs the recipe of the target" in message


def test_a_method_without_what_its_loss_reads(world, refused, tmp_path):
    command = world.unlearn(tmp_path / "out")
    at = command.index("--retain")
    message = refused(2, *command[:at], *command[at + 2 :])
    assert "the retain set is empty" in message


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, ("no model at", "does not exist", "Check the path")),
        (lambda folder: folder.mkdir(), ("cannot load a causal LM from",)),
        (lambda folder: pickled(folder), ("holds only pickled weights", "pytorch_model.bin", "safetensors")),
        (lambda folder: folder.write_bytes(b"\x80\x04"), ("is a pickle", "loading one runs code")),
    ],
    ids=["missing", "empty", "pickled", "a pickle"],
)
def test_a_model_that_cannot_be_loaded(make, words, world, refused, tmp_path):
    make(tmp_path / "model.pkl")
    message = refused(2, *world.unlearn(tmp_path / "out", model=tmp_path / "model.pkl"))
    assert all(word in message for word in words), message


def pickled(folder):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")


def test_a_model_that_changed_since_it_was_saved(world, refused, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(world.root / "original", changed)
    weights = load_file(changed / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert "changed since it was saved" in refused(2, *world.unlearn(tmp_path / "out", model=changed))


def test_a_truncated_tensor_file(world, refused, tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(world.root / "original", cut)
    data = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "cannot load a causal LM from" in refused(2, *world.unlearn(tmp_path / "out", model=cut))


def test_a_result_folder_that_is_a_file_or_holds_other_files(world, refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    message = refused(2, *world.unlearn(tmp_path / "file"))
    assert "cannot work in" in message
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data.jsonl").write_text("mine")
    assert "holds other files" in refused(2, *world.unlearn(tmp_path / "folder"))


def test_an_error_deep_in_a_path_leaves_no_parent_folders(world, refused, tmp_path):
    refused(2, *world.unlearn(tmp_path / "a" / "b" / "c", method="statistics"))


def test_a_second_process_in_one_folder_is_refused(world, refused, tmp_path):
    with single.locked(tmp_path / "out"):
        message = refused(2, *world.unlearn(tmp_path / "out"))
    assert "another process is working in" in message
    assert message.endswith("Wait for it, or choose another folder.")


def test_a_dry_run_checks_and_writes_nothing(world, call, refused, tmp_path):
    said = call(*world.unlearn(tmp_path / "out", "--dry-run"))
    assert (said.code, said.err) == (0, "")
    assert said.out == f"would forget 6 records by npo and write to {tmp_path / 'out'}\n"
    found = call(*world.unlearn(tmp_path / "out", "--dry-run", "--json")).json
    facts = {"forget": 6, "given": None, "method": "npo", "wish": "as_retrained", "written": False}
    assert found == {**facts, "out": str(tmp_path / "out")}
    assert list(tmp_path.iterdir()) == []
    assert "no model at" in refused(2, *world.unlearn(tmp_path / "out", "--dry-run", model=tmp_path / "absent"))
