"""What users build on, pinned: the package's names, commands with options, registries, errors, exit codes.

Usage: check_surface.py [--write] [FILE]    default: design/surface.txt. Prints the difference and exits 1 if there is
any; with --write the file is made anew, for a change that is meant and stands in the changelog.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def _signature(thing: Any) -> str:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return ""
    names = [p.name + ("" if p.default is inspect.Parameter.empty else "=") for p in parameters]
    return f"({', '.join(names)})"


def names() -> Iterator[str]:
    """What ``import expunge`` offers, with the parameters; ``=`` marks those that may be left out."""
    import expunge

    for name in sorted(expunge.__all__):
        thing = getattr(expunge, name)
        yield f"expunge.{name}{_signature(thing) if callable(thing) else ''}"


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    from make_docs import commands as walk
    from typer.main import get_command

    from expunge.cli.app import app

    for words, command in walk(get_command(app)):
        given = (p.name.upper() if p.param_type_name == "argument" else p.opts[-1] for p in command.params)
        yield f"expunge {' '.join(words)} {' '.join(sorted(given))}"


def entries() -> Iterator[str]:
    """The names in every registry."""
    from make_docs import KINDS, registry_of

    for kind in KINDS:
        yield from (f"{kind}.{name}" for name in registry_of(kind).names())


def errors() -> Iterator[str]:
    """Every error with its exit code."""
    from expunge.core import errors

    for name, thing in sorted(vars(errors).items()):
        if inspect.isclass(thing) and issubclass(thing, errors.ExpungeError):
            yield f"{name} exits {thing.exit_code}"


def surface() -> list[str]:
    """Every line."""
    return [*names(), *commands(), *entries(), *errors()]


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--write"]
    file = Path(words[0] if words else "design/surface.txt")
    now = surface()
    if "--write" in sys.argv:
        file.write_text("".join(f"{line}\n" for line in now), encoding="utf-8")
    kept = file.read_text("utf-8").splitlines() if file.is_file() else []
    changed = [line for line in difflib.unified_diff(kept, now, lineterm="", n=0) if line[:1] in "+-"][2:]
    print("\n".join(f"{file}: {line}" for line in changed) or "surface: as pinned")
    sys.exit(bool(changed))
