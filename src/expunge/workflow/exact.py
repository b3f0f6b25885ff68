"""One request on a target that was trained so that it can forget exactly: by ids, or by a file that has them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.errors import ClaimError, ConfigError, ExpungeError, ScopeError, StoreError
from expunge.core.example import Examples
from expunge.core.guarantee import Unproven
from expunge.core.launch import started
from expunge.core.outcome import Outcome, Overlay
from expunge.core.protocols import Store
from expunge.core.provenance import Convex, Guarded, Private, Replayable, Sharded, Statistics
from expunge.core.provenance_check import require_provenance
from expunge.core.registry import methods
from expunge.core.request import Records
from expunge.core.selection import Selection
from expunge.data.rows import stem_of
from expunge.data.table import Table
from expunge.execution.pool import Pool
from expunge.methods.exact._kept import salt_of
from expunge.workflow.asked import REQUEST, kept_request
from expunge.workflow.privacy_pinned import Pinned
from expunge.workflow.recipe_file import recipe_of, told
from expunge.workflow.run import locked, require_extra
from expunge.workflow.single import WORK, accepted, asked_of, check_free, keep_result, remove_unfinished, tuned
from expunge.workflow.train import has_checkpoints
from expunge.workflow.training_record import RECORD, Source, Trained, environment, has_record, in_role, learned, only
from expunge.workflow.verbs import adopt, check, unlearn_selection

NEEDS = (Statistics, Sharded, Replayable, Private, Convex, Guarded)
BY_PARTS = ("statistics", "sisa", "replay")
"""Methods that know what a target was trained on by its digests, one for each such provenance."""
LISTS = (".txt", ".ids")
BY_RECORD = ("places", "probabilities")
"""Settings of recipes that are told by record id."""


@dataclass(frozen=True)
class Asked:
    """What is to be forgotten by which target.

    Args:
        model: folder of the target.
        ids: of the records; or
        forget: a text file with an id a line, or a file of records whose ids count.
        data: what the target was trained on; None for where its training found it.
    """

    model: str
    ids: tuple[str, ...] = ()
    forget: Path | None = None
    data: Source | None = None


def is_exact(method: str) -> bool:
    """Whether a method rebuilds what a record touched, from what the training recorded.

    Raises:
        UnknownName: no method has that name.
    """
    found = methods.get(method)
    return found.needs in NEEDS or hasattr(found, "with_recipe")


def prepare_exact(
    asked: Asked,
    method: str,
    out: Path,
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
    pool: Pool | None = None,
    whole: bool = False,
) -> tuple[Selection, Any, Any]:
    """Read and check whatever can be checked before anything changes. Writes nothing.

    Args:
        asked: what is to be forgotten.
        method: name of a method.
        out: folder for the result.
        settings: of the method, where they differ from its defaults.
        seed: of the run.
        pool: where parts are trained; None for this process.
        whole: check also what the target must be run for.

    Returns:
        The selection, the method and the target.

    Raises:
        ExpungeError: whatever is wrong with target, data, ids, method, settings or folder.
    """
    require_extra("expunge unlearn")
    if started() > 1:
        raise ConfigError("an exact deletion runs in one process", why=f"{started()} were started together")
    chosen = tuned(method, settings)
    if not is_exact(method) or (chosen.needs not in NEEDS and not has_record(asked.model)):
        raise ConfigError(
            f"{method} reads its records from files by role",
            why="ids are looked up in the data for methods that rebuild what a record touched",
            next="Give --method statistics, sisa or replay; or --forget and --retain, without --ids and --data",
        )
    if pool is not None:
        chosen = _on(chosen, pool)
    _require_apart(out, asked.model)
    _require_finished(asked.model)
    check_free(out)
    target = adopt(asked.model)
    require_provenance(chosen.name, chosen.needs, target)
    source = source_of(asked)
    store = source.open()
    selection = selection_of(target, store, ids_of(asked, source))
    if has_record(asked.model):
        Trained.read(Path(asked.model)).require_same((*selection.forget, *selection.retain))
    if chosen.needs not in NEEDS:
        # That the records are those of the training is known to the method that would rebuild its parts.
        rebuilding = (methods.get(name) for name in BY_PARTS)
        same = next((method for method in rebuilding if isinstance(target.provenance, method.needs)), None)
        if same is not None:
            check(same, target, selection, seed=seed, whole=whole)
        recipe = recipe_of(Trained.read(Path(asked.model)).recipe)
        chosen = chosen.with_recipe(recipe, store if isinstance(store, Table) else None)
    check(chosen, target, selection, seed=seed, whole=whole)
    return selection, chosen, target


def _require_finished(model: str) -> None:
    """Raise where a training or a deletion was begun in a folder and nothing has come of it yet.

    Raises:
        StoreError: it was.
    """
    if (Path(model) / WORK).is_dir() and not has_record(model):
        raise StoreError(
            f"{model} holds no model", why="a run in it was stopped", next="Run the command that began it to its end"
        )


def _require_apart(out: Path, model: str) -> None:
    """Raise where a result would be written into the model that is to stay as it is.

    Raises:
        ConfigError: it would.
    """
    if out.resolve().is_relative_to(Path(model).resolve()):
        raise ConfigError(f"{out} is within the model", why="which stays as it is", next="Choose another --out")


def _on(method: Any, pool: Pool) -> Any:
    """A method on workers.

    Raises:
        ConfigError: it has no parts to train.
    """
    if not hasattr(method, "with_pool"):
        raise ConfigError(
            f"{method.name} trains no parts",
            why="workers train the parts of a model",
            next="Leave --workers and --ray out",
        )
    return method.with_pool(pool)


def source_of(asked: Asked) -> Source:
    """Where the data is: as given, read as the training read it; or where the training found it.

    Raises:
        ConfigError: it is not given and nothing says where it is.
    """
    known = Trained.read(Path(asked.model)).source if has_record(asked.model) else None
    if asked.data is None:
        if known is None:
            raise ConfigError(f"nothing says what {asked.model} was trained on", next="Give the data with --data")
        return known
    if known is None:
        return asked.data
    given = asked.data
    told = {name: getattr(given, name) or getattr(known, name) for name in ("label", "id", "part", "subject")}
    return replace(known, path=given.path, **told)


def ids_of(asked: Asked, source: Source) -> tuple[str, ...]:
    """The ids that are to be forgotten, each once.

    Raises:
        ScopeError: there is none.
        StoreError: the file cannot be read.
    """
    found: Iterable[str] = asked.ids
    if asked.forget is not None:
        found = _listed(asked.forget, source)
    ids = tuple(dict.fromkeys(found))
    if not ids:
        raise ScopeError("the forget set is empty", why="no id is given", next="Name what to forget")
    return ids


def _listed(path: Path, source: Source) -> Sequence[str]:
    from expunge.data.opening import read_records
    from expunge.data.table_files import read_columns

    if path.name.lower().endswith(LISTS):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot read {path}", why=str(error)) from error
        return [line.strip() for line in lines if line.strip()]
    if Source(str(path), label=source.label).is_table:
        column = source.id or "ids"
        columns = read_columns(path).columns
        if column not in columns:
            raise StoreError(
                f"{path} has no column {column!r}",
                why="rows are told by their ids",
                next="Give a text file with an id a line, or name the column with --id",
            )
        return [str(value) for value in columns[column]]
    records = read_records(path)
    if any(e.record_id == f"{stem_of(path)}-{at:05d}" for at, e in enumerate(records)):
        raise StoreError(f"{path} has records without an id", next="Give a text file with an id a line")
    return records.ids


def selection_of(target: Any, store: Store, ids: Sequence[str]) -> Selection:
    """What is forgotten, and what the target keeps: the other records that it holds, in the order of the data.

    Raises:
        ScopeError: the target does not hold one of the records.
        StoreError: it holds records that the data lacks.
    """
    held, known = learned(target, store), set(store.ids())
    there = set(held)
    absent = [name for name in ids if name not in known]
    gone = [name for name in ids if name in known and name not in there]
    for names, why in ((absent, "not in the data"), (gone, "not in this model: forgotten before, or never learned")):
        if names:
            raise ScopeError(
                f"{len(names)} of {len(ids)} records are {why}",
                why=f"for example {', '.join(names[:3])}",
                next=f"Check the ids; the data has, for example, {', '.join(store.ids()[:2])}",
            )
    left = set(ids)
    kept = store.get(name for name in held if name not in left)
    return Selection(forget=store.get(ids), retain=kept, repeats=True)


def unlearn_exact(
    asked: Asked,
    method: str,
    out: Path,
    *,
    settings: Mapping[str, Any],
    basis: str = "",
    privacy: Pinned | None = None,
    seed: int = 0,
    pool: Pool | None = None,
) -> Outcome[Any] | Overlay[Any]:
    """Forget records exactly, and keep the result with all that running it again needs.

    Args:
        asked: what is to be forgotten.
        method: name of a method.
        out: folder; the same command continues in it.
        settings: of the method, where they differ from its defaults.
        basis: ground of the request.
        privacy: that must accept the epsilon of a method that certifies one; None for no such policy.
        seed: of the run.
        pool: where parts are trained; None for this process. It changes no byte.

    Raises:
        ExpungeError: whatever is wrong with target, data, ids, method or settings; ``out`` then holds no result, and
            what was trained for one stays where there is any: the same call continues.
    """
    selection, chosen, target = prepare_exact(asked, method, out, settings, seed=seed, pool=pool)
    if privacy:
        privacy.require(chosen.claim)
    with locked(out):
        check_free(out)
        _require_same(out, selection.forget.ids)
        (out / WORK).mkdir(exist_ok=True)
        try:
            # A method reads records as they were trained on, whose roles may say something else.
            roles = in_role(selection.forget, "forget"), in_role(selection.retain, "retain")
            seen = Selection(*roles, repeats=selection.repeats)
            asked_of(out, seen, basis, target, chosen, seed, policy=privacy.file.policy if privacy else None)
            outcome = unlearn_selection(target, selection, chosen, seed=seed, workdir=out / WORK)
            if isinstance(outcome, Overlay) or not (outcome.own or isinstance(outcome.claim, Unproven)):
                raise ClaimError(f"{chosen.name} left no record of what it was run on")
            notes = {**outcome.notes, **_told_columns(source_of(asked), selection.retain.ids), **_told_salt(outcome)}
            outcome = accepted(replace(outcome, selection=seen, notes=notes), privacy, out)
            keep_result(out, asked.model, seen, outcome, settings, trained=_record(asked, outcome, chosen))
        except ExpungeError:
            if not has_checkpoints(out / WORK):
                remove_unfinished(out)
            raise
        shutil.rmtree(out / WORK, ignore_errors=True)
    return outcome


def _require_same(out: Path, ids: Sequence[str]) -> None:
    """Raise where another request was begun in a folder: its checkpoints are on the way to another result.

    Raises:
        ConfigError: it was.
    """
    if not (out / REQUEST).is_file():
        return
    scope = kept_request(out).scope
    if not isinstance(scope, Records) or set(scope.ids) != set(ids):
        raise ConfigError(
            f"another request was begun in {out}",
            why="it asks for other records",
            next="Run that one to its end, choose another --out, or remove the folder",
        )


def _told_columns(source: Source, kept: Sequence[str]) -> dict[str, Any]:
    """What a certificate must say of columns whose values were read off the data.

    Args:
        source: of the data.
        kept: ids of the records that are left.
    """
    if not source.fitted:
        return {}
    names = ", ".join(source.fitted)
    told = f"which values occur in {names} was read off the data; that some row had each is not forgotten"
    if alone := [name for name in _outlived(source, kept) if name in source.fitted]:
        told += f". In {', '.join(alone)} no kept row has some value, which stays among the names in {RECORD}"
    return {"columns": told}


def _outlived(source: Source, kept: Sequence[str]) -> list[str]:
    """Columns of which some value occurs in none of the kept rows."""
    rows = only(source.open(), kept)
    if not isinstance(rows, Table):
        return []
    at = {name: place for place, name in enumerate(rows.encoding.columns)}
    had: Any = rows.X.any(axis=0)
    each = rows.encoding.categories.items()
    found = [name for name, values in each if not all(had[at[f"{name}={value}"]] for value in values)]
    labels = 0 if rows.y is None else len(set(rows.y.ravel().tolist()))
    return [*found, source.label] if labels < len(rows.encoding.classes) else found


def _told_salt(outcome: Outcome[Any]) -> dict[str, Any]:
    """What a certificate must say of a salt that outlives the deletion; a replayable training draws another."""
    if salt_of(outcome.original) != salt_of(outcome.target):
        return {}
    return {"salt": "digests have the same salt before and after: who has both models can test a guess at what is gone"}


def _record(asked: Asked, outcome: Outcome[Any], method: Any) -> Trained | None:
    """How the result can be trained from scratch; None where nothing says how the target was trained."""
    if not has_record(asked.model):
        return None
    before = Trained.read(Path(asked.model))
    recipe = naming(recipe_of(before.recipe), outcome.selection.retain)
    fresh = before.naming(outcome.selection.retain) if before.members else before
    if method.needs in NEEDS:
        fresh = replace(fresh, unlearned_in=(*before.unlearned_in, environment()))
    else:
        fresh = replace(fresh, seed=outcome.seed, environment=environment(), unlearned_in=())
    return replace(
        fresh,
        recipe=told(recipe),
        recipe_digest=recipe.digest(),
        records=len(outcome.selection.retain),
        source=replace(source_of(asked), path=str(Path(source_of(asked).path).resolve())),
        result=outcome.target.digest(),
    )


def naming(recipe: Any, kept: Examples) -> Any:
    """A recipe that names no record and nobody who is gone; it says the same of all that is kept.

    Args:
        recipe: such as ``SISA(...)``.
        kept: what it is run on from now on.
    """
    if hasattr(recipe, "naming"):
        return recipe.naming(kept)
    found = {name: getattr(recipe, name, None) for name in BY_RECORD}
    left = {name: {i: value[i] for i in value if i in kept.by_id} for name, value in found.items() if value is not None}
    return replace(recipe, **left) if left else recipe
