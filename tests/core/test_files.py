"""A reader sees the old bytes or the new ones; what fails leaves what was there."""

import os
import stat
from pathlib import Path

import pytest

from expunge.core import files
from expunge.core.files import replace_folder, write_bytes, write_json, write_text


def failing(*_args, **_kwargs):
    raise OSError("no space left on device")


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_a_file_is_written_whole_with_its_folder_and_mode(tmp_path):
    path = tmp_path / "deep" / "er" / "x.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["deep", "deep/er", "deep/er/x.bin"]


@pytest.mark.parametrize("broken", [(os, "fsync"), (Path, "write_bytes")])
def test_a_failed_write_leaves_the_old_bytes_and_no_other_file(tmp_path, monkeypatch, broken):
    path = tmp_path / "x"
    write_bytes(path, b"old")
    monkeypatch.setattr(*broken, failing)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_a_failed_rename_leaves_the_old_bytes_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_bytes(path, b"old")
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_the_bytes_are_synced_before_the_name_is_taken(tmp_path, monkeypatch):
    path, order = tmp_path / "x", []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda h: (order.append("sync"), sync(h))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    write_bytes(path, b"x")
    assert order == ["sync", "rename", "sync"], "the file, its name, the folder that holds the name"


def test_json_is_sorted_and_refuses_what_is_no_number(tmp_path):
    write_json(tmp_path / "x", {"b": 1, "a": "ö"})
    assert (tmp_path / "x").read_text() == '{\n "a": "ö",\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x", {"a": float("nan")})
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    for content in ("one", "two"):
        with replace_folder(tmp_path / "run") as folder:
            assert not list(folder.iterdir()) and folder.parent == tmp_path
            (folder / content).write_text(content)
        assert names(tmp_path) == ["run", f"run/{content}"]
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [True, False])
def test_a_failure_inside_leaves_what_was_there(tmp_path, error, old):
    if old:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "kept").write_text("old")
    before = names(tmp_path)
    with pytest.raises(error), replace_folder(tmp_path / "run") as folder:
        (folder / "half").write_text("new")
        raise error("stopped")
    assert names(tmp_path) == before


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    with replace_folder(tmp_path / "run") as folder:
        (folder / "kept").write_text("old")
    rename = Path.rename

    def second(self, target):
        if self.name.startswith(".run.") and target == tmp_path / "run":
            raise OSError("device is gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second)
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    with pytest.raises(OSError, match="device is gone"), replace_folder(tmp_path / "run") as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == ["run", "run/kept"]


def test_every_file_of_a_folder_is_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    with replace_folder(tmp_path / "run") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("a")
        (folder / "b").write_text("b")
    assert {Path(name).name for name in synced} >= {"a", "b", tmp_path.name}
