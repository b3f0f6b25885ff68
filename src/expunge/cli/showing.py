"""Progress on stderr, data on stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from expunge.core.progress import listening


@contextlib.contextmanager
def progress() -> Generator[None]:
    """Show what the library reports, on a terminal's stderr only; the bars vanish when it ends."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def reporter(stage: str, done: int, total: int, note: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note=note)
            bars.update(tasks[stage], completed=done, total=total, note=note)
            if done >= total:
                bars.remove_task(tasks.pop(stage))

        with listening(reporter):
            yield


def say(text: str) -> None:
    """Data for the user, on stdout."""
    typer.echo(text)


def say_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
