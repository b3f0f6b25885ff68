"""``kill -9`` during an unlearning, and then the same command: the one place where a process of its own is needed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from expunge.core.canonical import read_json
from expunge.core.progress import listening

pytestmark = pytest.mark.slow

STEPS = ("--steps", "240", "--save-every", "20")
STATE = ".work/checkpoint/state.json"
LIMIT = 240.0


def start(command, tmp_path):
    line = "import sys; from expunge.cli import main; main()"
    place = {**os.environ, "EXPUNGE_HOME": str(tmp_path / "home")}
    return subprocess.Popen([sys.executable, "-c", line, *command], env=place, stderr=subprocess.PIPE)


def killed(command, out, tmp_path):
    """Start the command, kill it once it has a checkpoint; returns the step of the checkpoint that it left."""
    process = start(command, tmp_path)
    try:
        until = time.monotonic() + LIMIT
        while not (out / STATE).exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    return read_json(out / STATE)["step"]


@pytest.fixture
def heard():
    """Steps that the command line reports, by stage."""
    steps: list[tuple[str, int]] = []
    with listening(lambda stage, done, total, note: steps.append((stage, done))):
        yield steps


def hidden(folder):
    return [p.name for p in folder.rglob(".*")]


def test_a_killed_unlearning_continues_and_ends_with_the_same_bytes(world, call, heard, leaves, tmp_path):
    calm, out = tmp_path / "calm" / "npo", tmp_path / "killed" / "npo"
    whole = call(*world.unlearn(calm, *STEPS, "--json"))
    assert heard[0] == ("npo", 1)
    assert heard[-1] == ("npo", 240)

    step = killed(world.unlearn(out, *STEPS), out, tmp_path)
    assert 0 < step < 240
    assert not (out / "outcome.json").exists()
    committed = leaves()
    assert [leaf.entry.kind for leaf in committed] == ["KEY", "PLAN", "PLAN"]
    assert committed[-1].entry.request == read_json(out / "request.json")["id"]
    (out / ".unlearned.part-stray").mkdir()
    heard.clear()
    again = call(*world.unlearn(out, *STEPS, "--json"))
    assert (again.code, again.err) == (0, "")
    assert leaves() == committed
    assert heard[0] == ("npo", step + 1)
    assert again.json["after"] == whole.json["after"]
    for name in ("unlearned/model.safetensors", "data.jsonl"):
        assert (out / name).read_bytes() == (calm / name).read_bytes()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in calm.iterdir())
    assert hidden(out.parent) == []
    assert read_json(out / "outcome.json")["cost"]["steps"] == 240


def test_a_killed_unlearning_does_not_continue_as_another(world, call, heard, leaves, tmp_path):
    out, calm = tmp_path / "npo", tmp_path / "calm"
    assert killed(world.unlearn(out, *STEPS), out, tmp_path) > 0
    other = ("--steps", "30", "--lr", "0.002")
    assert call(*world.unlearn(out, *other)).code == 0
    assert heard[0] == ("npo", 1)
    first, second = (leaf.entry for leaf in leaves() if leaf.entry.kind == "PLAN")
    assert first.request == second.request and first.digests["config"] != second.digests["config"]
    assert call(*world.unlearn(calm, *other)).code == 0
    assert read_json(out / "outcome.json")["after"] == read_json(calm / "outcome.json")["after"]


def test_what_was_not_finished_is_neither_judged_nor_certified(world, call, tmp_path):
    out = tmp_path / "npo"
    killed(world.unlearn(out, *STEPS), out, tmp_path)
    for command in (world.evaluate(out), ["certify", str(out)]):
        said = call(*command)
        assert said.code == 2
        assert "holds no result" in said.err


def test_an_interrupted_unlearning_keeps_its_checkpoint(world, call, heard, monkeypatch, tmp_path):
    def stop(stage, done, total, note=""):
        if done == 25:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("expunge.engine.train.report", stop)
        said = call(*world.unlearn(tmp_path / "npo", *STEPS))
    assert said.code == 130
    assert said.err == "expunge: stopped. The same command continues.\n"
    assert read_json(tmp_path / "npo" / STATE)["step"] == 20
    assert call(*world.unlearn(tmp_path / "npo", *STEPS)).code == 0
    assert heard[0] == ("npo", 21)


def test_a_kill_after_the_last_file_leaves_a_result_that_the_next_step_cleans(world, call, tmp_path):
    out = tmp_path / "npo"
    assert call(*world.unlearn(out, "--steps", "5")).code == 0
    (out / ".work" / "checkpoint").mkdir(parents=True)
    assert "already holds a result" in call(*world.unlearn(out, "--steps", "5")).err
    assert call("certify", out).code == 0
    assert hidden(out) == []
