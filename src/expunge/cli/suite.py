"""expunge suite"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from expunge.cli.given import Scorers, assigned, scorers_of
from expunge.cli.showing import progress, say, say_json, tell
from expunge.core.attack import Budget
from expunge.core.errors import ConfigError


def suite(
    name: Annotated[str, typer.Argument(help="Name of a suite; see expunge list suites.")],
    model: Annotated[str | None, typer.Option(help="The model that is judged.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder, file or hub name, in the suite's published layout.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for score tables, suite.json and table.txt.")] = None,
    reference: Annotated[str | None, typer.Option(help="A model that never knew.")] = None,
    second: Annotated[str | None, typer.Option(help="Another such model with another seed: the ceiling.")] = None,
    original: Annotated[str | None, typer.Option(help="The model before unlearning.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="quick or full, of attacks that no criterion judges; the others run at theirs.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the data, NAME=VALUE, for instance split=forget05.")
    ] = None,
    scorer: Scorers = None,
    task: Annotated[list[str] | None, typer.Option(help="Task of the evaluation harness, run as well.")] = None,
    across: Annotated[
        str | None, typer.Option(help="Compare finished runs instead: sizes of forget sets, or requests in sequence.")
    ] = None,
    run: Annotated[list[Path] | None, typer.Option(help="With --across: folder of a finished run, in order.")] = None,
    seed: Annotated[int, typer.Option(help="Of attacks and resampling.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be measured, and write nothing.")] = False,
) -> int:
    """Measure a model with a suite: data, scores, attacks and margins in one file. Trains nothing.

    What is missing, a reference, a scorer, a file, is skipped by name with the reason. Without --model it says what the
    suite asks, reads and needs. Exits 1 if the suite has a policy and its claim is not earned. The same numbers come
    from the score tables again with expunge evaluate --from.

    Example: expunge suite privacy --model runs/mine/model --data records --reference retrained --out runs/privacy
    """
    from expunge.workflow.suite_run import dry_suite, find_suite, prepare_suite, run_suite

    if budget is not None and budget not in get_args(Budget):
        raise typer.BadParameter("--budget is quick or full")
    if across is not None:
        return _across(name, across, run or [], as_json)
    if model is None:
        _describe(find_suite(name), as_json)
        return 0
    if data is None or out is None:
        raise typer.BadParameter("give --data and --out beside --model")
    scorers = scorers_of(scorer or ())
    options: dict[str, Any] = {"tasks": task or (), "options": assigned(setting or ())}
    arms = {"reference": reference, "second": second, "original": original}
    if dry_run:
        chosen, corpus = prepare_suite(name, data, out, **options, budget=cast("Budget | None", budget))
        found = dry_suite(chosen, corpus, [arm for arm, given in arms.items() if given], list(scorers))
        lines = [
            f"would measure {reading}" if not why else f"would skip {reading}: {why}"
            for reading, why in found["readings"].items()
        ]
        tell(as_json, "\n".join([*(f"{part}: {n} records" for part, n in found["parts"].items()), *lines]), found)
        return 0
    with progress():
        how = {"scorers": scorers, "budget": cast("Budget | None", budget), "seed": seed}
        found = run_suite(name, model, data, out=out, **arms, **options, **how)
    return _told(found, out, as_json) if found else 0


def _told(found: Mapping[str, Any], out: Path, as_json: bool) -> int:
    tell(as_json, (out / "table.txt").read_text().rstrip(), found)
    return 0 if found["verdict"] is None or found["verdict"]["status"] == "earned" else 1


def _across(name: str, by: str, runs: list[Path], as_json: bool) -> int:
    from expunge.workflow.suite_across import By, across_runs, across_text

    found = across_runs(runs, cast("By", by))
    if found["suite"] != name.replace("-", "_"):
        raise ConfigError(f"the runs are of the suite {found['suite']}", next="Name that suite")
    tell(as_json, across_text(found), found)
    return 0


def _describe(found: Any, as_json: bool) -> None:
    rows: dict[str, Mapping[str, str]] = {
        reading.name: {"question": reading.question, "measure": reading.measure, "better": reading.better}
        for reading in found.readings
    }
    if as_json:
        texts = {name: getattr(found, name) for name in ("name", "question", "source", "layout", "get", "ethics")}
        say_json({**texts, "readings": rows, "tasks": list(found.tasks)})
        return
    say(f"{found.name}: {found.question}\nsource: {found.source}\nreads: {found.layout}\ndata: {found.get}.")
    say(f"licence and care: {found.ethics}")
    for name, row in rows.items():
        say(f"  {name:<22} {row['question']} ({row['measure']}, good: {row['better']})")
    if found.tasks:
        say(f"tasks of the evaluation harness, with --task: {', '.join(found.tasks)}")
