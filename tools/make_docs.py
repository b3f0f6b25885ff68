"""Pages that are made from the code: one for every command, the registries' tables, the index of papers.

Usage: make_docs.py [--check] [DOCS]    default: docs. With --check nothing is written; prints one line per page that
differs from what the code says and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent / "src" / "expunge"
MADE = "<!-- Made by tools/make_docs.py from the code; edit the code. -->\n"
ARXIV = re.compile(r"(?<![\d.])(\d{4}\.\d{5})(?![\d.])")
JUDGING = ("metrics", "attacks")
TRUST = """Trust is what `make long` measures on models of known truth, with 90 % intervals: the shares of models that
learned the records which it caught and missed, and of false alarms on models that never saw them;
`docs/results/trust.md` says how. What has a `no` cannot tell these apart and earns nothing in any policy.

"""
KINDS = (
    *("methods", "objectives", "metrics", "attacks", "policies", "suites", "controls"),
    *("recipes", "trainers", "learners", "accountants"),
)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table.

    >>> table(["a", "b"], [["x", "y"]]).splitlines()
    ['| a | b |', '|---|---|', '| x | y |']
    """
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"|{'|'.join(line)}|\n" if line[0] == "---" else f"| {' | '.join(line)} |\n" for line in lines)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def _option(parameter: Any) -> list[str]:
    words = [*parameter.opts, *parameter.secondary_opts]
    name = parameter.name.upper() if parameter.param_type_name == "argument" else ", ".join(words)
    default = parameter.default
    plain = default is not None and not isinstance(default, (bool, tuple)) and not callable(default)
    shown = f"`{default}`" if plain and default != "" else ""
    need = "required" if parameter.required else shown
    return [f"`{name}`", getattr(parameter, "help", "") or "", need]


def command_page(words: tuple[str, ...], command: Any) -> str:
    """What ``--help`` says, as a page."""
    title = f"expunge {' '.join(words)}"
    example = (command.epilog or "").partition("Example:")[2].strip()
    rows = [_option(p) for p in command.params if p.name != "help"]
    options = table(["option", "meaning", "default"], rows) if rows else ""
    text = re.sub(r"[\b]", "", command.help or "").strip()
    return f"# {title}\n\n{MADE}\n{text}\n\n{options}\n```sh\n{example}\n```\n"


def command_pages() -> dict[str, str]:
    """Page by its path below the docs."""
    from typer.main import get_command

    from expunge.cli.app import app

    found = dict(commands(get_command(app)))
    pages = {f"cli/{'-'.join(words)}.md": command_page(words, command) for words, command in found.items()}
    rows = [
        [f"[`expunge {' '.join(words)}`]({'-'.join(words)}.md)", (command.help or "").partition("\n")[0]]
        for words, command in found.items()
    ]
    exits = "0 ok, 1 a claim is not met, 2 usage, 3 environment. Data goes to stdout, progress to stderr.\n"
    pages["cli/index.md"] = f"# Commands\n\n{MADE}\n{table(['command', 'effect'], rows)}\nExit codes: {exits}"
    return pages


def _facts(kind: str, entry: Any) -> str:
    """What a reader chooses by: views, columns, access, claim."""
    if kind == "objectives":
        return "reads " + ", ".join(f"`{need.name}`" for need in entry.needs)
    if kind == "metrics":
        needs = [n if isinstance(n, str) else " / ".join(n) for n in entry.needs]
        reads = f"reads {', '.join(f'`{n}`' for n in needs)}" if needs else "reads what it is told to"
        aim = "as the reference" if entry.better == "reference" else f"{entry.better} is better"
        attack = getattr(entry, "attack", None)
        told = f"{entry.question} A retrained model: {entry.retrained}. "
        return f"{told}{aim[:1].upper()}{aim[1:]}; {reads}" + (f"; attack with {attack.name}" if attack else "")
    if kind == "attacks":
        return f"needs {entry.access}".replace("Access.", "")
    if kind == "learners":
        takes = inspect.signature(entry).parameters
        if takes.keys() & {"learner", "steps"}:
            return "as exact as what it holds"
        return "`bitwise`, or `1e-12` where that is asked for" if "exactness" in takes else f"`{entry.exactness}`"
    if kind in ("recipes", "trainers"):
        shown = [field.name for field in dataclasses.fields(entry) if field.name not in ("name", "salt")]
        return f"settings {', '.join(f'`{name}`' for name in shown)}"
    if kind == "methods":
        return f"needs `{entry.needs.__name__}`, claims at most `{type(entry.claim).__name__}`"
    if kind == "policies":
        from expunge.evaluation.trusted import doubts

        sides = {"both": "within", "above": "above by less than"}
        listed = ", ".join(f"`{c.attack}` {sides[c.side]} {c.margin:g}" for c in entry.criteria)
        nothing = ", ".join(f"`{name}`" for name, _ in doubts(c.attack for c in entry.criteria))
        return f"{listed}. Cannot be earned: {nothing} cannot tell the cases apart" if nothing else listed
    return ""


def registry_of(kind: str) -> Any:
    """The registry of a kind; that of trainers stands beside their protocol."""
    from expunge.core import registry
    from expunge.engine.parts.trainer import trainers

    return trainers if kind == "trainers" else getattr(registry, kind)


def registry_page() -> str:
    """A table a registry; what judges has a column that says how far it can be trusted."""
    from expunge.evaluation.trusted import told, untested

    known = TRUST + (f"At present it is {untested()}.\n\n" if untested() else "")
    parts = [f"# Registries\n\n{MADE}\nOne file adds one thing: see [Extending](extending.md).\n"]
    for kind in KINDS:
        found, judges = registry_of(kind), kind in JUDGING
        rows = [
            [f"`{name}`", found.describe(name), _facts(kind, found.get(name)), *([told(name)] if judges else [])]
            for name in found.names()
        ]
        heads = ["name", "what", "facts", *(["trust"] if judges else [])]
        parts.append(f"\n## {kind.capitalize()}\n\n{known if judges else ''}{table(heads, rows)}")
    return "".join(parts)


def papers() -> dict[str, tuple[str, list[str]]]:
    """arXiv number -> (how the first file that names its authors cites it, the modules that build on it)."""
    found: dict[str, tuple[str, list[str]]] = {}
    named: set[str] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        _, mark, cited = first.partition("Source: ")
        module = path.relative_to(SOURCE).with_suffix("").as_posix()
        for part in re.split(r";\s+", cited) if mark else ():
            for number in ARXIV.findall(part):
                words = re.sub(rf"\s*\(?{number}\)?", "", part).strip(" .")
                known, modules = found.get(number, (words, []))
                if f"({number})" in part and number not in named:
                    named.add(number)
                    known = words
                found[number] = (known, [*modules, module])
    return found


def paper_page() -> str:
    """The papers that modules name as their source."""
    rows = [
        [f"[{number}](https://arxiv.org/abs/{number})", words, ", ".join(f"`{m}`" for m in sorted(set(modules)))]
        for number, (words, modules) in sorted(papers().items())
    ]
    intro = "Each module with a formula names its source in its first line; where the two disagree, it says so.\n"
    return f"# Papers\n\n{MADE}\n{intro}\n{table(['arXiv', 'cited as', 'built in'], rows)}"


def pages() -> dict[str, str]:
    """Every made page by its path below the docs."""
    return {**command_pages(), "registries.md": registry_page(), "papers.md": paper_page()}


def stale(folder: Path) -> list[str]:
    """What in the folder differs from what the code says."""
    wanted = pages()
    left = {p.relative_to(folder).as_posix() for p in (folder / "cli").glob("*.md")} - wanted.keys()
    changed = [n for n, text in wanted.items() if not (p := folder / n).is_file() or p.read_text("utf-8") != text]
    return [f"{folder / name}: stale" for name in changed] + [f"{folder / name}: no such command" for name in left]


def write(folder: Path) -> None:
    """Write what is stale and remove the pages of commands that are gone."""
    wanted = pages()
    for path in (folder / "cli").glob("*.md"):
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--check"]
    docs = Path(words[0] if words else "docs")
    if "--check" not in sys.argv:
        write(docs)
    offences = stale(docs)
    print("\n".join(offences) or "pages: as the code says")
    sys.exit(bool(offences))
