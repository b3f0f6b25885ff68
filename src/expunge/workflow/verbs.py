"""The public verbs: load_data, adopt, unlearn, evaluate, certify. They are what the command line is thin over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.errors import ClaimError, EvidenceError, TargetError
from expunge.core.manifest import NAME, Manifest
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Policy, Verdict, judge
from expunge.core.registry import policies
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.workflow.run import require_extra
from expunge.workflow.saved import CARD, Saved


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Args:
        assessed: cells, measurements and what judging reads.
        policy: that judged.
        verdict: its verdict.
        tables: model -> role or attack -> score table.
        digests: of the model that was measured and of the original.
    """

    assessed: Any
    policy: Policy
    verdict: Verdict
    tables: Mapping[str, Mapping[str, Any]]
    digests: tuple[str, str]


def load_data(
    source: Any,
    *,
    id: str = "record_id",
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    table: str | None = None,
) -> Any:
    """Open records as a store: JSON Lines, Parquet, SQLite, or a Hugging Face dataset.

    Args:
        source: a file, a folder, a loaded dataset, or the name of a dataset on a hub.
        id: column that holds the record id. Rows without one are named after the file and their place.
        columns: field of ``Example`` -> column of the data, where they differ.
        split: of a dataset that has several.
        table: of a database that has several.

    Returns:
        A store.

    Raises:
        StoreError: the data is missing or malformed.
        MissingExtra: its form needs a package that is not installed.
    """
    from expunge.data.opening import open_store

    return open_store(source, columns={**(columns or {}), "record_id": id}, split=split, table=table)


def adopt(source: str | Path, *, data: Path | None = None, out: Path | None = None) -> Any:
    """Take a causal language model as a target, a folder or a name on a hub; or the folder of a datastore.

    Args:
        source: a folder that a run wrote is checked against its card.
        data: file of what it was trained on, as far as you know; the adoption is then noted in the log.
        out: folder for a checked copy with what is known of it; the adoption is then noted in the log.

    Raises:
        TargetError: it cannot be loaded, or changed since it was saved.
        StoreError: the data is missing or malformed.
        ConfigError: the folder for the copy holds something.
    """
    if data is not None or out is not None:
        from expunge.workflow.adopt import check_out, look, record_adoption

        if out is not None:
            check_out(out)
        found = look(source, data=data)
        record_adoption(found, out=out)
        return found.target
    path = Path(source)
    if (path / CARD).is_file() and Saved(path).kind == "datastore":
        from expunge.retrieval.datastore import Datastore

        return Datastore(path)
    require_extra("adopt")
    if (path / CARD).is_file():
        _check_manifest(path)
        return Saved(path).target
    from expunge.targets.causal_lm import load_causal_lm

    return load_causal_lm(source)


def _check_manifest(path: Path) -> None:
    """Raise where the run that wrote a folder lists other bytes for it than are there.

    Raises:
        TargetError: names the first file that changed.
    """
    run = path.resolve().parent
    if not (run / NAME).is_file():
        return
    prefix = f"{path.resolve().name}/"
    mine = Manifest(tuple(e for e in Manifest.read(run).entries if e.path.startswith(prefix)))
    changed = mine.changed(run)
    if changed:
        raise TargetError(
            f"{run / changed[0]} changed since the run wrote it",
            why=f"{NAME} lists another digest",
            next="Restore it, or make the model again",
        )


def unlearn(
    target: Any,
    request: Request,
    method: Any,
    data: Any,
    *,
    seed: int = 0,
    workdir: Path | None = None,
    sample: Mapping[str, int] | None = None,
) -> Outcome[Any] | Overlay[Any]:
    """Answer a request on a target.

    Args:
        target: stays as it is.
        request: whose scope is resolved against the data.
        method: a method, or the name of one.
        data: a store with what the target learned, and with never-seen records of the role validation or holdout.
        seed: of the run.
        workdir: where checkpoints go; a killed run continues from them.
        sample: role -> most records of it to hold, for data that does not fit into memory.

    Returns:
        An outcome or an overlay.

    Raises:
        ScopeError: the scope does not resolve.
        UnknownName: no method has that name.
        ClaimError: the target lacks what the method needs.
        TargetError: the loss is not finite.
    """
    from expunge.scoping.resolve import resolve

    selection = _unfinished(target, request, data) or resolve(request.scope, data, sample=sample, seed=seed)
    return unlearn_selection(target, selection, method, seed=seed, workdir=workdir)


def _unfinished(target: Any, request: Request, data: Any) -> Selection | None:
    """What a killed purge had begun to forget, where this is the same request: its rows may be gone already."""
    begun = target.unfinished() if getattr(target, "kind", "") == "datastore" else ()
    if not begun or not isinstance(request.scope, Records) or set(begun.ids) != set(request.scope.ids):
        return None
    return Selection(begun, data.get(i for i in data.ids() if i not in begun.by_id))


def unlearn_selection(
    target: Any, selection: Selection, method: Any, *, seed: int = 0, workdir: Path | None = None
) -> Outcome[Any] | Overlay[Any]:
    """``unlearn`` for those who have the examples sorted already."""
    from expunge.core.registry import methods

    chosen = methods.get(method) if isinstance(method, str) else method
    return chosen.unlearn(target, selection, seed=seed, workdir=workdir)


def find_policy(name: str | Policy) -> Policy:
    """A policy by its public name.

    Raises:
        UnknownName: there is none.
    """
    return name if isinstance(name, Policy) else policies.get(name.replace("-", "_"))


def evaluate(
    outcome: Outcome[Any] | Overlay[Any],
    *,
    policy: str | Policy = "research-tofu",
    reference: Any,
    second: Any = None,
    seed: int = 0,
) -> Evaluated:
    """Measure a result against models that never knew, and judge it.

    Args:
        outcome: of ``unlearn``.
        policy: a policy or its name.
        reference: a target, or the folder of one, trained without the forgotten records.
        second: another such model with another seed: the ceiling. Without it a criterion that reads the distance
            between two references is not measured, and nothing can be earned.
        seed: of attacks and resampling.

    Raises:
        UnknownName: no policy has that name.
        TargetError: a reference cannot be loaded.
        EvidenceError: a reference is the model that it should be compared with.
    """
    rule = find_policy(policy)
    tables = measure(outcome, rule, reference=reference, second=second, seed=seed)
    digests = (outcome.target.digest(), outcome.before)
    assessed = assess_tables(tables, rule, digests, overlay=isinstance(outcome, Overlay), seed=seed)
    return Evaluated(assessed, rule, judge(rule, assessed.assessment), tables, digests)


def measure(
    outcome: Outcome[Any] | Overlay[Any], policy: Policy, *, reference: Any, second: Any = None, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Score and attack a result, its original and what it is compared with. Judges nothing.

    Args:
        outcome: of ``unlearn``.
        policy: says which scores are asked for.
        reference: as for ``evaluate``.
        second: as for ``evaluate``.
        seed: of the attacks.

    Returns:
        ``model``, ``original``, ``reference`` and ``second`` -> role or attack -> table.

    Raises:
        TargetError: a reference cannot be loaded.
        EvidenceError: a reference is the model that it should be compared with.
    """
    from expunge.workflow.measure import asked_by, attack_tables, default_budget, score_tables

    given = {"model": outcome.target, "original": outcome.original, "reference": reference, "second": second}
    models = {name: _loaded(name, model) for name, model in given.items() if model is not None}
    _check_apart({name: model.digest() for name, model in models.items()})
    budget = default_budget()
    tables: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        oracle = model.oracle(Access.all())
        tables[name] = score_tables(oracle, outcome.selection, asked_by(policy))
        tables[name] |= attack_tables(oracle, outcome.selection, budget, seed=seed)
    return tables


def assess_tables(
    tables: Mapping[str, Mapping[str, Any]], policy: Policy, digests: tuple[str, str], *, overlay: bool, seed: int = 0
) -> Any:
    """What score tables come to. Needs no model.

    Args:
        tables: ``model``, ``original``, ``reference`` and ``second`` -> role or attack -> table.
        policy: judged by.
        digests: of the result and of the original.
        overlay: whether the result is one.
        seed: of the resampling.
    """
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem
    from expunge.workflow.conclude import NO_SECOND, OVERLAY

    reasons = {"second": NO_SECOND, **({"model": OVERLAY} if overlay else {})}
    return assess(PerItem(tables, reasons), policy, digests=digests, seed=seed)


def _loaded(name: str, model: Any) -> Any:
    loaded = adopt(model) if isinstance(model, (str, Path)) else model
    if not hasattr(loaded, "oracle"):
        raise TargetError(f"the {name} is a {type(loaded).__name__}, not a target", next="Give a folder or a target")
    return loaded


def _check_apart(digests: Mapping[str, str]) -> None:
    """Raise where a model would be compared with itself, which would show no difference whatever it is."""
    for name in ("reference", "second"):
        for other, found in digests.items():
            if other != name and digests.get(name) == found:
                raise EvidenceError(
                    f"the {name} is the same model as the {other}",
                    why="their digests are equal",
                    next="Give a model that was trained without the forgotten records, with a seed of its own",
                )


def check_answers(request: Request, outcome: Outcome[Any] | Overlay[Any]) -> None:
    """Raise unless an outcome forgot what a request names: no more, no less.

    Raises:
        ClaimError: it forgot something else.
    """
    asked = set(request.scope.ids) if isinstance(request.scope, Records) else None
    forgot = set(outcome.selection.forget.ids)
    if asked != forgot:
        why = "its scope does not name records" if asked is None else f"{len(asked ^ forgot)} records are in one only"
        raise ClaimError(
            f"the outcome does not answer {request.id}", why=why, next="Certify a request with its own outcome"
        )


def certify(
    request: Request,
    outcome: Outcome[Any] | Overlay[Any],
    evidence: Evaluated | None = None,
    *,
    residue: Sequence[Residue] = (),
) -> Certificate:
    """State what was asked, done, measured and earned. Signs nothing; see ``ledger.certify.write_certificate``.

    Args:
        request: only its public part enters.
        outcome: of ``unlearn``. Its own receipts and replay are evidence already.
        evidence: of ``evaluate``, None where a claim needs no measurement. It may lower the claim, never raise it.
        residue: where the data still lives beside the original model, which is named unless the method works in place.

    Raises:
        ClaimError: the outcome is not of this request, or the evidence not of this outcome.
    """
    check_answers(request, outcome)
    if evidence and evidence.digests != (outcome.target.digest(), outcome.before):
        raise ClaimError(
            "the evidence is not of this outcome",
            why="another model was measured, or this one changed since",
            next="Evaluate the outcome that is to be certified",
        )
    original = () if outcome.original is outcome.target else (Residue("the original model", "it was left as it is"),)
    return issue(
        request,
        outcome,
        evidence=evidence.assessed.measurements if evidence else (),
        policy=evidence.policy if evidence else None,
        assessment=evidence.assessed.assessment if evidence else None,
        residue=(*original, *residue),
        name=getattr(outcome.target, "name", "") if outcome.target.kind == "datastore" else "model",
    )
