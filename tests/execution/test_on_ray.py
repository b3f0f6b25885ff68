"""Ray gives what local processes give, deaths and errors included."""

import importlib.util

import pytest

from expunge.core.errors import MissingExtra, UnknownName, WorkerLost
from expunge.execution.map import map, staying
from expunge.execution.pool import Pool

pytestmark = pytest.mark.slow


def items(folder):
    return [{"n": n, "folder": str(folder)} for n in range(4)]


def test_ray_and_local_processes_give_the_same(jobs, tmp_path):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    local = map(jobs.told, items(tmp_path), pool=Pool(workers=2))
    trained = map(jobs.trains, items(tmp_path)[:1], pool=Pool())
    on_ray = Pool("ray", workers=2)
    with staying(on_ray):
        assert map(jobs.told, items(tmp_path), pool=on_ray) == local
        assert map(jobs.trains, items(tmp_path)[:1], pool=on_ray) == trained
        assert map(jobs.dies_once, items(tmp_path), pool=on_ray) == local
        with pytest.raises(WorkerLost, match="no worker finished item 2 of 4"):
            map(jobs.dies, items(tmp_path), pool=Pool("ray", retries=0))
        with pytest.raises(UnknownName, match="npo"):
            map(jobs.fails, items(tmp_path), pool=on_ray)
    assert not importlib.import_module("ray").is_initialized()


def test_without_ray_the_extra_is_named(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'expunge\[ray\]'"):
        map(jobs.told, items(tmp_path), pool=Pool("ray"))
