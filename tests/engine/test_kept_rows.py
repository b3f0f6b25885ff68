"""States kept outside of memory come back bit by bit, and a full disk is said in one message."""

import errno
import gc
from pathlib import Path

import pytest
import torch
from benchmarks.steps import LOSSES, run_of
from benchmarks.steps_data import SHAPES, data_of, target_of
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError
from expunge.core.objective import as_loss
from expunge.engine import kept_rows
from expunge.engine.kept_rows import KeptRows


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(1, 7),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_rows_come_back_as_they_were_put(pieces, width, dtype):
    kept, put = KeptRows(), {}
    for i, counts in enumerate(pieces):
        rows = torch.randn(sum(counts), width).to(dtype)
        keys = [(i, j) for j in range(len(counts))]
        kept.put(keys, rows, counts)
        put |= dict(zip(keys, rows.split(counts), strict=True))
    # In another order than they were put in, and once more.
    keys = sorted(put, reverse=True)
    for _ in range(2):
        for key, rows in zip(keys, kept.of(keys), strict=True):
            assert rows.dtype == dtype
            assert torch.equal(rows, put[key])


def test_short_reads_and_writes_lose_nothing():
    kept, rows = KeptRows(), torch.randn(40, 5)
    whole = kept._file

    class Halting:
        """Moves seven bytes a call at most."""

        def __getattr__(self, name):
            return getattr(whole, name)

        def write(self, view):
            return whole.write(view[:7])

        def readinto(self, view):
            return whole.readinto(view[:7])

    kept._file = Halting()
    kept.put("ab", rows, [15, 25])
    assert torch.equal(torch.cat(kept.of("ab")), rows)


def test_a_full_disk_is_said_in_one_message():
    kept = KeptRows()

    class Full:
        def write(self, view):
            raise OSError(errno.ENOSPC, "No space left on device")

    kept._file = Full()
    with pytest.raises(ConfigError, match="No space left on device") as raised:
        kept.put("a", torch.zeros(2, 3), [2])
    assert "TMPDIR" in str(raised.value.next)


def test_a_file_cut_short_is_no_endless_wait():
    kept = KeptRows()
    kept.put("a", torch.ones(2, 3), [2])
    kept._file.truncate(4)
    with pytest.raises(ConfigError, match="cut short"):
        kept.of("a")


def test_a_run_holds_the_states_of_its_reference_in_no_tensor_and_no_named_file(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_rows.tempfile, "tempdir", str(tmp_path))
    data = data_of(Path("no such folder"), forget=8, retain=60)
    target = target_of(SHAPES["tiny"], data)
    scored = sum(item.n_scored for item in target.template.encode_all(data["retain"]))
    gc.collect()
    before = {id(thing) for thing in gc.get_objects() if type(thing) is torch.Tensor}
    run = run_of(as_loss(LOSSES["kl"]), (), target, data, 50, 8)
    made = [t for t in gc.get_objects() if type(t) is torch.Tensor and id(t) not in before]
    width = target.model.config.hidden_size
    assert sum(t.numel() for t in made) < scored * width
    assert sum(kept._end for kept in run.references["ref"]._states.values()) == 4 * scored * width
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
