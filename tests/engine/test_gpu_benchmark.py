"""The GPU benchmark counts what is done, finds its rows again, and says what does not fit."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks import gpu, gpu_rows
from benchmarks.gpu_rows import Case, World
from benchmarks.gpu_shapes import METHODS, RANK, SHAPES, WAYS, Work, bytes_of, flops_of, peak_of
from torch.utils.flop_counter import FlopCounterMode

from expunge.core.errors import MissingExtra
from expunge.core.example import Example, Examples
from expunge.engine.prefix_states import frozen_depth

pytestmark = pytest.mark.slow

NOWHERE = Path("no such folder")
TINY = SHAPES["tiny"]


@pytest.fixture(scope="module")
def world():
    return World.of(NOWHERE, torch.device("cpu"), forget=8, vocabulary=512)


@pytest.fixture(scope="module")
def even(world):
    """Sequences of one length, so that nothing is padded."""
    same = [Example(str(i), "Who ban bor bil?", "It ban kor kil.") for i in range(4)]
    roles = ("forget", "retain")
    return replace(world, data={r: Examples(replace(e, record_id=f"{r}{e.record_id}") for e in same) for r in roles})


def step_of(case, world):
    run = gpu_rows.run_of(case, world)
    run._batch = {role: stream.at(0) for role, stream in run.streams.items()}
    return run, Work.of({role: [run.encoded[role, ""][i] for i in at] for role, at in run._batch.items()})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_operations_are_those_that_torch_counts(even, way, method):
    run, work = step_of(Case("tiny", way, method, batch=4, attention="eager"), even)
    skipped = frozen_depth(run.model, run.facts, run.demand) if run._lower else 0
    assert skipped == (1 if (way, method) == ("full", "rmu") else 0)
    with FlopCounterMode(display=False) as counted:
        run.backward(run.loss.roles)
    ran = TINY.steered + 1 - skipped if method == "rmu" else TINY.layers
    back = 2 if (way, method) == ("full", "rmu") else ran
    # Eager attention does the half of the square above the diagonal too.
    expected = flops_of(TINY, way, method, work, skipped=skipped) + 2 * TINY.hidden * work.squares * (ran + 2 * back)
    if way == "lora":
        # Embeddings are frozen: what the first layer's attention reads needs no gradient.
        values = TINY.hidden * TINY.kv_heads // TINY.heads
        expected -= 2 * work.tokens * (TINY.hidden * (TINY.hidden + 2 * values) + 3 * RANK * TINY.hidden)
    assert counted.get_total_flops() == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["npo", "rmu"])
def test_bytes_of_weights_and_optimiser_are_those_that_stand_there(even, way, method):
    run = gpu_rows.run_of(Case("tiny", way, method, batch=4), even)
    run.step(0)
    held = sum(p.numel() * p.element_size() for p in run.model.parameters())
    moments = sum(v.numel() * v.element_size() for s in run.optimizer.state.values() for v in s.values() if v.dim())
    trained = TINY.trained(way, method)
    # In a run of RMU's adapter only the layers up to the one it reads get a gradient, and moments with it.
    reached = (TINY.steered + 1) * TINY.adapter if (way, method) == ("lora", "rmu") else trained
    assert run.report.trained == trained and moments == 8 * reached
    parts = bytes_of(TINY, way, method, tokens=1, scored=1)
    if way == "lora":
        assert (parts["weights"] + 4 * trained, parts["gradient and optimiser"]) == (held, 16 * trained)
    else:
        copied = 2 * trained
        assert (parts["weights"], parts["gradient and optimiser"]) == (held + copied, 4 * trained + moments)


def test_rows_are_made_resumed_and_made_again_when_a_setting_changes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    words = ["--device", "cpu", "--shape", "tiny", "--method", "npo", "rmu", "--batch", "4", "--forget", "8"]
    words += ["--steps", "1", "--data", str(NOWHERE), "--out", str(tmp_path)]
    assert gpu.main([*words, "--rounds", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["tiny-full-npo", "tiny-full-rmu", "tiny-lora-npo", "tiny-lora-rmu"]
    assert {path.stem for path in tmp_path.glob("*.json")} == {row["name"] for row in rows}
    for row in rows:
        assert row["ratio"] == pytest.approx(row["ours"]["tokens_per_second"] / row["plain"]["tokens_per_second"])
        assert row["ours"]["flops_per_second"] == pytest.approx(row["ours"]["flops"] / row["ours"]["seconds"])

    done = []

    def measured(case, world):
        done.append(case.name)
        return {"ours": {"failed": "out of memory"}, "plain": {"failed": "out of memory"}, "ratio": None}

    monkeypatch.setattr(gpu_rows, "measured", measured)
    assert gpu.main([*words, "--rounds", "1"]) == 0
    assert done == []
    assert "device: CPU" in capsys.readouterr().out
    assert gpu.main([*words, "--rounds", "2"]) == 0
    assert len(done) == 4
    assert "tiny-lora-rmu" in (out := capsys.readouterr().out) and "out of memory" in out


def test_memory_that_runs_out_is_a_row():
    def fails():
        raise torch.OutOfMemoryError("no more")

    assert gpu_rows.caught(fails, torch.device("cpu")) == {"failed": "out of memory"}


def test_a_row_that_cannot_fit_is_skipped_with_the_arithmetic(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "device_of", lambda given: (torch.device("cpu"), "NVIDIA H100 80GB HBM3", 85e9))
    monkeypatch.setattr(gpu_rows, "measured", lambda case, world: pytest.fail("it was tried"))
    words = ["--shape", "8b", "--way", "full", "--method", "npo", "--out", str(tmp_path), "--data", str(NOWHERE)]
    assert gpu.main(words) == 0
    assert "take 144.5 GB, the GPU has 85.0" in capsys.readouterr().out  # 18 bytes for each of 8.03e9


def test_a_dry_run_tells_the_account_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "rows"
    assert gpu.main(["--dry-run", "--json", "--out", str(out)]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(found) == 16 and not out.exists()
    assert found["8b-lora-npo"]["bytes"]["weights"] == 2 * 8030261248
    assert found["1b-full-npo"]["trained"] == 1235814400
    assert found["1b-full-rmu"]["trained"] == 3 * 2048 * 8192
    # 64 sequences of 67 tokens, six operations a weight: 16 layers of 60817408, the head on 0.6 of them; attention.
    weights = 6 * 4288 * 16 * 60817408 + 6 * 2573 * 2048 * 128256
    assert found["1b-full-npo"]["flops_a_step"] == weights + 6 * 16 * 2048 * 64 * 67**2


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "there is no GPU"), (["--device", "cpu", "--shape", "tiny", "--page"], "on a GPU only")],
)
def test_what_needs_a_gpu_is_refused_without_one(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([*words, "--out", str(tmp_path / "rows")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "rows").exists()


def test_kernels_that_are_not_installed_are_named(even, monkeypatch):
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(MissingExtra, match=r"expunge\[gpu\]"):
        gpu_rows.run_of(Case("tiny", "full", "npo", liger=True), even)


def test_the_goal_is_judged_from_the_row_of_the_1b_shape():
    side = {"tokens_per_second": 9e4, "peak_bytes": 4e10, "gemm_share": 0.7, "utilisation": 0.53}
    row = {"name": "1b-full-npo", "device": "GPU", "ours": side, "plain": {"failed": "out of memory"}, "ratio": None}
    assert "goal met: MFU 53% of 1b-full-npo" in gpu.table([row])
    assert "goal missed" in gpu.table([{**row, "ours": {**side, "utilisation": 0.49}}])
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
