"""A purge that is killed at any point continues, ends CLEAN, and never says so while bytes remain."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import expunge
from expunge.core.errors import StoreError
from expunge.core.guarantee import Purged
from expunge.retrieval.byte_scan import markers_of, scan
from expunge.retrieval.datastore import Datastore
from expunge.retrieval.journal import INTENT, KEY, RECEIPT
from expunge.workflow.verbs import certify, unlearn

from .conftest import record, vector

GONE = ("r2", "r5", "r11")
NUMBERS = (2, 5, 11)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders of datastores whose purge was killed, by the point at which it was."""
    from .conftest import D, fill

    root = tmp_path_factory.mktemp("killed")
    with Datastore.create(root / "kb", dimensions=D) as store:
        fill(store, 14)
        store.search(vector(1))
    script = Path(__file__).with_name("killed_purge.py")
    command = [sys.executable, str(script), str(root / "kb"), str(root), *GONE]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return {name: root / name for name in done.stdout.splitlines()}


def markers():
    texts = [text for i in NUMBERS for text in (record(i).question, record(i).answer, *record(i).perturbed_answer)]
    return markers_of(texts, [vector(i) for i in NUMBERS])


def test_every_kill_is_survived_and_none_is_falsely_clean(killed):
    assert len(killed) > 35
    seen = set()
    for name, folder in killed.items():
        there = {path.name for path in folder.iterdir()}
        seen.add((KEY in there, INTENT in there, RECEIPT in there))
        if RECEIPT in there:
            assert not there & {KEY, INTENT}, name
            assert scan([folder], markers()).hits == {}, name
        with Datastore(folder) as store:
            receipt = store.erase(GONE)
            assert (receipt.status, receipt.control, receipt.records) == ("CLEAN", 3, 3), name
            assert receipt.after == store.digest(), name
            assert store.ids() == tuple(f"r{i}" for i in range(14) if i not in NUMBERS), name
            assert store.search(vector(1), 1)[0].record_id == "r1", name
            assert not {h.record_id for i in NUMBERS for h in store.search(vector(i), 14)} & set(GONE), name
            assert store.erase(GONE) == receipt, "asked again, the same receipt"
        assert scan([folder], markers()).hits == {}, name
        left = {path.name for path in folder.iterdir()}
        assert left - {"store.lock"} == {"store.sqlite", "target.json", RECEIPT, f"vectors-{generation(left)}.faiss"}, (
            name
        )
    assert len(seen) >= 4, "the points are spread over the states of the journal"


def generation(names):
    (found,) = (name[8:-6] for name in names if name.startswith("vectors-"))
    return found


def test_the_verb_continues_with_the_store_itself_as_data(tmp_path):
    from .conftest import D, fill

    request = expunge.Request("someone", expunge.Records("r1", "r3"))

    def stop(step):
        if step == "erased":
            raise KeyboardInterrupt

    with Datastore.create(tmp_path / "kb", dimensions=D) as store:
        fill(store, 8)
        before = store.digest()
        with pytest.raises(KeyboardInterrupt):
            store.erase(request.scope.ids, at=stop)
        with pytest.raises(StoreError, match="purge is unfinished"):
            store.add([record(20)], vector(20)[None])
        with pytest.raises(StoreError, match="purge is unfinished"):
            store.save(tmp_path / "copy")
        assert store.unfinished().items == (record(1), record(3)) and "r1" not in store.ids()
        outcome = unlearn(store, request, "purge", store)
        certificate = certify(request, outcome)
        assert certificate.earned == Purged("kb") and certificate.target.before == before
        assert outcome.selection.forget.items == (record(1), record(3)) and not store.unfinished()
        assert not (tmp_path / "copy").exists()
