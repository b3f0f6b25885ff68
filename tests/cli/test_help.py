"""What the command line says of itself."""

import json
import subprocess
import sys

import pytest

from expunge.cli.app import VERBS, run

PAGES = [
    [],
    *([name] for name in VERBS),
    ["sweep"],
    ["bench"],
    ["bench", "tofu"],
    ["audit", "replay"],
    ["audit", "forge"],
    *(["audit", "probe", name] for name in ("commit", "log", "run", "sign")),
    *(["privacy", name] for name in ("show", "sign", "judge")),
    *(["accounting", name] for name in ("epsilon", "reading", "sigma", "growth", "plan")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: " ".join(page) or "expunge")
def test_help_ends_with_an_example_and_exits_0(page, call):
    said = call(*page, "--help")
    assert (said.code, said.err) == (0, "")
    last = said.out.rstrip().splitlines()[-1].strip().removeprefix("Example: ")
    assert last.startswith(" ".join(["expunge", *page[:1]]))
    assert said.out.rstrip().splitlines()[-1].startswith("  ")


@pytest.mark.parametrize("page", [p for p in PAGES if p and p != ["bench"]], ids=" ".join)
def test_the_example_is_a_command_that_the_parser_accepts(page, call):
    example = call(*page, "--help").out.rstrip().splitlines()[-1].split()
    assert example[: 1 + len(page)] == ["expunge", *page]
    # Help in the end stops before anything runs, but only if all that stands before it can be parsed.
    assert call(*example[1:], "--help").code == 0


def test_no_arguments_print_the_help(call):
    assert call() == call("--help")
    assert "Commands:" in call().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verfy"], "Did you mean 'verify'"),
        (["unlearn", "--metod", "npo"], "--method"),
        (["list", "everything"], "'methods'"),
        (["verify"], "Missing argument"),
        (["bench"], "Missing command"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--seed", "one"], "--seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_that_names_the_help(arguments, words, refused):
    message = refused(2, *arguments)
    assert words in message
    assert message.endswith(" --help")


@pytest.mark.parametrize("kind", ["methods", "objectives", "metrics", "attacks", "suites", "policies"])
def test_lists_print_names_with_a_description(kind, call):
    said = call("list", kind, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json
    assert all(said.json.values())
    shown = call("list", kind).out
    assert [line.split()[0] for line in shown.splitlines() if not line.startswith(" ")] == list(said.json)


def test_doctor_prints_facts_as_json(call):
    said = call("doctor", "--json")
    assert said.code == (3 if said.json["problems"] else 0)
    assert said.json["facts"]["python"] == sys.version.split()[0]


def test_doctor_names_what_is_missing_and_the_line_that_installs_it(call, without):
    without("torch")
    said = call("doctor")
    assert said.code == 3
    assert "problem: the extra 'hf' lacks torch: pip install 'expunge[hf]'" in said.out


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["bench", "tofu", "--data", "tofu", "--model", "m"],
        ["unlearn", "--model", "m", "--forget", "f", "--method", "npo", "--out", "o"],
        ["evaluate", "o", "--reference", "r"],
    ],
    ids=lambda command: command[0],
)
def test_without_torch_a_command_exits_3_with_the_line_that_installs_it(
    command, refused, without, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    without("torch")
    message = refused(3, *command)
    assert "the package 'torch' is not installed" in message
    assert "pip install 'expunge[hf]'" in message


HEAVY = "[m for m in ('torch', 'transformers', 'scipy', 'accelerate', 'sklearn') if m in sys.modules]"


@pytest.mark.parametrize(
    "line",
    [
        "import expunge",
        "import expunge.cli.app, expunge.workflow",
        "from expunge.cli.app import run; run(['list', 'methods']); run(['list', 'metrics', '--json'])",
        "from expunge.cli.app import run; run(['verify', 'absent.json'])",
        "from expunge.cli.app import run; run(['demo', '--dry-run'])",
        "import expunge; expunge.load_data, expunge.verify, expunge.Request, expunge.Records, expunge.Gradient",
    ],
    ids=["package", "command line", "list", "verify", "dry run", "public face"],
)
def test_loads_no_torch(line, tmp_path):
    code = f"import sys; {line}; print({HEAVY}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert list(tmp_path.iterdir()) == []


def test_dry_runs_say_what_they_would_do_and_write_nothing(call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = call("demo", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("would ")
    assert call("demo", "--dry-run", "--json").json["written"] is False
    assert list(tmp_path.iterdir()) == []


def test_stopping_is_one_line_that_says_how_to_go_on(capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("expunge.workflow.demo.demo", stop)
    assert run(["demo"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "expunge: stopped. The same command continues."


def test_a_full_disk_is_one_line(capsys, monkeypatch):
    def fill(*_, **__):
        raise OSError(28, "No space left on device", "runs/demo/original")

    monkeypatch.setattr("expunge.workflow.demo.demo", fill)
    assert run(["demo"]) == 3
    assert capsys.readouterr().err == "expunge: [Errno 28] No space left on device: 'runs/demo/original'\n"


def test_demo_prints_the_summary_as_json_alone(call, monkeypatch, tmp_path):
    def walked(out, *, seed):
        out.mkdir()
        (out / "summary.json").write_text(json.dumps({"methods": {"npo": {"ks": 0.5}}, "seed": seed}))
        return "the table\n"

    monkeypatch.setattr("expunge.workflow.demo.demo", walked)
    said = call("demo", "--out", tmp_path / "demo", "--seed", "3", "--json")
    assert (said.code, said.json) == (0, {"methods": {"npo": {"ks": 0.5}}, "seed": 3})
