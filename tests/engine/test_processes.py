"""Two processes come to what one comes to, by DDP and in shards; a launch that would not is refused."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from expunge.cli import app
from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError
from expunge.data.jsonl import dump_examples
from expunge.engine.parallel import check_launch, pieces
from expunge.engine.parallel_shards import settings_of
from expunge.testing.toy import toy_recipe, toy_selection, toy_store

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("process_cases.py")
GPU = Path(__file__).parents[2] / "docs" / "fsdp2.yaml"
NEAR = 1e-5
RESUMED = 4


def environment(**variables) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **variables}


def cases():
    """The children's module; ``tests`` is no package."""
    found = importlib.util.spec_from_file_location("process_cases", CHILD)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def start(folder: Path, stage: str) -> list[int]:
    """Two processes together, and meanwhile the same in this one; the exit codes of the two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, str(CHILD), str(folder), stage]
    ranks = ({**together, "RANK": n, "LOCAL_RANK": n} for n in ("0", "1"))
    children = [subprocess.Popen(command, env=environment(**each)) for each in ranks]
    try:
        cases().main(folder, stage)
        return [child.wait(timeout=500) for child in children]
    finally:
        for child in children:
            child.kill()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """What every case came to; and what was killed, resumed by the same and by another number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    assert start(folder, "cases") == [9, 9]
    for begun in ("alone", "ddp", "shard"):
        state = read_json(folder / f"{begun}-killed" / "checkpoint" / "state.json")
        assert state["step"] == RESUMED
        for mode in ("alone", "ddp", "shard"):
            shutil.copytree(folder / f"{begun}-killed", folder / f"{mode}-resumes-{begun}")
    assert start(folder, "resume") == [0, 0]
    return folder


def apart(folder: Path, one: str, two: str) -> tuple[float, float]:
    """Largest difference between means and norms of the last steps of two runs, and between their weights."""
    means = [read_json(folder / f"{name}.json") for name in (one, two)]
    counts = [each.pop() for each in means]
    assert counts[0] == counts[1], "tokens, steps, or weights that stayed bit for bit as they were"
    last = min(map(len, means))
    pairs = zip(means[0][-last:], means[1][-last:], strict=True)
    weights = [load_file(folder / f"{name}.safetensors") for name in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    return (
        max(abs(float(a[n]) - float(b[n])) / max(1.0, abs(float(a[n]))) for a, b in pairs for n in a | b),
        max(float((weights[0][n] - weights[1][n]).abs().max()) for n in weights[0]),
    )


@pytest.mark.parametrize("mode", ["ddp", "shard"])
def test_two_processes_give_the_losses_and_the_weights_of_one(results, mode):
    names = [file.stem.partition("-")[2] for file in results.glob(f"{mode}-*.safetensors")]
    names = [case for case in names if not case.startswith("resumed")]
    assert len(names) == {"ddp": 19, "shard": 16}[mode]
    for case in names:
        losses, weights = apart(results, f"alone-{case}", f"{mode}-{case}")
        assert max(losses, weights) < NEAR, case


@pytest.mark.parametrize("mode", ["ddp", "shard"])
def test_both_processes_hold_the_same_whole_weights_at_the_end(results, mode):
    files = sorted(results.glob(f"{mode}-*.second.json"))
    assert len(files) == {"ddp": 22, "shard": 19}[mode]
    for file in files:
        weights = load_file(results / file.name.replace(".second.json", ".safetensors"))
        sums = {name: float(total) for name, total in read_json(file).items()}
        assert sums == {n: float(w.double().abs().sum()) for n, w in weights.items()}


@pytest.mark.parametrize("begun", ["alone", "ddp", "shard"])
@pytest.mark.parametrize("mode", ["alone", "ddp", "shard"])
def test_a_killed_run_is_continued_by_any_number_of_processes(results, mode, begun):
    steps = read_json(results / f"{mode}-resumed-{begun}.json")
    assert len(steps) - 1 == 6 - RESUMED, "it went on from the checkpoint"
    losses, weights = apart(results, "alone-npo", f"{mode}-resumed-{begun}")
    assert max(losses, weights) < NEAR


def test_chunks_of_a_reference_change_rounding_only(results):
    for mode in ("alone", "ddp", "shard"):
        assert max(apart(results, "alone-kl", f"{mode}-chunked")) < NEAR


def test_being_looked_at_between_steps_changes_no_bit(results):
    for mode in ("alone", "ddp", "shard"):
        assert apart(results, f"{mode}-npo", f"{mode}-looked_at") == (0.0, 0.0)


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12))
def test_every_piece_counts_once_and_every_process_makes_as_many_passes(processes, parts, most):
    each = [list(pieces(rank, processes, parts, most)) for rank in range(processes)]
    assert len({len(own) for own in each}) == 1
    counted = sorted(p.index for own in each for p in own if p.counts)
    of = each[0][0].of
    assert counted == list(range(of)) and min(parts, most) <= of <= most
    assert all(p.index < of and p.last == (p is own[-1]) for own in each for p in own)


@pytest.mark.parametrize(
    ("kind", "joined", "started", "given", "said"),
    [
        ("NO", 1, 2, {}, "2 processes were started, and accelerate joined 1"),
        ("MULTI_CPU", 2, 2, {"ACCELERATE_USE_FSDP": "true"}, "FSDP was asked for, and accelerate runs MULTI_CPU"),
        ("NO", 1, 1, {"ACCELERATE_USE_FSDP": "1"}, "FSDP was asked for, and accelerate runs NO"),
        ("DEEPSPEED", 2, 2, {}, "does not run under DEEPSPEED"),
        ("NO", 1, 1, {"EXPUNGE_SHARD": "1"}, "EXPUNGE_SHARD is set in a single process"),
    ],
)
def test_a_launch_that_would_do_something_else_is_refused(kind, joined, started, given, said):
    with pytest.raises(ConfigError, match=said) as raised:
        check_launch(kind, joined, started, given)
    assert raised.value.next


def test_launches_that_do_what_they_say_are_not_refused():
    check_launch("NO", 1, 1, {})
    check_launch("MULTI_CPU", 2, 2, {"EXPUNGE_SHARD": "1"})
    check_launch("FSDP", 2, 2, {"ACCELERATE_USE_FSDP": "true"})


@pytest.fixture
def plugin(monkeypatch):
    """accelerate's own reading of the launch that the documentation gives for GPUs."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    given = ["--config_file", str(GPU), "--no_python", "expunge", "unlearn", "--model", "m"]
    arguments = _validate_launch_command(launch_command_parser().parse_args(given))[0]
    assert arguments.use_fsdp and arguments.num_processes == 2
    assert [arguments.training_script, *arguments.training_script_args] == given[3:]
    for name, value in prepare_multi_gpu_env(arguments).items():
        if name.startswith(("ACCELERATE_", "FSDP_")) and os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"
    found = FullyShardedDataParallelPlugin()
    found.set_mixed_precision(os.environ["ACCELERATE_MIXED_PRECISION"])
    return found


def test_the_launch_for_gpus_is_read_by_accelerate_as_it_is_meant(plugin):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    known = {action.dest for action in launch_command_parser()._actions}
    assert set(load_config_from_file(str(GPU)).fsdp_config) <= known
    settings = settings_of(plugin)
    assert settings["reshard_after_forward"] is True
    assert (settings["mp_policy"].param_dtype, settings["mp_policy"].reduce_dtype) == (torch.bfloat16, torch.float32)
    assert settings["mp_policy"].output_dtype is None


@pytest.mark.parametrize("wish", ["fsdp_version", "activation_checkpointing", "cpu_ram_efficient_loading"])
def test_what_a_launch_asks_for_and_would_not_get_is_refused(plugin, wish):
    setattr(plugin, wish, True)
    with pytest.raises(ConfigError, match=f"asks for (fsdp_)?{wish}"):
        settings_of(plugin)


def test_the_command_in_two_processes_writes_and_prints_once_what_it_does_in_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    toy_recipe(steps=20).train(toy_store(), seed=0).save(tmp_path / "m")
    for role in ("forget", "retain"):
        (tmp_path / f"{role}.jsonl").write_bytes(dump_examples(toy_selection().role(role)))
    files = ["--model", "m", "--forget", "forget.jsonl", "--retain", "retain.jsonl"]
    verb = ["unlearn", *files, "--method", "npo", "--steps", "4", "--lr", "1e-3", "--save-every", "2"]
    code = "import sys; from expunge.cli import main; sys.argv[0] = 'expunge'; main()"
    (tmp_path / "run.py").write_text(code)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "run.py"]
    done = subprocess.run([*launcher, *verb, "--out", "two"], env=environment(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert app.run([*verb, "--out", "one"]) == 0
    printed = [done.stdout.decode(), capsys.readouterr().out]
    assert [text.count("after") for text in printed] == [1, 1]
    assert [line[:7] for line in printed[0].splitlines()] == [line[:7] for line in printed[1].splitlines()]
    weights = [load_file(tmp_path / out / "unlearned" / "model.safetensors") for out in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=NEAR)
    names = [sorted(str(p.relative_to(tmp_path / out)) for p in (tmp_path / out).rglob("*")) for out in ("one", "two")]
    assert names[0] == names[1]


def test_commands_that_one_process_does_are_refused_under_a_launcher(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    for arguments in (["list", "methods"], ["unlearn", "--forget", "a", "--forget=b"]):
        assert app.run(arguments) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("expunge (process 1): 2 processes were started")
