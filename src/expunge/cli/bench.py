"""expunge bench"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.demo import Dry, Json, finish
from expunge.cli.showing import add, progress, say

bench = typer.Typer(help="Walk the demo's road on the field's data.", rich_markup_mode=None)


@bench.callback(epilog="Example: expunge bench tofu --help")
def group() -> None:
    """Walk the demo's road on the field's data."""


def tofu(
    data: Annotated[Path, typer.Option(help="Folder with TOFU's files.")],
    model: Annotated[str, typer.Option(help="Folder or hub name of a causal LM.")],
    authors: Annotated[int, typer.Option(help="Authors that the original learns.", min=2)] = 8,
    forget: Annotated[int, typer.Option(help="Of them that are forgotten.", min=1)] = 2,
    methods: Annotated[list[str] | None, typer.Option(help="Methods to run; repeat the option.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/tofu"),
    seed: Annotated[int, typer.Option(help="Of the models.", min=0)] = 0,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Fine-tune a pretrained model on TOFU's authors, make it forget some, and judge how well each method did.

    Killed, it continues where it was.

    Example: expunge bench tofu --data tofu --model stories260K --authors 8 --forget 2
    """
    from expunge.workflow.bench_tofu import METHODS, bench_tofu

    names = tuple(methods) if methods else METHODS
    if dry_run:
        say(f"would fine-tune {model} three times, forget by {', '.join(names)}, and write to {out}")
        return
    with progress():
        table = bench_tofu(out, data=data, model=model, authors=authors, forget=forget, methods=names, seed=seed)
    finish(out, table, as_json)


add(bench, "tofu", tofu)
