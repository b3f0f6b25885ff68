"""Run a suite: read its data, score and attack the models, and write what the tables come to."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.attack import Budget
from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, EvidenceError, StoreError
from expunge.core.files import delete, replace_folder, write_json, write_text
from expunge.core.launch import rank
from expunge.core.manifest import NAME, Manifest, entry
from expunge.core.registry import suites
from expunge.core.scorer import Scorer
from expunge.core.suite import Suite, whole
from expunge.evaluation.suite_findings import ARMS, Measured, suite_findings
from expunge.evaluation.suite_table import suite_text
from expunge.workflow.recompute import KEPT
from expunge.workflow.run import locked, require_extra
from expunge.workflow.suite_budget import attacks_of, made_otherwise, stated_attacks

FOUND, TABLE, SCORES = "suite.json", "table.txt", "scores"


def find_suite(name: str | Suite) -> Suite:
    """A suite by its name, with dashes or underscores.

    Raises:
        UnknownName: there is none.
    """
    return name if isinstance(name, Suite) else suites.get(name.replace("-", "_"))


def run_suite(
    suite: str | Suite,
    target: Any,
    data: str,
    *,
    out: Path,
    reference: Any = None,
    second: Any = None,
    original: Any = None,
    scorers: Mapping[str, Scorer] | None = None,
    tasks: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    access: Access | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a model with a suite. Nothing is trained; what is missing is skipped by name, with the reason.

    The processes of a launch share scoring and generation out, and the first alone writes.

    Args:
        suite: or its name.
        target: the judged model, a target or what ``adopt`` takes.
        data: folder, file or hub name, as the suite's layout says.
        out: folder for score tables, ``suite.json`` and ``table.txt``.
        reference: a model that never knew.
        second: another, with a seed of its own.
        original: the model before unlearning.
        scorers: column, ``toxicity`` for instance -> who fills it; see ``core.scorer``.
        tasks: of the evaluation harness, run on the judged model.
        options: of the reader, such as ``{"split": "forget05"}``.
        budget: of the attacks that no criterion judges, ``quick`` by default; a judged one runs at the budget that its
            criterion names, and asking for another is refused.
        access: what may be used of the models; all that they grant, by default.
        draws: resamples of the intervals.
        seed: of attacks and resampling.

    Returns:
        What ``suite.json`` holds; nothing in a process that is not the first.

    Raises:
        MissingExtra: a package is not installed.
        StoreError: data is missing; it says which and how to get it.
        ConfigError: the folder holds something else, or a criterion names another budget than is asked for.
        EvidenceError: a model would be compared with itself, or an attack is not the one that a criterion pins.
    """
    chosen, corpus = prepare_suite(suite, data, out, tasks=tasks, options=options, budget=budget)
    models = load_arms(chosen, dict(zip(ARMS, (target, reference, second, original), strict=True)))
    allowed = Access.all() if access is None else access
    asked: dict[str, Any] = {"scorers": scorers or {}, "tasks": tasks, "budget": budget, "access": allowed}
    if rank():
        _tables(chosen, corpus, models, **asked, seed=seed)
        return {}
    with locked(out):
        kept = _measure(chosen, corpus, models, out, asked, draws, seed)
        write_text(out / KEPT, json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n")
        found = write_suite(out, kept, out, suite=chosen)
        Manifest.of(out).write(out)
    return found


def prepare_suite(
    suite: str | Suite,
    data: str,
    out: Path,
    *,
    tasks: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> tuple[Suite, Any]:
    """Check what can be checked without a model. Writes nothing.

    Args:
        suite: as for ``run_suite``.
        data: as for ``run_suite``.
        out: as for ``run_suite``.
        tasks: as for ``run_suite``.
        options: as for ``run_suite``.
        budget: as for ``run_suite``.

    Returns:
        The suite and its data.

    Raises:
        ExpungeError: as ``run_suite``.
    """
    from expunge.workflow.suite_measure import read_corpus

    chosen = find_suite(suite)
    require_extra("expunge suite")
    attacks_of(chosen, budget)
    if tasks:
        from expunge.workflow.harness import require_tasks

        require_tasks(tasks)
    # Of several processes the first alone looks after the folder, and may be at work in it already.
    if rank() == 0:
        _require_ours(out)
    return chosen, read_corpus(chosen, data, options or {})


def _require_ours(out: Path) -> None:
    """Refuse a folder of somebody else's. What a killed run left is ours: its manifest was there before its tables."""
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.is_dir() else set[str]()
    ours = NAME in names and names <= {SCORES, KEPT, FOUND, TABLE, NAME}
    if names and FOUND not in names and not ours:
        raise ConfigError(f"{out} holds other files", next="Choose an empty folder, or a name that is not taken")


def load_arms(suite: Suite, given: Mapping[str, Any]) -> dict[str, Any]:
    """Targets by arm, for the arms that are given.

    Raises:
        TargetError: a model cannot be loaded.
        EvidenceError: a reference is the model that it is compared with.
    """
    from expunge.workflow.suite_measure import fitted
    from expunge.workflow.verbs import adopt, check_apart

    loaded = {n: adopt(m) if isinstance(m, (str, Path)) else m for n, m in given.items() if m is not None}
    models = {name: fitted(model, suite) for name, model in loaded.items()}
    check_apart({name: model.digest() for name, model in models.items()})
    return models


def _measure(
    suite: Suite,
    corpus: Any,
    models: Mapping[str, Any],
    out: Path,
    asked: Mapping[str, Any],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Measure, write the tables, and return what the findings rest on beside them."""
    from expunge.evaluation.score_table import save_tables
    from expunge.workflow.stages import versions

    rows, tables, skipped = _tables(suite, corpus, models, **asked, seed=seed)
    salts = {name: _salt_of(out / SCORES / name) for name in models}
    with replace_folder(out / SCORES) as fresh:
        for name, found in tables.items():
            save_tables(fresh / name, found, salt=salts[name])
        _announce(out, fresh)
    return {
        "kind": "suite",
        "suite": {"name": suite.name, "digest": digest(suite)},
        "models": {name: model.digest() for name, model in models.items()},
        "skipped": skipped,
        "tasks": rows,
        "scorers": sorted(asked["scorers"]),
        "attacks": stated_attacks(suite, asked["budget"]),
        "access": list(asked["access"].names),
        "draws": draws,
        "seed": seed,
        "versions": versions(),
    }


def _tables(
    suite: Suite,
    corpus: Any,
    models: Mapping[str, Any],
    *,
    scorers: Mapping[str, Scorer],
    tasks: Sequence[str],
    budget: Budget | None,
    access: Access,
    seed: int,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, str]]:
    """The rows of the tasks, the tables of every arm, and why an attack was not run."""
    from expunge.engine.together import by_first
    from expunge.workflow.harness import run_tasks
    from expunge.workflow.suite_measure import suite_attacks, suite_tables
    from expunge.workflow.verbs import shared

    with shared():
        # The tasks download what they read: what may fail comes before what takes long.
        rows = by_first(lambda: run_tasks(models["model"], tasks)) if tasks else {}
        tables = {name: suite_tables(model, suite, corpus, scorers, access) for name, model in models.items()}
        attacked, skipped = suite_attacks(models, suite, corpus, budget, seed, access)
    return rows, {name: {**found, **attacked[name]} for name, found in tables.items()}, skipped


def _announce(out: Path, fresh: Path) -> None:
    """List tables that are about to take their place, and drop what the earlier ones rest on: a kill leaves neither
    tables that no manifest names nor a conclusion about others."""
    coming = [entry(fresh, path, personal=True) for path in sorted(fresh.rglob("*")) if path.is_file()]
    rest = Manifest.of(out, skipping={SCORES, fresh.name, KEPT}).entries
    Manifest((*rest, *(replace(e, path=f"{SCORES}/{e.path}") for e in coming))).write(out)
    delete(out / KEPT)


def _salt_of(folder: Path) -> str:
    """The secret that an earlier run drew, so that the same tables are the same bytes; a new one otherwise."""
    for file in sorted(folder.glob("*.json")):
        with suppress(StoreError, AttributeError):
            if salt := read_json(file).get("salt"):
                return str(salt)
    return secrets.token_hex(32)


def measured_in(run: Path, kept: Mapping[str, Any], suite: Suite | None = None) -> Measured:
    """The tables of a run with all that its findings rest on.

    Args:
        run: folder.
        kept: what its ``conclusion.json`` holds.
        suite: that was run; by default the one of its name in the registry.

    Raises:
        EvidenceError: a table is missing or damaged, or the suite is no longer what it was.
    """
    from expunge.evaluation.score_table import load_tables

    suite = suite or find_suite(kept["suite"]["name"])
    if digest(suite) != kept["suite"]["digest"]:
        raise EvidenceError(
            f"the suite {suite.name} is not the one that was run",
            why="its digest differs",
            next="Use the version of expunge that made the run",
        )
    digests = kept["models"]
    return Measured(
        suite=suite,
        tables={name: load_tables(run / SCORES / name) for name in digests},
        skipped={**kept["skipped"], **made_otherwise(kept, suite)},
        tasks=kept["tasks"],
        digests=(digests["model"], digests["original"]) if "original" in digests else None,
        draws=kept["draws"],
        seed=kept["seed"],
    )


def write_suite(run: Path, kept: Mapping[str, Any], place: Path, *, suite: Suite | None = None) -> dict[str, Any]:
    """Write what a run's score tables come to; needs no model, and gives the same bytes every time.

    Args:
        run: folder with the tables.
        kept: what its ``conclusion.json`` holds.
        place: folder that is written to.
        suite: as for ``measured_in``.

    Returns:
        What ``suite.json`` holds.
    """
    about = {
        name: kept[name] for name in ("models", "attacks", "budget", "access", "scorers", "versions") if name in kept
    }
    found = {**suite_findings(measured_in(run, kept, suite)), "run": about}
    write_json(place / FOUND, found)
    write_text(place / TABLE, suite_text(found))
    return found


def dry_suite(suite: Suite, corpus: Any, given: Sequence[str], scorers: Sequence[str]) -> dict[str, Any]:
    """What would be measured and what would be skipped, as far as that is known without a model.

    Args:
        suite: that would be run.
        corpus: its data.
        given: arms beside the model.
        scorers: names of those that are given.

    Returns:
        ``parts`` with their sizes, ``readings`` by name with what each lacks, empty for nothing.
    """
    from expunge.workflow.suite_measure import examples_of

    sizes = {part.name: len(examples_of(corpus, part)) for part in suite.parts}
    return {"parts": sizes, "readings": {r.name: _lacks(r, sizes, given, scorers) for r in suite.readings}}


def _lacks(reading: Any, sizes: Mapping[str, int], given: Sequence[str], scorers: Sequence[str]) -> str:
    from expunge.core.attack import ORIGINAL, needs_of
    from expunge.core.columns import COLUMNS, split
    from expunge.core.measure import Statistic
    from expunge.core.registry import attacks, metrics
    from expunge.evaluation.suite_findings import MISSING
    from expunge.evaluation.suite_items import why_lacking

    parts = [reading.part] * bool(reading.part) + list(reading.roles.values())
    empty = [part for part in parts if not sizes[whole(part)]]
    if empty:
        return f"the data holds no records for {empty[0]}"
    wanted = [ORIGINAL] if reading.known else []
    if reading.measure in attacks.names():
        wanted += [need for need in needs_of(attacks.get(reading.measure)) if need == ORIGINAL]
    elif reading.measure not in metrics.names():
        return f"it needs {reading.measure}, and nothing here has that name"
    else:
        metric = metrics.get(reading.measure)
        wanted += [model for model, _, _ in metric.needs] if isinstance(metric, Statistic) else []
        columns = () if isinstance(metric, Statistic) else metric.needs
        if lacking := [name for name in columns if COLUMNS[split(name)[0]].source == "scorer" and name not in scorers]:
            return why_lacking(lacking)
    return next((MISSING[arm] for arm in wanted if arm in MISSING and arm not in given), "")
