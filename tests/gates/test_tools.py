"""Each check in tools/ catches a planted offence, and passes the same tree without it."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

FORMULA = '''"""Halves. Source: Archimedes 1897, equation 3."""


def half(x, *, by=2):
    """Half of a number.

    Args:
        x: () nats. The number.
        by: parts. How many.

    Returns:
        () nats.

    Example:
        >>> half(6)
        3.0
    """
    return x / by
'''


@pytest.fixture
def run(checkout, tmp_path):
    """Run one check in an empty folder that holds the planted files; returns its exit code and output."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)

    def check(tool: str, files: dict[str, str], *arguments: str) -> tuple[int, str]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        command = [sys.executable, str(checkout / "tools" / f"{tool}.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert not done.stderr
        return done.returncode, done.stdout

    return check


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("src/long.py", "x = 1\n" * 501, "src/long.py:501 has 501 lines"),
        ("src/big.py", "\n\ndef big():\n" + "    x = 1\n" * 60, "src/big.py:3 big has 61 lines"),
        ("src/median.py", "x = 1\n" * 151, "src:1 has a median file of 151 lines"),
        ("src/talk.py", "# why\n" * 5 + "x = 1\n" * 44, "src/talk.py:1 has 5 comment lines in 49"),
        ("src/deep/utils.py", "x = 1\n", "src/deep/utils.py:1 is named utils.py"),
    ],
)
def test_sizes(run, name, text, said):
    short = {} if "median" in name else {"src/one.py": "x = 1\n", "src/two.py": "x = 2\n"}
    code, output = run("check_sizes", {name: text, **short}, "src")
    assert (code, output.count("\n")) == (1, 1), output
    assert said in output


def test_sizes_at_the_caps_pass(run):
    exact = "\n\ndef big():\n" + "    x = 1\n" * 59
    talk = "#!/usr/bin/env python3\n" + "# why\n" * 5 + "x = 1  # aside\n" * 44
    code, output = run("check_sizes", {"src/a.py": exact, "src/b.py": "x = 1\n" * 500, "src/c.py": talk}, "src")
    assert (code, output) == (0, "sizes: kept\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.md", "one\nsee /" + "home/me/x\n", "a.md:2 a path of one machine"),
        ("a.toml", 'path = "/' + 'tmp"\n', "a.toml:1 a path of one machine"),
        ("a.md", "C:" + "\\Users\\me\n", "a.md:1 a path of one machine"),
        ("a.cfg", "index = https://" + "pypi" + ".org/simple\n", "a.cfg:1 the host of a package registry"),
        ("a.txt", "https://files." + "pythonhosted" + ".org\n", "a.txt:1 the host of a package registry"),
        ("a.py", "x = 1  # TO" + "DO: more\n", "a.py:1 a mark of unfinished work"),
        ("a.py", "import pickle\n", "a.py:1 imports pickle"),
        ("a.py", "from joblib.memory import Memory\n", "a.py:1 imports joblib.memory"),
        ("a.py", "\nx = torch.load(path)\n", "a.py:2 torch.load reads or writes a pickle"),
        ("a.py", "from torch import load\n", "a.py:1 torch.load reads or writes a pickle"),
        ("a.py", "m = f(path,\n  trust_remote_code=True)\n", "a.py:2 trust_remote_code is set"),
        ("a.py", "m = f(path, allow_pickle=flag)\n", "a.py:1 allow_pickle is set"),
    ],
)
def test_wording(run, name, text, said):
    code, output = run("check_wording", {name: text})
    assert (code, output.count("\n")) == (1, 1), output
    assert output.startswith(said)


def test_wording_passes_what_only_looks_alike(run):
    text = "#!/usr/bin/env python3\nurl = 'https://example.org/home/x'\ny = 'runs/tmp/z ./work ~/opt a/work/b'\n"
    other = 'refused = (".pt", ".pkl", ".joblib")\nx = load(path, trust_remote_code=False)\nz = "todo"\n'
    files = {"a.py": text, "b.py": other, "tests/c.py": "import pickle\n", "kept/secret.md": "/" + "home/me"}
    code, output = run("check_wording", {**files, ".gitignore": "/kept/\n"})
    assert (code, output) == (0, "wording: kept\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Source: Archimedes 1897, equation 3.", "", "half.py:1 names no source"),
        ("Args:", "Where:", "half.py:4 half has no Args"),
        (
            "x: () nats. The number.",
            "x: nats. The number.",
            "half.py:4 half does not give x in Args as 'x: (shape) unit.",
        ),
        ("by: parts. How many.", "by: how many", "half.py:4 half does not give by in Args as 'by: unit.'"),
        ("x: ()", "y: ()", "half.py:4 half does not give x in Args"),
        ("Returns:", "Gives:", "half.py:4 half has no Returns"),
        (">>> half(6)\n        3.0", "none", "half.py:4 half has no example"),
        (">>> half(6)", ">>> half(6, by=1)", "half.py:4 half has an example that is blind to factors: by=1"),
    ],
)
@pytest.mark.parametrize("folder", ["objectives", "metrics", "ops"])
def test_docstrings(run, folder, old, new, said):
    code, output = run("check_docstrings", {f"{folder}/half.py": FORMULA.replace(old, new)}, ".")
    assert (code, output.count("\n")) == (1, 1), output
    assert said in output


def test_docstrings_are_asked_of_public_functions_in_the_three_folders_alone(run):
    files = {"ops/half.py": FORMULA + "\n\ndef _hidden():\n    pass\n", "engine/x.py": "def f():\n    pass\n"}
    assert run("check_docstrings", {**files, "metrics/__init__.py": ""}, ".") == (0, "docstrings: kept\n")


def constraints(pins: str) -> dict[str, str]:
    """A project whose only need is iniconfig."""
    extras = "".join(f"{name} = []\n" for name in ("hf", "stores", "dp", "ray", "dev"))
    project = f'dependencies = ["iniconfig>=1"]\n[project.optional-dependencies]\n{extras}'
    return {"pyproject.toml": f"[project]\n{project}", "constraints.txt": pins}


def test_constraints(run):
    version = importlib.metadata.version("iniconfig")
    assert run("check_constraints", constraints(f"iniconfig=={version}\n")) == (0, "constraints: kept\n")
    code, output = run("check_constraints", constraints("iniconfig==0.1\nleft-pad==1.0\nodd>=2\n"))
    assert code == 1
    assert output.splitlines() == [
        f"constraints.txt:1 pins iniconfig 0.1, installed is {version}",
        "constraints.txt:2 pins left-pad, which nothing needs",
        "constraints.txt:3 is not name==version: odd>=2",
    ]
    assert run("check_constraints", constraints("")) == (1, "constraints.txt:1 lacks iniconfig\n")


def test_the_tools_run_on_this_checkout(checkout):
    assert {p.name for p in Path(checkout, "tools").glob("check_*.py")} == {
        "check_constraints.py",
        "check_demo.py",
        "check_docstrings.py",
        "check_results.py",
        "check_sizes.py",
        "check_surface.py",
        "check_wording.py",
    }


def test_results_that_measured_other_code_are_listed(checkout, tmp_path):
    sys.path.insert(0, str(Path(checkout, "tools")))
    try:
        from check_results import stale, stale_trust
    finally:
        sys.path.pop(0)
    from expunge.workflow.stages import code_digest

    (tmp_path / "index.md").write_text("no result\n")
    (tmp_path / "fresh.md").write_text(f"| code | {code_digest('core', 'ledger')} of core, ledger |\n")
    (tmp_path / "old.md").write_text(f"| code | {code_digest('core')} of core, ledger |\n")
    (tmp_path / "silent.md").write_text("42\n")
    assert stale(tmp_path) == ["old.md: measured other code", "silent.md: says not which code it measured"]
    table = tmp_path / "trust.json"
    assert stale_trust(table) == ["trust.json: missing, so that no policy knows what can tell and what cannot"]
    table.write_text(json.dumps({"code": code_digest("core"), "code_of": ["core"]}))
    assert stale_trust(table) == []
    table.write_text(json.dumps({"code": code_digest("core"), "code_of": ["core", "ledger"]}))
    assert stale_trust(table) == ["trust.json: measured other code"]


def test_a_demo_that_shows_nothing_is_caught(checkout):
    sys.path.insert(0, str(Path(checkout, "tools")))
    try:
        from check_demo import offences
    finally:
        sys.path.pop(0)
    row = {"guarantee": "Unproven", "forget_quality_p": 1e-9, "min_k_auc": 1.0, "model_utility": 0.9}
    good = {
        "methods": {
            "original": row,
            "retrained": {**row, "guarantee": "Exact"},
            "prompt_filter": {**row, "guarantee": "Suppressed"},
            **dict.fromkeys(("grad_ascent", "grad_diff", "calibrated_ascent"), row),
            "npo": {**row, "guarantee": "Empirical", "forget_quality_p": 0.5},
        },
        "second_reference": {**row, "guarantee": "Empirical", "forget_quality_p": 0.9},
        "ridge": {"largest_coefficient_difference": 0.0},
    }
    assert list(offences(good)) == []
    unearned = {**good, "methods": {**good["methods"], "npo": row}}
    assert list(offences(unearned)) == ["no gradient method earns Empirical"]
    known = {**good, "methods": {**good["methods"], "original": {**row, "min_k_auc": 0.6}}}
    assert list(offences(known)) == ["the original does not fail"]
