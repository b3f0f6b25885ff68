"""What is known of each score, statistic and attack: whether it tells a model that knows from one that never did.

``trust.json`` beside this file is written by ``benchmarks.trust``, which reads each name on models of known truth at
its default threshold. Where it says ``no``, the name earns nothing, in whatever policy. What was not measured, or not
clearly, is not blocked: nothing was shown against it, and the positive control of each run still has to fire. Without
the file nothing is blocked either, and each verdict that earns says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import EvidenceError

MEASURED = Path(__file__).with_name("trust.json")
NOT_MEASURED, AGAIN = "not measured", "Install expunge again"
NO_TABLE = f"{NOT_MEASURED}: no trust table in this package"
SHARES = {"caught": "caught", "missed": "missed", "false_alarm": "false alarms"}


@lru_cache
def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    found = read_json(path).get("names", {}) if path.is_file() else {}
    for name, said in found.items():
        needed = {"why"} if said.get("trust") == NOT_MEASURED else {"trust", "pairs", *SHARES}
        if not said.keys() >= needed:
            raise EvidenceError(f"{path.name} is damaged", why=f"it does not say what is known of {name}", next=AGAIN)
    return found


def untested() -> str:
    """Why nothing is known of any name: there is no table; empty where there is one."""
    return "" if MEASURED.is_file() else NO_TABLE


def trust_of(name: str) -> str:
    """``yes``, ``unclear``, ``no`` or ``not measured``.

    Args:
        name: of a metric or an attack.
    """
    return str(_read(MEASURED).get(name, {}).get("trust", NOT_MEASURED))


def told(name: str) -> str:
    """The trust in a name with what it rests on, in one line.

    Args:
        name: of a metric or an attack.

    Raises:
        EvidenceError: the package's file is damaged.
    """
    found = _read(MEASURED).get(name)
    if found is None:
        return NOT_MEASURED
    if trust_of(name) == NOT_MEASURED:
        return f"{NOT_MEASURED}: {found['why']}"
    shares = [f"{word} {_share(*found[key])}" for key, word in SHARES.items()]
    return f"{trust_of(name)}: {', '.join(shares)}; {found['pairs']} pairs"


def _share(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def doubts(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Which of these names earn nothing, each with the reason.

    Args:
        names: as the criteria of a policy give them.
    """
    return tuple(
        (name, f"it cannot tell a model that knows from one that never did ({told(name).removeprefix('no: ')})")
        for name in names
        if trust_of(name) == "no"
    )
