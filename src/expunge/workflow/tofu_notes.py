"""What stands below the table of a TOFU run: seeds, how far the original had to be trained, settings, tokens."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.evaluation.bootstrap import fewest_groups
from expunge.evaluation.table import WIDTH
from expunge.workflow.tofu_settings import MUST_FAIL


def notes(road: Any) -> str:
    """One line a fact, from the facts of a road.

    Args:
        road: with the facts ``seeds``, ``learned``, ``settings`` and ``tokens``; ``partly`` where something was not
            measured at every seed.
    """
    facts: Mapping[str, Any] = road.facts
    lines = [_seeds(facts["seeds"])]
    people = len(set(road.corpus.of("forget").subjects))
    needed = fewest_groups(road.policy.level)
    if people < needed:
        lines.append(
            f"{people} forgotten authors: fewer than {needed} subjects give no {road.policy.level:.0%} interval. "
            "What is measured on them has the whole range for its interval, and no claim can be earned; seeds are not "
            "subjects"
        )
    lines += [_learned(seed, found) for seed, found in zip(facts["seeds"], facts["learned"], strict=True)]
    lines += [_partly(name, found, facts["seeds"]) for name, found in facts.get("partly", {}).items()]
    by_source: dict[str, list[str]] = {}
    for name, source in facts["settings"].items():
        by_source.setdefault(source, []).append(name)
    lines += [f"Settings of {', '.join(names)}: {source}" for source, names in by_source.items()]
    if facts.get("how"):
        told = ", ".join(f"{name} {value}" for name, value in facts["how"].items())
        lines.append(f"Every training: {told}; models are asked in float32")
    tokens = "; ".join(
        f"{role} {found['mean']:g} ({found['longest']} at most, {found['truncated']} of {found['answers']} truncated)"
        for role, found in facts["tokens"].items()
    )
    lines.append(f"Tokens an answer: {tokens}")
    return "".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) + "\n" for line in lines)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"1 seed ({seeds[0]}): intervals resample authors"
    return f"{len(seeds)} seeds ({', '.join(map(str, seeds))}): means over seeds, intervals resample authors and seeds"


def _learned(seed: int, learned: Mapping[str, Any]) -> str:
    """Whether the original fails, and how long it took.

    >>> _learned(3, {"unit": "epochs", "tried": [{"length": 40.0, "ks": 0.3}, {"length": 60.0, "ks": 0.52}]})
    'Seed 3: the original fails, at KS D 0.52 after 60 epochs; trained longer, as 40 epochs gave 0.30'
    """
    *before, last = learned["tried"]
    unit = learned["unit"]
    shorter = ", ".join(f"{t['length']:g} {unit} gave {t['ks']:.2f}" for t in before)
    longer = f"; trained longer, as {shorter}" if before else ""
    fails = last["ks"] >= MUST_FAIL
    verdict = "fails, at" if fails else "does not fail, for lack of learning:"
    return f"Seed {seed}: the original {verdict} KS D {last['ks']:.2f} after {last['length']:g} {unit}{longer}"


def _partly(name: str, found: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """At how many seeds something was read, and why not at the others.

    >>> _partly("alias", {"at": [0, 2], "why": ["no question names a subject"]}, [4, 5, 6])
    'alias: read at 2 of 3 seeds (4, 6); left out at the others: no question names a subject'
    """
    here = f" ({', '.join(str(seeds[place]) for place in found['at'])})" if found["at"] else ""
    said = f"{name}: read at {len(found['at'])} of {len(seeds)} seeds{here}"
    return f"{said}; left out at the others: {'; '.join(found['why'])}" if found["why"] else said
