"""Kills erasures and ingestions at every step, in forks of one process, and prints what each left as JSON.

usage: kill_child.py FOLDER    FOLDER holds corpus.jsonl
"""

import json
import os
import shutil
import sys
from pathlib import Path

import datasets

from expunge.core import files
from expunge.data import ingest as ingesting
from expunge.data.opening import open_store

datasets.disable_progress_bars()
GONE = ["r1", "r4"]
KILLED = 9


def forked(work):
    """Exit status of a fork that does the work."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def deadly(number):
    """Let the process die before the numbered call of whatever makes a change last, or after it."""
    left = [number]

    def tick():
        left[0] -= 1
        if not left[0]:
            os._exit(KILLED)

    def wrap(owner, name):
        real = getattr(owner, name)

        def call(*args, **kwargs):
            tick()
            result = real(*args, **kwargs)
            tick()
            return result

        setattr(owner, name, call)

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "chmod"), (files, "_exchanged"), (shutil, "rmtree")):
        wrap(owner, name)


def deadly_database(store, number):
    """The same in SQLite: at a deletion that is spilled to the file at once, or before the commit."""
    calls = []
    store._base.pragma("cache_size", 1)
    store._base.set_update_hook(lambda *_: calls.append(1) or len(calls) != number or os._exit(KILLED))
    store._base.set_commit_hook(lambda: number == 3 and os._exit(KILLED))


def make_all(folder):
    """The same records in every kind of file."""
    lines = folder / "corpus.jsonl"
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    dataset = datasets.Dataset.from_list(rows)
    dataset.to_parquet(folder / "corpus.parquet")
    (folder / "parts").mkdir()
    dataset.select(range(3)).to_parquet(folder / "parts" / "0.parquet")
    dataset.select(range(3, len(rows))).to_parquet(folder / "parts" / "1.parquet")
    dataset.save_to_disk(folder / "saved")
    ingesting.ingest(lines, folder / "corpus.sqlite")


def copy(path, place):
    place.mkdir(parents=True)
    (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
    return place / path.name


def erasures(folder, name):
    """(exit status, digest, files beside) for each place to die at, until none is reached."""
    found = []
    for number in range(1, 60):
        path = copy(folder / name, folder / "work" / f"{name}-{number}")
        store = open_store(path)

        def work(store=store, number=number):
            if name.endswith(".sqlite"):
                deadly_database(store, number)
            else:
                deadly(number)
            store.erase(GONE)

        status = forked(work)
        after = open_store(path)
        beside = sorted(p.name for p in path.parent.iterdir() if p != path)
        left = after.digest()
        after.erase(["r2"])
        found.append(
            {"status": status, "digest": left, "beside": beside, "clean": len(list(path.parent.iterdir())) == 1}
        )
        if status == 0:
            return found
    raise AssertionError("the erasure never came to its end")


def ingestions(folder):
    """What a killed ingestion left, and what the same call then made."""
    found = []
    for row in (1, 4, 7):
        place = folder / "work" / f"ingest-{row}"
        place.mkdir(parents=True)

        def work(row=row, place=place):
            parse, seen = ingesting.parse, []
            ingesting.parse = lambda *a: seen.append(1) or (os._exit(KILLED) if len(seen) == row else parse(*a))
            ingesting.ingest(folder / "corpus.jsonl", place / "new.sqlite")

        status = forked(work)
        finished = (place / "new.sqlite").exists()
        digest = ingesting.ingest(folder / "corpus.jsonl", place / "new.sqlite").digest()
        beside = sorted(p.name for p in place.iterdir())
        found.append({"status": status, "finished": finished, "digest": digest, "beside": beside})
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1])
    make_all(root)
    names = ("corpus.jsonl", "corpus.parquet", "parts", "saved", "corpus.sqlite")
    print(json.dumps({"erased": {n: erasures(root, n) for n in names}, "ingested": ingestions(root)}))
