"""The public verbs: load_data, adopt, unlearn, evaluate, certify. They are what the command line is thin over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.errors import EvidenceError, TargetError
from expunge.core.manifest import NAME, Manifest
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Policy, Verdict, judge
from expunge.core.registry import policies
from expunge.core.request import Request
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
    """

    assessed: Any
    policy: Policy
    verdict: Verdict


def load_data(path: str | Path, *, id: str = "record_id", columns: Mapping[str, str] | None = None) -> Any:
    """Open a JSON or JSON Lines file in the TOFU schema as a store.

    Args:
        path: of the file.
        id: column that holds the record id.
        columns: field of ``Example`` -> column of the file, where they differ.

    Returns:
        A store.

    Raises:
        StoreError: the file is missing or malformed.
    """
    from expunge.data.jsonl import JsonlStore

    return JsonlStore(Path(path), columns={**(columns or {}), "record_id": id})


def adopt(source: str | Path) -> Any:
    """Take a causal language model as a target: a folder, or a name on a hub.

    Args:
        source: a folder that a run wrote is checked against its card.

    Raises:
        TargetError: it cannot be loaded, or changed since it was saved.
    """
    require_extra("adopt")
    path = Path(source)
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
    target: Any, request: Request, method: Any, data: Any, *, seed: int = 0, workdir: Path | None = None
) -> Outcome[Any] | Overlay[Any]:
    """Answer a request on a target.

    Args:
        target: stays as it is.
        request: whose scope is resolved against the data.
        method: a method, or the name of one.
        data: a store with what the target learned, and with never-seen records of the role validation or holdout.
        seed: of the run.
        workdir: where checkpoints go; a killed run continues from them.

    Returns:
        An outcome or an overlay.

    Raises:
        ScopeError: the scope does not resolve.
        UnknownName: no method has that name.
        ClaimError: the target lacks what the method needs.
        TargetError: the loss is not finite.
    """
    from expunge.scoping.resolve import resolve

    return unlearn_selection(target, resolve(request.scope, data), method, seed=seed, workdir=workdir)


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
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem
    from expunge.workflow.measure import attack_tables, default_budget, score_tables

    rule = find_policy(policy)
    given = {"model": outcome.target, "original": outcome.original, "reference": reference, "second": second}
    models = {name: _loaded(name, model) for name, model in given.items() if model is not None}
    _check_apart({name: model.digest() for name, model in models.items()})
    budget = default_budget()
    tables: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        oracle = model.oracle(Access.all())
        tables[name] = score_tables(oracle, outcome.selection)
        tables[name] |= attack_tables(oracle, outcome.selection, budget, seed=seed)
    reasons = {"second": "no second reference was given, so that the distance between two of them is unknown"}
    if isinstance(outcome, Overlay):
        reasons["model"] = "an overlay grants TEXT only: the weights behind it are the original's"
    digests = (outcome.target.digest(), outcome.before)
    assessed = assess(PerItem(tables, reasons), rule, digests=digests, seed=seed)
    return Evaluated(assessed, rule, judge(rule, assessed.assessment))


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


def certify(
    request: Request, outcome: Outcome[Any] | Overlay[Any], evidence: Evaluated, *, residue: Sequence[Residue] = ()
) -> Certificate:
    """State what was asked, done, measured and earned. Signs nothing; see ``ledger.certify.write_certificate``.

    Args:
        request: only its public part enters.
        outcome: of ``unlearn``.
        evidence: of ``evaluate``. It may lower the outcome's claim, never raise it.
        residue: where the data still lives beside the original model, which is always named.
    """
    return issue(
        request,
        outcome,
        evidence=evidence.assessed.measurements,
        policy=evidence.policy,
        assessment=evidence.assessed.assessment,
        residue=(Residue("the original model", "it was left as it is"), *residue),
    )
