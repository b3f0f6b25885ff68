"""expunge list"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from expunge.cli.showing import say, say_json
from expunge.core import registry


class What(StrEnum):
    """What can be listed."""

    methods = "methods"
    objectives = "objectives"
    metrics = "metrics"
    attacks = "attacks"
    suites = "suites"
    policies = "policies"
    recipes = "recipes"
    learners = "learners"
    accountants = "accountants"


def listing(
    what: Annotated[What, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is installed, plugins included. Loads none of it.

    Example: expunge list methods
    """
    found = getattr(registry, what.value)
    rows = {name: found.describe(name) for name in found.names()}
    told = {name: found.told(name) for name in rows} if what is What.metrics else {}
    if as_json:
        say_json({name: {"what": text, **told[name]} for name, text in rows.items()} if told else rows)
        return
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        say(f"{name:<{width}}  {text}")
        if question := told.get(name, {}).get("question"):
            say(f"{'':<{width}}  {question} A retrained model: {told[name].get('retrained', '')}.")
