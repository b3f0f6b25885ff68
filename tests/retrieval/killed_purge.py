"""Purge copies of a datastore in children that are killed, each at another point. Run as a script by test_kill.py.

Usage: killed_purge.py TEMPLATE OUT ID...    makes OUT/<point> for every point, and prints the points, one a line.
"""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from expunge.retrieval import vector_index
from expunge.retrieval.datastore import Datastore

STEPS = ("control", "intent", "erased", "compacted", "scanned", "concluded", "key overwritten", "intent removed")
CALLS = ("fsync", "unlink", "replace")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(name):
    def arm(store):
        return lambda step: die() if step == name else None

    return arm


def at_call(number):
    """Die just before the n-th call that makes something durable, removes or renames it."""

    def arm(store):
        count = 0

        def counted(call):
            def wrapper(*args, **options):
                nonlocal count
                count += 1
                if count == number:
                    die()
                return call(*args, **options)

            return wrapper

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        return None

    return arm


def while_writing_the_index(store):
    write = vector_index._faiss().write_index

    def half(index, path):
        write(index, path)
        os.truncate(path, os.path.getsize(path) // 2)
        die()

    vector_index._faiss().write_index = half


def before_the_commit(store):
    store.changed = die


def before_the_commit_with_the_pages_written(store):
    def spill():
        store._db.execute("PRAGMA cache_size = 1")
        store._db.execute("UPDATE records SET rest = rest || '      '")
        die()

    store.changed = spill


def purge_in_a_child(folder, ids, arm, patience=None):
    """True if the child came to its end."""
    child = os.fork()
    if child == 0:
        store = Datastore(folder)
        at = arm(store) if arm else None
        store.erase(ids, at=at)
        os._exit(0)
    if patience is not None:
        time.sleep(patience)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def main(template, out, ids):
    points = {f"step {name}": at_step(name) for name in (*STEPS, "receipt written")}
    points |= {f.__name__: f for f in (while_writing_the_index, before_the_commit)}
    points["with pages written"] = before_the_commit_with_the_pages_written
    for name, arm in points.items():
        shutil.copytree(template, out / name)
        if purge_in_a_child(out / name, ids, arm):
            sys.exit(f"nothing was killed at {name}")
    number, done = 0, False
    while not done:
        number += 1
        name = f"call {number}"
        shutil.copytree(template, out / name)
        done = purge_in_a_child(out / name, ids, at_call(number))
        points[name] = None
    draw = random.Random(0)
    for i in range(10):
        name = f"moment {i}"
        shutil.copytree(template, out / name)
        purge_in_a_child(out / name, ids, None, patience=draw.uniform(0, 0.12))
        points[name] = None
    print("\n".join(points))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
