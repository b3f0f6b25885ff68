"""expunge unlearn"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.exactly import asked_exactly, asks_exactly, leave_out, unlearn_exactly
from expunge.cli.given import assigned, impersonal, judging, one_each, pinned
from expunge.cli.showing import progress, say, say_json, tell
from expunge.cli.train import Id, Label, OnRay, Part, Workers, pool_of
from expunge.core.errors import ConfigError

Retain = Annotated[Path | None, typer.Option(help="Records to keep, in the same form; most methods train on them.")]
Holdout = Annotated[Path | None, typer.Option(help="Records that no model saw; evidence reads them.")]
Validation = Annotated[Path | None, typer.Option(help="More of them; a method may calibrate on them.")]
General = Annotated[Path | None, typer.Option(help="Facts that must survive.")]
Wished = Annotated[
    str, typer.Option(help="What to do instead: as_retrained, refuse, neutral, or alternative (alternative_answer).")
]
Given = Annotated[
    int | None, typer.Option(min=1, help="Give the method so many of the records to forget; evidence reads all.")
]
Precision = Annotated[
    str | None, typer.Option(help="Of the matrix products in training: float32 or, for GPUs, bfloat16.")
]
Other = Annotated[list[str] | None, typer.Option("--set", help="Another setting, as NAME=VALUE, for example beta=0.3.")]
InSequence = Annotated[
    bool, typer.Option("--in-sequence", help="Answer several requests one after another, not together.")
]
Basis = Annotated[str, typer.Option(help="Ground of the request; stands in the certificate as it is: no names.")]
Judged = Annotated[
    str | None, typer.Option(help="What the claim will be judged by, fixed before: name of a policy or a signed file.")
]
Key = Annotated[str | None, typer.Option(help="Public key of whoever signed the policy file.")]
Kind = Annotated[str, typer.Option(help="Kind of data or request, in the words of a privacy policy.")]
DEFAULT = "npo"
"""Why this one: docs/results/lm-methods.md."""
FORGET = "Records to forget: JSON Lines, Parquet, SQLite or a saved dataset. Given again, a request of its own."
IDS = "Instead: ids to forget, with commas, from a model of expunge train. --forget may there be a text file of them."
DATA = "What such a model was trained on, if it is not where the training found it."


def unlearn(
    model: Annotated[str, typer.Option(help="Folder or hub name of a causal LM, or a folder of expunge train.")],
    out: Annotated[Path, typer.Option(help="Folder for the result.")],
    forget: Annotated[list[Path] | None, typer.Option(help=FORGET)] = None,
    method: Annotated[str, typer.Option(help="Name of a method; see expunge list methods.")] = DEFAULT,
    retain: Retain = None,
    holdout: Holdout = None,
    validation: Validation = None,
    general: General = None,
    ids: Annotated[str, typer.Option(help=IDS)] = "",
    data: Annotated[Path | None, typer.Option(help=DATA)] = None,
    label: Label = "",
    id: Id = "",
    part: Part = "",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Forget records a step.", min=1)] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.", min=1)] = None,
    precision: Precision = None,
    other: Other = None,
    in_sequence: InSequence = False,
    basis: Basis = "",
    wish: Wished = "as_retrained",
    forget_given: Given = None,
    policy: Judged = None,
    key: Key = None,
    kind: Kind = "",
    workers: Workers = None,
    ray: OnRay = False,
    seed: Annotated[int, typer.Option(help="Of the run.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but train and write nothing.")] = False,
) -> None:
    """Make a model forget what a file lists. The model itself stays as it is; killed, the same command continues.

    Several requests are kept in a folder each below --out: request-1, request-2, and so on.
    A model of expunge train forgets by --ids and the method that it was trained for; retrain gives a reference.

    What the claim will be judged by is fixed here and stands in the log: --policy, or what the method names. With a
    signed privacy policy and --kind, a deletion whose epsilon it does not accept is refused and leaves nothing.

    Example: expunge unlearn --model m --forget f.jsonl --retain r.jsonl --method npo --out runs/mine
    """
    from expunge.core.wishes import wish_named
    from expunge.workflow.single import Paths

    _check_requests(forget := forget or [], in_sequence=in_sequence, forget_given=forget_given, policy=policy)
    rule, privacy = _judging(policy, key, kind)
    settings = _settings(other, steps=steps, lr=lr, batch_size=batch_size, save_every=save_every, precision=precision)
    if asks_exactly(model, method, ids, data, label, id, part):
        asked = asked_exactly(model, forget, ids, data, label=label, id=id, part=part)
        leave_out(retain=retain, holdout=holdout, validation=validation, general=general, forget_given=forget_given)
        leave_out(policy=rule and policy, wish=wish if wish != "as_retrained" else None)
        how = {"settings": settings, "basis": impersonal(basis), "seed": seed, "privacy": privacy}
        return unlearn_exactly(asked, method, out, how, pool=pool_of(workers, ray), as_json=as_json, dry_run=dry_run)
    _check_plain(forget, on_workers=workers is not None or ray)
    paths = [Paths(model, each, retain, holdout, validation, general) for each in forget]
    how = {"settings": settings, "basis": impersonal(basis), "wish": wish_named(wish), "seed": seed}
    one = {"given": forget_given, "policy": rule, "privacy": privacy}
    (_would if dry_run else _answer)(paths, method, out, how, one=one, in_sequence=in_sequence, as_json=as_json)


def _judging(policy: str | None, key: str | None, kind: str) -> tuple[Any, Any]:
    """The policy that measurements are read by, or the privacy policy that reads an epsilon; neither where none is."""
    privacy = pinned(policy, key, kind)
    return (None, privacy) if privacy else (judging(policy, key)[0], None)


def _settings(other: Sequence[str] | None, **given: Any) -> dict[str, Any]:
    return assigned(other or ()) | {name: value for name, value in given.items() if value is not None}


def _check_plain(forget: Sequence[Path], *, on_workers: bool) -> None:
    """Raise where what is asked of a model from anywhere would need one of expunge train."""
    if on_workers:
        raise ConfigError("--workers and --ray train the parts of a model of expunge train", next="Leave them out")
    if not forget:
        raise ConfigError("nothing says what to forget", next="Give --forget, or --ids for a model of expunge train")


def _check_requests(forget: Sequence[Path], *, in_sequence: bool, forget_given: int | None, policy: str | None) -> None:
    """Raise where options do not go with the number of requests."""
    one_each(forget)
    if in_sequence and len(forget) < 2:
        given = "once" if forget else "not at all"
        raise ConfigError(
            "--in-sequence orders several requests", why=f"--forget is given {given}", next="Leave it out"
        )
    if forget_given is not None and len(forget) > 1:
        raise ConfigError("--forget-given goes with one request", why=f"--forget is given {len(forget)} times")
    if policy is not None and len(forget) > 1:
        raise ConfigError("--policy goes with one request", why=f"--forget is given {len(forget)} times")


def _answer(
    paths: Sequence[Any],
    method: str,
    out: Path,
    how: Mapping[str, Any],
    *,
    one: Mapping[str, Any],
    in_sequence: bool,
    as_json: bool,
) -> None:
    """Answer the requests, and say what came of it."""
    from expunge.workflow.request_folders import folders_of, unlearn_several
    from expunge.workflow.single import unlearn_paths

    with progress():
        if len(paths) == 1:
            results = [(out, unlearn_paths(paths[0], method, out, **one, **how))]
        else:
            answers = unlearn_several(paths, method, out, in_sequence=in_sequence, **how)
            results = [*zip(folders_of(out, len(paths)), (a.outcome for a in answers), strict=True)]
    _tell(results, as_json, alone=len(paths) == 1)


def _would(
    paths: Sequence[Any],
    method: str,
    out: Path,
    how: Mapping[str, Any],
    *,
    one: Mapping[str, Any],
    in_sequence: bool,
    as_json: bool,
) -> None:
    """Check everything but train, and say what would be done."""
    from expunge.workflow.request_folders import prepare_several
    from expunge.workflow.single import prepare

    facts: dict[str, Any] = {"wish": how["wish"], "out": str(out), "written": False}
    asked: dict[str, Any] = {"wish": how["wish"], "seed": how["seed"], "whole": True}
    settings = how["settings"]
    if len(paths) == 1:
        alone = {name: value for name, value in one.items() if name != "privacy"}
        selection, chosen, _ = prepare(paths[0], method, out, settings, **alone, **asked)
        if one["privacy"]:
            one["privacy"].require(chosen.claim)
        count = len(selection.forget)
        text = f"would forget {count} records by {chosen.name} and write to {out}"
        tell(as_json, text, {**facts, "forget": count, "given": one["given"], "method": chosen.name})
        return
    selections, chosen, _ = prepare_several(paths, method, out, settings, in_sequence=in_sequence, **asked)
    counts = [len(s.forget) for s in selections]
    order = "one after another" if in_sequence else "together"
    text = f"would forget {' and '.join(map(str, counts))} records {order} by {chosen.name} and write to {out}"
    tell(as_json, text, {**facts, "forget": counts, "in_sequence": in_sequence, "method": chosen.name})


def _tell(results: Iterable[tuple[Path, Any]], as_json: bool, *, alone: bool = False) -> None:
    from expunge.core.earning import phrase

    told, ends = list[dict[str, Any]](), dict[str, None]()
    for out, outcome in results:
        facts = {"before": outcome.before, "after": outcome.target.digest(), "method": outcome.method, "out": str(out)}
        unchanged = outcome.notes.get("no_change", "")
        told.append({**facts, "seconds": outcome.cost.seconds, "no_change": bool(unchanged)})
        proven = f"claims {phrase(outcome.claim)}; expunge certify {out}"
        ends[
            proven if getattr(outcome, "proof", None) else "nothing is claimed until it is measured: expunge evaluate"
        ] = None
        if not as_json:
            for name, value in facts.items():
                say(f"{name:<7} {value}")
            if unchanged:
                say(unchanged)
    if as_json:
        say_json(told[0] if alone else {"requests": told})
        return
    for end in ends:
        say(end)
