"""One call opens whatever holds records, by what is in it; what it cannot open it says in one error."""

import builtins
import importlib
import shutil
import sys
from dataclasses import replace

import datasets
import pytest

import expunge
from expunge.core.errors import ConfigError, MissingExtra, StoreError
from expunge.core.example import Example
from expunge.core.registry import stores
from expunge.data.opening import Opener, open_store, read_records
from expunge.workflow.single import Paths, read_selection

EXAMPLES = [Example("r1", "Where?", "Here.", subject="Ana"), Example("r2", "Who?", "Bo.", role="retain")]


def test_every_kind_is_opened_again_by_its_path(make, kind):
    store = make(kind, EXAMPLES)
    if kind == "memory":
        return
    source = store.dataset if kind == "loaded_dataset" else store.path
    again = expunge.load_data(source if kind == "loaded_dataset" else str(source))
    assert type(again) is type(store) and again.digest() == store.digest()
    assert list(read_records(source)) == EXAMPLES


def test_unlearning_reads_its_paths_in_every_form(make, kind):
    if kind in ("memory", "loaded_dataset"):
        return
    forget, retain = (make(kind, [example]).path for example in EXAMPLES)
    found = read_selection(Paths("no model is read", forget, retain))
    assert list(found.forget) == [replace(EXAMPLES[0], role="forget")] and list(found.retain) == EXAMPLES[1:]


def test_what_is_in_a_file_counts_before_its_name(make, tmp_path):
    for kind in ("parquet", "sqlite", "jsonl", "jsonl_gz"):
        store = make(kind, EXAMPLES)
        for name in ("data", "data.txt", "data.jsonl"):
            shutil.copy(store.path, tmp_path / name)
            assert type(open_store(tmp_path / name)) is type(store)


def test_columns_ids_splits_and_tables_are_passed_on(tmp_path):
    rows = [{"key": 7, "prompt": "Where?", "answer": "Here."}]
    both = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(rows), "test": datasets.Dataset.from_list(rows * 2)}
    )
    store = expunge.load_data(both, id="key", columns={"question": "prompt"}, split="train")
    assert list(store.all()) == [Example("7", "Where?", "Here.")]
    (tmp_path / "a.jsonl").write_text('{"question": "Where?", "answer": "Here."}\n')
    with pytest.raises(ConfigError, match="a store of the form jsonl takes no table"):
        expunge.load_data(tmp_path / "a.jsonl", table="facts")


def test_what_cannot_be_opened_is_said(tmp_path):
    (tmp_path / "table.csv").write_text("question,answer\n")
    (tmp_path / "folder").mkdir()
    for path in ("table.csv", "folder"):
        with pytest.raises(StoreError, match=rf"{path} holds records in no known form.*\.jsonl.*\.parquet"):
            open_store(tmp_path / path)
    for source in (tmp_path / "nowhere", tmp_path / "nowhere.jsonl", "./nowhere", str(tmp_path / "x")):
        with pytest.raises(StoreError, match=r"cannot read .*No such file.*Check the path"):
            open_store(source)
    with pytest.raises(StoreError, match="a int is no store"):
        open_store(7)


def test_a_name_on_a_hub_that_cannot_be_reached_is_one_error(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StoreError, match=r"cannot load the dataset 'nobody/nothing' from a hub\. .*Check the name and"):
        expunge.load_data("nobody/nothing", split="train")


def test_a_name_on_a_hub_is_loaded_without_running_its_code(monkeypatch):
    asked = {}

    def load(name, **given):
        asked.update(given, name=name)
        return datasets.Dataset.from_list([{"question": "Where?", "answer": "Here."}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    store = expunge.load_data("someone/facts", split="train")
    assert asked == {"name": "someone/facts", "split": "train"}, "nothing is trusted"
    assert list(store.ids()) == ["row-00000"]


@pytest.mark.parametrize(
    ("kind", "package"), [("parquet", "pyarrow"), ("sqlite", "apsw"), ("saved_dataset", "datasets")]
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(make, kind, package, monkeypatch):
    path = make(kind, EXAMPLES).path
    find = importlib.import_module

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(name)
        return find(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"{package}.*pip install 'expunge\[stores\]'"):
        open_store(path)


def test_finding_an_opener_imports_no_package_of_the_extra(monkeypatch, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"question": "Where?", "answer": "Here."}\n')
    for name in [n for n in sys.modules if n.partition(".")[0] in ("expunge", "pyarrow", "apsw", "datasets")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name, *rest):
        assert name.partition(".")[0] not in ("pyarrow", "apsw", "datasets", "torch"), name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    opening = importlib.import_module("expunge.data.opening")
    assert len(opening.open_store(tmp_path / "a.jsonl").ids()) == 1


def test_every_opener_is_one_and_claims_no_name_of_another():
    endings = [ending for _, opener in stores.items() for ending in opener.endings]
    assert len(endings) == len(set(endings))
    assert {"jsonl", "parquet", "sqlite", "hf_dataset"} <= set(stores.names())
    assert all(isinstance(opener, Opener) for _, opener in stores.items())


@pytest.mark.parametrize("name", ["absent", "absent.jsonl", "folder/absent.parquet", "folder/absent.CSV", "./a/b"])
def test_a_mistyped_path_is_not_sent_to_a_hub(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("a hub was asked"))
    with pytest.raises(StoreError, match="No such file or directory"):
        expunge.load_data(name)
