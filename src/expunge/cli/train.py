"""expunge train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import assigned, find_own_modules, present
from expunge.cli.showing import Json, progress, say, say_json, tell
from expunge.core.errors import ConfigError

Label = Annotated[str, typer.Option(help="Column of a table that is to be told.")]
Id = Annotated[str, typer.Option(help="Column of the record ids.")]
Part = Annotated[str, typer.Option(help="Of an npz file of several arrays, such as train.")]
Workers = Annotated[int | None, typer.Option(help="Parts that are trained at a time.", min=1)]
OnRay = Annotated[bool, typer.Option("--ray", help="Train the parts as Ray tasks; the bytes are the same.")]
DATA = "What it is trained on: CSV, npz or Parquet for rows of numbers, else records in any form."


def train(
    recipe: Annotated[str, typer.Option(help="YAML file of a recipe, or the name of a recipe or a learner.")],
    data: Annotated[Path, typer.Option(help=DATA)],
    out: Annotated[Path, typer.Option(help="Folder for the target.")],
    label: Label = "",
    id: Id = "",
    part: Part = "",
    subject: Annotated[str, typer.Option(help="Column of a table that says whom a row is about.")] = "",
    categories: Annotated[
        Path | None, typer.Option(help='JSON of the values that columns of texts may have: {"city": ["Rome"]}.')
    ] = None,
    other: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe as NAME=VALUE, such as shards=4.")
    ] = None,
    workers: Workers = None,
    ray: OnRay = False,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.", min=0)] = 0,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check recipe and data; train and write nothing.")] = False,
) -> None:
    """Train a model in a way that lets it forget: exactly, by sums, shards or checkpoints; or certified, by noise.

    A recipe file names the recipe and its settings, for example "recipe: sisa" and "shards: 4". Classes that it names
    as module:name are also looked for in the working folder.
    The log is told recipe and data, salted, before the training and the result after it. Killed, the same command
    continues.

    Example: expunge train --recipe ridge --data table.csv --label y --id name --out runs/trained
    """
    from expunge.workflow.recipe_file import read_recipe, told
    from expunge.workflow.train import train as run
    from expunge.workflow.train import would_train
    from expunge.workflow.training_record import Source

    find_own_modules()
    chosen = read_recipe(recipe, assigned(other or ()))
    stated = told(chosen)
    source = Source(str(present(data, "data")), label, id, part, subject, categories=values_of(categories))
    pool = pool_of(workers, ray)
    if dry_run:
        records = would_train(chosen, source, out, seed=seed)
        facts = {"recipe": stated, "digest": chosen.digest(), "records": records, "out": str(out), "written": False}
        tell(as_json, f"would train {stated['recipe']} on {records} records and write to {out}", facts)
        return
    with progress():
        target = run(chosen, source, seed=seed, out=out, pool=pool)
    facts: dict[str, Any] = {
        "digest": target.digest(),
        "kind": target.kind,
        "provenance": type(target.provenance).__name__,
        "out": str(out),
    }
    if as_json:
        say_json({**facts, "recipe": stated["recipe"], "written": True})
        return
    for name, value in facts.items():
        say(f"{name:<10} {value}")


def values_of(path: Path | None) -> dict[str, tuple[str, ...]]:
    """The values that columns of texts may have, by column; empty without a file.

    Raises:
        ConfigError: it is no object of lists of texts.
    """
    from expunge.core.canonical import read_json

    body = read_json(present(path, "categories")) if path else {}
    lists = isinstance(body, dict) and all(isinstance(v, list) and v and all(map(_text, v)) for v in body.values())
    if not lists:
        raise ConfigError(
            f"{path} names no categories", why="an object of lists of texts is read", next='Write {"city": ["Rome"]}'
        )
    return {str(name): tuple(values) for name, values in body.items()}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def pool_of(workers: int | None, ray: bool) -> Any:
    """Where parts are trained; None for this process.

    Raises:
        MissingExtra: Ray is asked for and not installed.
    """
    from expunge.execution.on_ray import require_ray
    from expunge.execution.pool import Pool

    if ray:
        require_ray()
        return Pool("ray", workers=workers or 1)
    return None if workers is None else Pool(workers=workers)
