"""The form of docstrings where formulas live: objectives, metrics, ops (design/constitution.md, 6).

The module's first line ends in ``Source: ...``; every public function has Args (``name: (shape) unit. meaning``; for
hyperparameters, which are keyword-only, ``name: unit. meaning``; the meaning may be left out where the name says it),
Returns and an example, and the example uses no neutral hyperparameter, such as 0 or 1.

Usage: check_docstrings.py [PACKAGE]    default: src/expunge. Prints one line per offence and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("objectives", "metrics", "ops")
SOURCE = re.compile(r"\bSource: \S")
SECTION = re.compile(r"^(?P<name>[A-Z][a-z]+):[ ]*$", re.MULTILINE)


def sections(docstring: str) -> dict[str, str]:
    """The text below each ``Name:`` line.

    >>> sections("Effect.\\n\\nArgs:\\n    x: () nats. What.\\nReturns:\\n    y")
    {'Args': '    x: () nats. What.', 'Returns': '    y'}
    """
    heads = list(SECTION.finditer(docstring))
    ends = [head.start() for head in heads[1:]] + [len(docstring)]
    return {h["name"]: docstring[h.end() : end].strip("\n") for h, end in zip(heads, ends, strict=False)}


def neutral_settings(docstring: str, name: str) -> Iterator[str]:
    """Hyperparameters that calls of ``name`` in the example set to 0 or 1."""
    for example in doctest.DocTestParser().get_examples(docstring):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                for setting in node.keywords:
                    value = setting.value.value if isinstance(setting.value, ast.Constant) else None
                    if not isinstance(value, bool) and value in (0, 1):
                        yield f"{setting.arg}={value}"


def check_function(function: ast.FunctionDef) -> Iterator[str]:
    """What is missing from one function's docstring."""
    docstring = ast.get_docstring(function)
    if docstring is None:
        yield "has no docstring"
        return
    found = sections(docstring)
    forms = {a.arg: r"\(.*\) \S.*\." for a in function.args.posonlyargs + function.args.args}
    forms |= {a.arg: r"\S.*\." for a in function.args.kwonlyargs}
    if forms and "Args" not in found:
        yield "has no Args"
    for name, form in forms.items() if "Args" in found else ():
        if not re.search(rf"^ *{name}: {form}", found["Args"], re.MULTILINE):
            shape = "" if form.startswith(r"\S") else "(shape) "
            yield f"does not give {name} in Args as '{name}: {shape}unit.'"
    if "Returns" not in found:
        yield "has no Returns"
    if ">>> " not in docstring:
        yield "has no example"
    for setting in neutral_settings(docstring, function.name):
        yield f"has an example that is blind to factors: {setting}"


def check_file(path: Path) -> Iterator[str]:
    """Offences of one module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first = (ast.get_docstring(tree) or "").partition("\n")[0]
    if not SOURCE.search(first):
        yield f"{path}:1 names no source in its first line ('Source: ...')"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from (f"{path}:{node.lineno} {node.name} {what}" for what in check_function(node))


def check(package: Path) -> list[str]:
    """Offences of all modules in the folders of formulas."""
    files = [p for folder in FOLDERS for p in sorted((package / folder).rglob("*.py")) if not p.name.startswith("_")]
    return [offence for path in files for offence in check_file(path)]


if __name__ == "__main__":
    found = check(Path(sys.argv[1] if len(sys.argv) > 1 else "src/expunge"))
    print("\n".join(found) or "docstrings: kept")
    sys.exit(bool(found))
