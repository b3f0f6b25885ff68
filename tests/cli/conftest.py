"""A toy model with its two references and its data in files, and the command line called in this process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from expunge.cli.app import run
from expunge.core.example import Examples
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.ledger.home import home_path
from expunge.ledger.leaf import Leaf, read
from expunge.ledger.log import Log, log_path
from expunge.testing.toy import toy_corpus, toy_recipe

ROLES = ("forget", "retain", "holdout", "validation", "general")


@dataclass(frozen=True)
class World:
    """Files that a stranger would have: models and records."""

    root: Path

    def path(self, name: str) -> str:
        return str(self.root / name)

    def unlearn(self, out: Path, *more: str, method: str = "npo", **files: str | Path) -> list[str]:
        """The arguments of an unlearning; a role's file, or the model, can be another one."""
        given = {role: self.root / f"{role}.jsonl" for role in ROLES} | files
        model = given.pop("model", self.root / "original")
        command = ["unlearn", "--model", str(model), "--method", method, "--out", str(out)]
        for role, path in given.items():
            command += [f"--{role}", str(path)]
        return [*command, *more]

    def evaluate(self, out: Path, *more: str) -> list[str]:
        return ["evaluate", str(out), "--reference", self.path("retrained"), "--second", self.path("again"), *more]


@dataclass(frozen=True)
class Said:
    """What a command left behind on its two streams."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Stderr without its line breaks."""
        return " ".join(self.err.split())

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    corpus, recipe = toy_corpus(), toy_recipe(steps=40)
    for role in ROLES:
        (root / f"{role}.jsonl").write_bytes(dump_examples(corpus.of(role)))
    learned = {"original": corpus.of("forget", "retain", "general"), "retrained": corpus.of("retain", "general")}
    learned["again"] = learned["retrained"]
    for seed, (name, examples) in enumerate(learned.items()):
        recipe.train(MemoryStore(Examples(examples)), seed=seed).save(root / name)
    return World(root)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and a trust of our own."""
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def called(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        streams = capsys.readouterr()
        return Said(code, streams.out, streams.err)

    return called


@pytest.fixture
def refused(call: Callable[..., Said], tmp_path: Path) -> Callable[..., str]:
    """Calls, and fails unless there was one message, the exit code, and nothing left behind; returns the message.

    What only the method itself could refuse was committed to before: then the home holds that, and no request.
    """

    def called(code: int, *arguments: str | Path, planned: bool = False) -> str:
        before = listing(tmp_path)
        said = call(*arguments)
        assert said.code == code, said.err
        assert said.out == ""
        assert said.err.startswith("expunge: ")
        assert said.err.count("\n") == 1
        after = listing(tmp_path)
        if planned:
            assert logged()[-1].entry.kind == "PLAN"
            kept = {p.suffix for p in (tmp_path / "home" / "vault").iterdir()}
            assert ".gone" in kept and not kept & {".body", ".key"}
            before, after = ({n: b for n, b in found.items() if n.split("/")[0] != "home"} for found in (before, after))
        assert after == before
        return said.words

    return called


@pytest.fixture
def leaves() -> Callable[[], list[Leaf]]:
    """Reads the log of ``EXPUNGE_HOME``."""
    return logged


def logged() -> list[Leaf]:
    """The log of ``EXPUNGE_HOME``."""
    with Log(log_path(home_path())) as log:
        return [read(body) for _, body in log.bodies()]


def listing(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, with bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a package look as if it were not installed."""
    find = importlib.util.find_spec

    def hide(package: str) -> None:
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name, *more: None if name == package else find(name, *more)
        )

    return hide
