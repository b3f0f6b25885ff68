"""constraints.txt holds exact pins for the transitive closure of the base install and the extras, and nothing else.

The closure is read from the metadata of what is installed beside this interpreter, for every Python that the project
supports. torch pins the accelerator packages of its own builds, so they are left to it.

Usage: check_constraints.py [CHECKOUT]    Prints one line per offence and exits 1 if there is any.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("hf", "stores", "dp", "ray", "dev")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LEFT_TO_TORCH = re.compile(r"nvidia-|cuda-|triton")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9._]+)")


def applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement counts under any supported Python with any of the extras."""
    if requirement.marker is None:
        return True
    marker = requirement.marker
    pairs = [(python, extra) for python in PYTHONS for extra in extras | {""}]
    return any(marker.evaluate({"python_version": p, "python_full_version": f"{p}.0", "extra": e}) for p, e in pairs)


def closure(requirements: list[str]) -> dict[str, str]:
    """Installed version of everything that the requirements lead to; an empty one where it is not installed."""
    versions: dict[str, str] = {}
    walked: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in walked or LEFT_TO_TORCH.match(name):
            continue
        walked.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
            continue
        versions[name] = distribution.version.partition("+")[0]
        waiting += [r for r in map(Requirement, distribution.requires or []) if applies(r, extras)]
    return versions


def read_pins(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, name, version) of each line; a line that is no exact pin has an empty name."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = PIN.fullmatch(line.strip())
        yield (number, canonicalize_name(match["name"]), match["version"]) if match else (number, "", line)


def check(checkout: Path) -> list[str]:
    """Offences of constraints.txt against pyproject.toml and what is installed."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [r for name in EXTRAS for r in project["optional-dependencies"][name]]
    needed = closure(project["dependencies"] + extras)
    pinned: set[str] = set()
    offences: list[str] = []
    for number, name, version in read_pins(checkout / "constraints.txt"):
        pinned.add(name)
        if not name:
            offences.append(f"constraints.txt:{number} is not name==version: {version}")
        elif name not in needed:
            offences.append(f"constraints.txt:{number} pins {name}, which nothing needs")
        elif needed[name] and needed[name] != version:
            offences.append(f"constraints.txt:{number} pins {name} {version}, installed is {needed[name]}")
    return offences + [f"constraints.txt:1 lacks {name}" for name in sorted(needed.keys() - pinned)]


if __name__ == "__main__":
    found = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(found) or "constraints: kept")
    sys.exit(bool(found))
