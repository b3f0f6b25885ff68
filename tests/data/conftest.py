"""How the same examples come to stand in each kind of store."""

import gzip
import itertools
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.data.hf_dataset import HfDatasetStore
from expunge.data.ingest import ingest
from expunge.data.jsonl import JsonlStore, dump_examples
from expunge.data.memory import MemoryStore
from expunge.data.parquet import ParquetStore
from expunge.data.rows import FIELDS, to_row

TYPES = {field: pa.string() for field in FIELDS} | {"perturbed_answer": pa.list_(pa.string())}


def table_of(examples):
    rows = [to_row(e) for e in examples]
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in TYPES.items()})


def jsonl(path, examples):
    (path / "corpus.jsonl").write_bytes(dump_examples(examples))
    return JsonlStore(path / "corpus.jsonl")


def jsonl_gz(path, examples):
    (path / "corpus.jsonl.gz").write_bytes(gzip.compress(dump_examples(examples)))
    return JsonlStore(path / "corpus.jsonl.gz")


def json_array(path, examples):
    (path / "corpus.json").write_text(json.dumps([to_row(e) for e in examples]))
    return JsonlStore(path / "corpus.json")


def parquet(path, examples):
    pq.write_table(
        table_of(examples), path / "corpus.parquet", row_group_size=max(2, len(examples) // 9), compression="zstd"
    )
    return ParquetStore(path / "corpus.parquet")


def parquet_folder(path, examples):
    folder = path / "corpus"
    folder.mkdir()
    size = max(3, len(examples) // 4)
    for number, at in enumerate(range(0, max(len(examples), 1), size)):
        pq.write_table(table_of(examples[at : at + size]), folder / f"part-{number}.parquet", compression="none")
    return ParquetStore(folder)


def sqlite(path, examples):
    (path / "source.jsonl").write_bytes(dump_examples(examples))
    return ingest(path / "source.jsonl", path / "corpus.sqlite")


def saved_dataset(path, examples):
    datasets.disable_progress_bars()
    datasets.Dataset(table_of(examples)).save_to_disk(path / "corpus", num_shards=2 if len(examples) > 1 else 1)
    return HfDatasetStore(path / "corpus")


def loaded_dataset(path, examples):
    return HfDatasetStore(datasets.Dataset(table_of(examples)))


MAKERS = {
    "memory": lambda path, examples: MemoryStore(examples),
    **{m.__name__: m for m in (jsonl, jsonl_gz, json_array, parquet, parquet_folder, sqlite)},
    **{m.__name__: m for m in (saved_dataset, loaded_dataset)},
}


@pytest.fixture(params=MAKERS)
def kind(request):
    """Name of a kind of store."""
    return request.param


@pytest.fixture
def make(tmp_path_factory):
    """(kind, examples) -> a store of them in a folder of its own."""
    folders = itertools.count()
    root = tmp_path_factory.mktemp("stores")

    def build(kind, examples):
        folder = root / f"store-{next(folders)}"
        folder.mkdir()
        return MAKERS[kind](folder, examples)

    return build
