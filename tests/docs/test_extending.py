"""docs/extending.md is a package that works: its files are written as they stand, installed and put to its own test."""

import importlib
import re
import sys
import tomllib

import pytest

from expunge.cli.app import run

BLOCK = re.compile(r'^```\w+ title="(?P<name>[^"]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def files(checkout):
    text = (checkout / "docs" / "extending.md").read_text()
    found = {block["name"]: block["text"] for block in BLOCK.finditer(text)}
    assert len(found) == text.count("\n```") // 2, "a block without a title would not be run"
    return found


@pytest.fixture
def extra(files, tmp_path, monkeypatch):
    """The page's package, found as pip would have left it."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "extra" / "__init__.py").touch()
    info = tmp_path / "extra-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1\n")
    points = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["expunge"]
    lines = (f"{name} = {place}" for name, place in points.items())
    (info / "entry_points.txt").write_text("[expunge]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "extra"]:
        del sys.modules[name]


def test_the_page_passes_its_own_contract_tests(extra):
    importlib.import_module("extra.test_extra").test_what_this_package_adds()


def test_the_command_line_lists_what_the_package_adds(extra, capsys):
    for kind, name in (("objectives", "bounded_ascent"), ("methods", "bounded"), ("policies", "words_only")):
        assert run(["list", kind]) == 0
        assert name in capsys.readouterr().out


def test_the_examples_in_the_page_hold(extra):
    import doctest

    for name in ("bounded_ascent", "first_token"):
        importlib.import_module(f"extra.{name}")
        module = sys.modules[f"extra.{name}"]
        found = doctest.DocTestFinder().find(vars(module)[name], name, module=module, globs=vars(module))
        assert sum(len(case.examples) for case in found)
        for case in found:
            assert doctest.DocTestRunner().run(case).failed == 0
