"""Caps on the size of files and functions, on comments, and on names that say nothing (design/constitution.md, 6).

Usage: check_sizes.py [FOLDER ...]    default: src tools. Prints one line per offence and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 60
MEDIAN_LINES = 150
LINES_PER_COMMENT = 10
SHORT_FILE = 40
BANNED_NAMES = {"utils", "helpers", "base", "misc", "common"}


def comment_lines(text: str) -> int:
    """Number of lines that hold a comment and nothing else; the line that names an interpreter is none.

    >>> comment_lines("x = 1  # why\\n# a line of its own\\n")
    1
    """
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    alone = (t for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("#"))
    return sum(not t.string.startswith("#!") for t in alone)


def function_lengths(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Every function with its number of lines, from ``def`` to the end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


def check_file(path: Path) -> Iterator[str]:
    """Offences of one file."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if path.stem in BANNED_NAMES:
        yield f"{path}:1 is named {path.name}, which does not say what is in it"
    if lines > FILE_LINES:
        yield f"{path}:{FILE_LINES + 1} has {lines} lines, the cap is {FILE_LINES}"
    for function, length in function_lengths(ast.parse(text)):
        if length > FUNCTION_LINES:
            yield f"{path}:{function.lineno} {function.name} has {length} lines, the cap is {FUNCTION_LINES}"
    comments = comment_lines(text)
    if lines > SHORT_FILE and comments * LINES_PER_COMMENT > lines:
        yield f"{path}:1 has {comments} comment lines in {lines}, the cap is one in {LINES_PER_COMMENT}"


def check(folders: list[Path]) -> list[str]:
    """Offences of all Python files below the folders."""
    offences: list[str] = []
    for folder in folders:
        files = sorted(folder.rglob("*.py"))
        offences += [offence for path in files for offence in check_file(path)]
        lengths = [n for path in files if (n := len(path.read_text(encoding="utf-8").splitlines()))]
        if lengths and (median := statistics.median(lengths)) > MEDIAN_LINES:
            offences.append(f"{folder}:1 has a median file of {median:g} lines, the cap is {MEDIAN_LINES}")
    return offences


if __name__ == "__main__":
    found = check([Path(name) for name in sys.argv[1:] or ("src", "tools")])
    print("\n".join(found) or "sizes: kept")
    sys.exit(bool(found))
