"""The public verbs: load_data, adopt, unlearn, evaluate, certify. They are what the command line is thin over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.errors import ClaimError, EvidenceError, TargetError
from expunge.core.guarantee import Empirical, Suppressed, Unproven
from expunge.core.launch import started
from expunge.core.manifest import NAME, Manifest
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Policy, Verdict, judge
from expunge.core.registry import policies
from expunge.core.request import Records, Request, Wish
from expunge.core.selection import Selection
from expunge.core.wishes import answering, meaning, require_answers
from expunge.workflow.answers import check_answers
from expunge.workflow.policy_file import promised
from expunge.workflow.privacy_reading import with_reading
from expunge.workflow.proved import left_over, require_recounted
from expunge.workflow.repeats import keeps_repeats, require_keeps, with_repeats
from expunge.workflow.run import require_extra
from expunge.workflow.saved import CARD, Saved

NO_CHANGE = "nothing changed: the digest after is the digest before"


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Args:
        assessed: cells, measurements and what judging reads.
        policy: that judged.
        verdict: its verdict.
        tables: model -> role or attack -> score table.
        digests: of the model that was measured and of the original.
        asked: names of scores and statistics that were asked for beside what the policy lists.
    """

    assessed: Any
    policy: Policy
    verdict: Verdict
    tables: Mapping[str, Mapping[str, Any]]
    digests: tuple[str, str]
    asked: tuple[str, ...] = ()


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
    prefix = f"{path.resolve().name}/"
    listed = Manifest.read(run).entries if (run / NAME).is_file() else ()
    mine = Manifest(tuple(e for e in listed if e.path.startswith(prefix)))
    changed = [run / name for name in mine.changed(run)]
    if (path / NAME).is_file():
        changed += [path / name for name in Manifest.read(path).changed(path)]
    if changed:
        raise TargetError(
            f"{changed[0]} changed since the run wrote it",
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
    given: int | None = None,
) -> Outcome[Any] | Overlay[Any]:
    """Answer a request on a target.

    Args:
        target: stays as it is.
        request: whose scope is resolved against the data, and whose wish the method is set to answer.
        method: a method, or the name of one.
        data: a store with what the target learned, and with never-seen records of the role validation or holdout.
        seed: of the run.
        workdir: where checkpoints go; a killed run continues from them.
        sample: role -> most records of it to hold, for data that does not fit into memory.
        given: how many of the forgotten records the method is given; all, if None. Evidence reads all of them.

    Returns:
        An outcome or an overlay.

    Raises:
        ScopeError: the scope does not resolve.
        UnknownName: no method has that name.
        ClaimError: the target lacks what the method needs, or the method cannot answer the wish or needs every record.
        ConfigError: so many records cannot be given.
        TargetError: the loss is not finite.
    """
    from expunge.scoping.resolve import resolve

    more: dict[str, Any] = {"sample": sample, "seed": seed, "repeats": keeps_repeats(method)}
    selection = _unfinished(target, request, data) or resolve(request.scope, data, **more)
    asked: dict[str, Any] = {"wish": request.wish, "given": given}
    return unlearn_selection(target, selection, method, seed=seed, workdir=workdir, **asked)


def _unfinished(target: Any, request: Request, data: Any) -> Selection | None:
    """What a killed purge had begun to forget, where this is the same request: its rows may be gone already."""
    begun = target.unfinished() if getattr(target, "kind", "") == "datastore" else ()
    if not begun or not isinstance(request.scope, Records) or set(begun.ids) != set(request.scope.ids):
        return None
    return Selection(begun, data.get(i for i in data.ids() if i not in begun.by_id))


def unlearn_selection(
    target: Any,
    selection: Selection,
    method: Any,
    *,
    seed: int = 0,
    workdir: Path | None = None,
    wish: Wish = "as_retrained",
    given: int | None = None,
) -> Outcome[Any] | Overlay[Any]:
    """``unlearn`` for those who have the examples sorted already."""
    from expunge.core.registry import methods

    chosen = answering(methods.get(method) if isinstance(method, str) else method, wish)
    require_answers(selection, wish)
    require_keeps(chosen, selection)
    read = selection if given is None else some_given(chosen, selection, given, seed=seed)
    outcome = chosen.unlearn(target, read, seed=seed, workdir=workdir)
    if outcome.target.digest() == outcome.before:
        outcome = replace(outcome, notes={**outcome.notes, "no_change": NO_CHANGE})
    outcome = with_repeats(outcome, selection)
    if given is not None:
        told = f"{given} of {len(selection.forget)} records were given to the method; evidence reads all"
        outcome = replace(outcome, selection=selection, notes={**outcome.notes, "given": told})
    return replace(outcome, wish=wish)


def check(method: Any, target: Any, selection: Selection, *, seed: int, whole: bool) -> None:
    """Raise what a method can tell of a run before it; one that can tell nothing is taken at its word.

    Args:
        method: set to answer the wish.
        target: stays as it is.
        selection: what the method will read.
        seed: of the run.
        whole: whether the target may be run for it.

    Raises:
        ExpungeError: the run would fail.
    """
    if hasattr(method, "check"):
        method.check(target, selection, seed=seed, whole=whole)


def some_given(method: Any, selection: Selection, count: int, *, seed: int) -> Selection:
    """What a method reads that is given some of the forgotten records.

    Raises:
        ConfigError: so many cannot be given.
        ClaimError: the method's claim would be about those alone.
    """
    from expunge.scoping.few import few

    if not isinstance(method.claim, (Empirical, Suppressed, Unproven)):
        raise ClaimError(
            f"{method.name} must be given every record",
            why="what it claims would hold for those alone that it was given",
            next="Give all of them, or choose a gradient method",
        )
    return few(selection, count, seed=seed)


def find_policy(name: str | Policy) -> Policy:
    """A policy by its public name.

    Raises:
        UnknownName: there is none.
    """
    return name if isinstance(name, Policy) else policies.get(name.replace("-", "_"))


def policy_for(wish: Wish, name: str | Policy | None = None) -> Policy:
    """The policy that was named, or the one for a wish.

    Raises:
        UnknownName: there is none.
        EvidenceError: it judges another wish.
    """
    policy = find_policy(name or meaning(wish).policy)
    if policy.wish != wish:
        raise EvidenceError(
            f"the policy {policy.name} judges the wish {policy.wish}",
            why=f"{wish} was wished for",
            next=f"Use {meaning(wish).policy}",
        )
    return policy


def evaluate(
    outcome: Outcome[Any] | Overlay[Any],
    *,
    policy: str | Policy | None = None,
    reference: Any,
    second: Any = None,
    scorers: Mapping[str, Any] | None = None,
    shadows: Any = None,
    seed: int = 0,
) -> Evaluated:
    """Measure a result against models that never knew, and judge it.

    In the processes of a launch each comes to the same; scoring and generation are shared among them.

    Args:
        outcome: of ``unlearn``.
        policy: a policy or its name; by default the one that was fixed before the run, else that for what was wished.
        reference: a target, or the folder of one, trained without the forgotten records; for the wish ``alternative``
            with the alternative answers in their place.
        second: another such model with another seed: the ceiling. Without it a criterion that reads the distance
            between two references is not measured, and nothing can be earned.
        scorers: column, ``toxicity`` or ``judged`` -> who fills it, a function of items that gives each one number; its
            scores are then measured, whether the policy lists them or not.
        shadows: a ``workflow.shadow_plan.Shadows``: the models that LiRA, U-LiRA and RMIA attack by, trained where they
            are not there yet. The policy may list these attacks; LiRA and U-LiRA are measured in any case.
        seed: of attacks, resampling and shadow models.

    Raises:
        UnknownName: no policy has that name, or no scorer fills a column of that name.
        TargetError: a reference cannot be loaded.
        EvidenceError: a reference is the model that it should be compared with, or the policy judges another wish; or a
            scorer failed.
        ConfigError: a scorer cannot be called, or such shadow models cannot be trained.
    """
    from expunge.workflow.measure import asked_beside

    claim = outcome.claim
    fixed = promised(claim.policy, claim.digest) if policy is None and isinstance(claim, Empirical) else policy
    rule = policy_for(outcome.wish, fixed)
    more = {"scorers": scorers, "shadows": shadows}
    tables = measure(outcome, rule, reference=reference, second=second, **more, seed=seed)
    digests, asked = (outcome.target.digest(), outcome.before), asked_beside(**more)
    assessed = assess_tables(tables, rule, digests, overlay=isinstance(outcome, Overlay), asked=asked, seed=seed)
    return Evaluated(assessed, rule, judge(rule, assessed.assessment), tables, digests, asked)


def measure(
    outcome: Outcome[Any] | Overlay[Any],
    policy: Policy,
    *,
    reference: Any,
    second: Any = None,
    scorers: Mapping[str, Any] | None = None,
    shadows: Any = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Score and attack a result, its original and what it is compared with. Judges nothing.

    Args:
        outcome: of ``unlearn``.
        policy: says which scores and attacks are asked for, and at which budget.
        reference: as for ``evaluate``.
        second: as for ``evaluate``.
        scorers: as for ``evaluate``.
        shadows: as for ``evaluate``.
        seed: of the attacks.

    Returns:
        ``model``, ``original``, ``reference`` and ``second`` -> role or attack -> table; and each part that shadow
        models play -> role -> a table a model.

    Raises:
        TargetError: a reference cannot be loaded.
        EvidenceError: a reference is the model that it should be compared with, or an attack is not the one
            that the policy pins; or a scorer failed.
        UnknownName: no scorer fills a column of that name.
        ConfigError: a scorer cannot be called, or such shadow models cannot be trained.
    """
    from expunge.workflow.measure import asked_beside, asked_by, attack_tables, score_tables
    from expunge.workflow.shadow_plan import check_shadows, shadow_tables

    given = {"model": outcome.target, "original": outcome.original, "reference": reference, "second": second}
    models = {name: _loaded(name, model) for name, model in given.items() if model is not None}
    check_apart({name: model.digest() for name, model in models.items()})
    asked = (*asked_by(policy), *asked_beside(scorers, shadows))
    budget, first = _pinned_attacks(policy, asked), models["original"].oracle(Access.all())
    tables: dict[str, dict[str, Any]] = {}
    if shadows is not None:
        check_shadows(shadows, outcome, models["reference"], seed=seed)
        tables |= shadow_tables(shadows, outcome, seed=seed)
    with shared():
        for name, model in models.items():
            oracle = model.oracle(Access.all())
            tables[name] = score_tables(oracle, outcome.selection, asked, scorers=scorers or {})
            tables[name] |= attack_tables(oracle, outcome.selection, budget, seed=seed, original=first)
    return tables


def shared() -> Any:
    """A context in which the processes of a launch share scoring and generation out."""
    if started() == 1:
        return nullcontext()
    from expunge.engine.together import together

    return together()


def _pinned_attacks(policy: Policy, asked: Sequence[str]) -> dict[str, Any]:
    """The attacks that a policy asks for, at its budgets.

    Raises:
        EvidenceError: one has other settings than the policy pins.
    """
    from expunge.workflow.measure import budget_for

    quick, full = budget_for(asked), budget_for(asked, "full")
    budget = {**quick, **{c.attack: full[c.attack] for c in policy.criteria if c.budget == "full" and c.attack in full}}
    for criterion in policy.criteria:
        found = budget[criterion.attack].digest() if criterion.attack in budget else ""
        if criterion.settings and found != criterion.settings:
            raise EvidenceError(
                f"{criterion.attack} is not the attack that the policy {policy.name} asks for",
                why=f"the policy pins {criterion.settings}, this version has {found or 'no attack of that name'}",
                next="Use the version of expunge that the policy was written for",
            )
    return budget


def assess_tables(
    tables: Mapping[str, Mapping[str, Any]],
    policy: Policy,
    digests: tuple[str, str],
    *,
    overlay: bool,
    asked: Sequence[str] = (),
    seed: int = 0,
) -> Any:
    """What score tables come to. Needs no model.

    Args:
        tables: ``model``, ``original``, ``reference`` and ``second`` -> role or attack -> table.
        policy: judged by.
        digests: of the result and of the original.
        overlay: whether the result is one.
        asked: names of scores and statistics that have cells of their own.
        seed: of the resampling.
    """
    from expunge.evaluation.assess import assess
    from expunge.evaluation.per_item import PerItem
    from expunge.workflow.conclude import NO_SECOND, NO_SHADOWS, OVERLAY

    reasons = {"second": NO_SECOND, **NO_SHADOWS, **({"model": OVERLAY} if overlay else {})}
    return assess(PerItem(tables, reasons), policy, asked=asked, digests=digests, seed=seed)


def _loaded(name: str, model: Any) -> Any:
    loaded = adopt(model) if isinstance(model, (str, Path)) else model
    if not hasattr(loaded, "oracle"):
        raise TargetError(f"the {name} is a {type(loaded).__name__}, not a target", next="Give a folder or a target")
    return loaded


def check_apart(digests: Mapping[str, str]) -> None:
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
    request: Request,
    outcome: Outcome[Any] | Overlay[Any],
    evidence: Evaluated | None = None,
    *,
    residue: Sequence[Residue] = (),
) -> Certificate:
    """State what was asked, done, measured and earned. Signs nothing; see ``ledger.certify.write_certificate``.

    Args:
        request: only its public part enters.
        outcome: of ``unlearn``. Its receipts and replay are evidence, but not that another run gave the same.
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
    require_recounted(outcome)
    original = () if outcome.original is outcome.target else (Residue("the original model", "it was left as it is"),)
    certificate = issue(
        request,
        outcome,
        evidence=evidence.assessed.measurements if evidence else (),
        policy=evidence.policy if evidence else None,
        assessment=evidence.assessed.assessment if evidence else None,
        residue=(*original, *left_over(outcome), *residue),
        name=getattr(outcome.target, "name", "") if outcome.target.kind == "datastore" else "model",
    )
    return with_reading(certificate)
