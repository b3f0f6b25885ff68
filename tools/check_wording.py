"""Words and calls that no tracked file may hold: paths of one machine, package registries, marks of unfinished work,
and, outside tests, anything that reads or writes pickles or runs a model's own code (design/constitution.md, 5).

Usage: check_wording.py [CHECKOUT]    Prints one line per offence and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# The brackets keep this file from matching itself.
MARKS = "TOD[O]|FIXM[E]|XX[X]|HAC[K]"
HOSTS = r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs\.org"
FOLDERS = "|".join(("home", "root", "Users", "work", "mnt", "opt", "tmp", "var", "private", "srv", "media"))
PATTERNS = {
    "a path of one machine": re.compile(rf"(?<![\w.$~}})\]>/*-])/(?:{FOLDERS})(?:/|\b(?![\w-]))|(?<!\w)[A-Z]:\\Users"),
    "the host of a package registry": re.compile(HOSTS),
    "a mark of unfinished work": re.compile(rf"\b(?:{MARKS})\b"),
}
PICKLING_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLING_CALLS = {("torch", "load"), ("torch", "save"), ("pandas", "read_pickle"), ("pd", "read_pickle")}
REFUSED_ARGUMENTS = {"trust_remote_code", "allow_pickle"}


def tracked(checkout: Path) -> list[Path]:
    """Files that git tracks or would track, relative to the checkout."""
    command = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in sorted(set(listed.split("\0")) - {""}) if (checkout / name).is_file()]


def check_words(text: str) -> Iterator[tuple[int, str]]:
    """(line, offence) for the patterns.

    >>> list(check_words("first\\nTOD" + "O: second"))
    [(2, 'a mark of unfinished work: TOD...')]
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in PATTERNS.items():
            if match := pattern.search(line):
                yield number, f"{what}: {match.group()}"


def check_calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, offence) for what pickles or runs a model's own code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            pickling = [name for name in modules if name.partition(".")[0] in PICKLING_MODULES]
            yield from ((node.lineno, f"imports {name}") for name in pickling)
            calls = [(module, alias.name) for module in modules for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            calls = [(node.value.id, node.attr)]
        elif isinstance(node, ast.keyword) and node.arg in REFUSED_ARGUMENTS and ast.unparse(node.value) != "False":
            yield node.lineno, f"{node.arg} is set"
            continue
        else:
            continue
        yield from ((node.lineno, f"{a}.{b} reads or writes a pickle") for a, b in calls if (a, b) in PICKLING_CALLS)


def check(checkout: Path) -> list[str]:
    """Offences of every tracked text file."""
    offences: list[str] = []
    for path in tracked(checkout):
        try:
            text = (checkout / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = list(check_words(text))
        if path.suffix == ".py" and path.parts[0] != "tests":
            found += check_calls(ast.parse(text))
        offences += [f"{path}:{line} {what}" for line, what in sorted(found)]
    return offences


if __name__ == "__main__":
    found = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(found) or "wording: kept")
    sys.exit(bool(found))
