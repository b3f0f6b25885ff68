"""expunge unlearn, where a model of expunge train forgets exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.cli.given import find_own_modules, present
from expunge.cli.showing import progress, say, say_json, tell
from expunge.core.errors import ConfigError


def asks_exactly(model: str, method: str, ids: str, data: Path | None, *columns: str) -> bool:
    """Whether the arguments ask for a deletion from what the training recorded.

    Raises:
        UnknownName: no method has that name.
        MissingExtra: what methods need is not installed.
        ConfigError: columns are named and no data is, or the model is the folder of a run.
    """
    from expunge.workflow.exact import is_exact
    from expunge.workflow.run import require_extra
    from expunge.workflow.saved import CARD as TARGET
    from expunge.workflow.single import CARD, MODEL
    from expunge.workflow.training_record import has_record

    if (Path(model) / CARD).is_file() and not (Path(model) / TARGET).is_file():
        raise ConfigError(
            f"{model} is a run, which holds a model and what judging it needs", next=f"Give --model {model}/{MODEL}"
        )
    if any(columns) and data is None:
        raise ConfigError("--label, --id and --part go with --data", next="Give --data, or leave them out")
    require_extra("expunge unlearn")
    return bool(ids) or data is not None or (has_record(model) and is_exact(method))


def asked_exactly(
    model: str, forget: Sequence[Path], ids: str, data: Path | None, *, label: str, id: str, part: str
) -> Any:
    """What the arguments ask to be forgotten.

    Raises:
        ConfigError: not exactly one of --ids and --forget is given.
        StoreError: a file is missing.
    """
    from expunge.workflow.exact import Asked
    from expunge.workflow.training_record import Source

    if bool(ids) == bool(forget) or len(forget) > 1:
        raise ConfigError(
            "give --ids or one --forget", why="one request is answered at a time from a training's record"
        )
    listed = tuple(name.strip() for name in ids.split(",") if name.strip())
    source = None if data is None else Source(str(present(data, "data")), label=label, id=id, part=part)
    return Asked(model, listed, present(forget[0], "forget file") if forget else None, source)


def leave_out(**given: Any) -> None:
    """Raise where an option is given that has no meaning here.

    Raises:
        ConfigError: names it.
    """
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} has no meaning for a model of expunge train",
                why="what it keeps follows from what it was trained on, and nothing is measured",
                next="Leave it out",
            )


def unlearn_exactly(
    asked: Any,
    method: str,
    out: Path,
    how: Mapping[str, Any],
    *,
    pool: Any,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Forget, or say what would be forgotten.

    Args:
        asked: what, of which target.
        method: name of one.
        out: folder for the result.
        how: settings, basis, seed and privacy policy, as ``unlearn_exact`` takes them.
        pool: where parts are trained.
        as_json: print JSON.
        dry_run: write nothing.
    """
    from expunge.core.earning import phrase
    from expunge.workflow.exact import prepare_exact, unlearn_exact

    find_own_modules()
    if dry_run:
        selection, chosen, _ = prepare_exact(
            asked, method, out, how["settings"], seed=how["seed"], pool=pool, whole=True
        )
        if how["privacy"]:
            how["privacy"].require(chosen.claim)
        facts = {"forget": len(selection.forget), "retain": len(selection.retain), "method": chosen.name}
        text = f"would forget {facts['forget']} records by {chosen.name} and write to {out}"
        tell(as_json, text, {**facts, "out": str(out), "written": False})
        return
    with progress():
        outcome = unlearn_exact(asked, method, out, **how, pool=pool)
    facts = {"before": outcome.before, "after": outcome.target.digest(), "method": outcome.method, "out": str(out)}
    unchanged = outcome.notes.get("no_change", "")
    if as_json:
        say_json({**facts, "seconds": outcome.cost.seconds, "no_change": bool(unchanged)})
        return
    for name, value in facts.items():
        say(f"{name:<7} {value}")
    if unchanged:
        say(unchanged)
    run_again = f"to have it run again: expunge audit replay {out}; then " if getattr(outcome, "replay", None) else ""
    say(f"claims {phrase(outcome.claim)}; {run_again}expunge certify {out}")
