"""A small datastore, and records whose texts and vectors can be told apart in a file."""

import numpy as np
import pytest

from expunge.core.example import Example
from expunge.retrieval.datastore import Datastore

pytest.importorskip("apsw")
pytest.importorskip("faiss")
D = 16


def record(i: int) -> Example:
    draw = np.random.default_rng([7, i])
    words = [f"{draw.integers(16**9):09x}" for _ in range(8)]
    question, answer = f"Where does {words[0]} live, and with {words[1]}?", f"In {words[2]}, {' '.join(words[3:])}."
    return Example(f"r{i}", question, answer, subject=f"subject number {i}", perturbed_answer=(f"In {words[5]}-town",))


def vector(i: int):
    return np.random.default_rng([8, i]).normal(size=D).astype("f4")


def fill(store: Datastore, n: int, start: int = 0) -> None:
    store.add(map(record, range(start, start + n)), np.array([vector(i) for i in range(start, start + n)]))


@pytest.fixture
def make(tmp_path):
    opened = []

    def new(n: int = 60, name: str = "kb", **settings) -> Datastore:
        store = Datastore.create(tmp_path / name, **{"dimensions": D, **settings})
        opened.append(store)
        fill(store, n)
        return store

    yield new
    for store in opened:
        store.close()
