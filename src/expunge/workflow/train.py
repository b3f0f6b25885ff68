"""Training that can be undone exactly: committed to in the log before it starts, and kept with all that undoing needs.

A folder of the result holds the target with its parts, checkpoints and order logs, ``training.json``, which says how
to run the training again, and a manifest that names whatever of it holds personal data.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, digest_file, read_json
from expunge.core.errors import ConfigError, ExpungeError, StoreError
from expunge.core.files import PART, replace_folder, write_json
from expunge.core.manifest import NAME, Manifest
from expunge.core.protocols import Store
from expunge.core.provenance import Convex, Private, Statistics
from expunge.data.vault import Vault
from expunge.execution.pool import Pool
from expunge.ledger.home import home
from expunge.ledger.leaf import Kind
from expunge.targets.shard_manifest import ROWS
from expunge.workflow.logged import note
from expunge.workflow.recipe_file import read_recipe, recipe_of, told
from expunge.workflow.run import locked, require_extra
from expunge.workflow.stages import code_digest
from expunge.workflow.training_log import config_digest, salt_name, salts_of
from expunge.workflow.training_record import RECORD, Source, Trained, environment, named_by_place

WORK, BEGUN = ".work", "commitment.json"
FOLDERS = ("base", "features")
BY_PLACE = "the rows have no ids and are named after their places, as %s is: name the column of ids with --id"
FITTED = "which values occur in column %s is read off the data, and is told even when no row with one is left"

log = logging.getLogger(__name__)


def train(
    recipe: Any,
    data: Any,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    workdir: Path | None = None,
    pool: Pool | None = None,
) -> Any:
    """Train a target that can be unlearned exactly.

    With ``out`` the log is told the salted digest of the data and the recipe before the first step, and the digest of
    the result after the last; a killed call continues, and one that is finished is not done again.

    Args:
        recipe: such as ``SISA(...)``; or the name of a recipe or of a learner, or a file that states one.
        data: a store, a ``Table``, or a file of records; of a table with labels ``training_record.Source``.
        seed: of whatever is drawn.
        out: folder for the target; None keeps nothing and logs nothing.
        workdir: where checkpoints on the way go; by default below ``out``.
        pool: of worker processes, for recipes that train parts; their number changes no byte.

    Returns:
        The target; where a folder was given, as loaded from it.

    Raises:
        ConfigError: the recipe cannot be run, or the folder holds something else.
        StoreError: the data is missing, malformed, or has no record.
        ExpungeError: what the recipe raises. Without a checkpoint only the commitment in the log is then left; with
            one the same call continues.
    """
    chosen = read_recipe(str(recipe)) if isinstance(recipe, (str, Path)) else recipe
    source = Source(str(data)) if isinstance(data, (str, Path)) else data if isinstance(data, Source) else None
    store: Any = source.open() if source else data
    chosen = _checked(chosen, store, seed)
    _require_public(chosen, source, store)
    if out is None:
        return chosen.train(store, seed=seed, workdir=workdir, pool=pool)
    place, at = Path(out), source.pinned(store) if source else None
    require_extra("expunge train")
    chosen = _placed(chosen)
    check_place(place)
    if named_by_place(store):
        log.warning(BY_PLACE, store.ids()[0])
    with locked(place):
        _sweep_beside(place)
        if not (place / NAME).is_file():
            _make(place, chosen, store, at, seed=seed, workdir=workdir, pool=pool)
        return _finished(place, chosen, store, seed)


def _checked(recipe: Any, store: Store, seed: int) -> Any:
    """The recipe as it will be run; what needs no training to be found wrong is refused.

    Raises:
        StoreError: there is no record.
        ExpungeError: what the recipe finds wrong.
    """
    if not store.ids():
        raise StoreError("there is nothing to train on", why="the data holds no record")
    if hasattr(recipe, "check"):
        recipe.check(store, seed=seed)
    # What follows from how many records there are is settled now, so that it stays when some are forgotten.
    return recipe.pinned(store, seed=seed) if hasattr(recipe, "pinned") else recipe


def check_place(out: Path) -> None:
    """Raise unless a folder is new, empty, or holds a training, finished or to be continued.

    Raises:
        ConfigError: it holds something else.
    """
    if out.is_dir() and any(out.iterdir()) and not ((out / WORK).is_dir() or (out / RECORD).is_file()):
        raise ConfigError(f"{out} holds other files", next="Choose an empty folder, or a name that is not taken")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file", next="Choose a folder")


def _require_public(recipe: Any, source: Source | None, store: Store) -> None:
    """Raise where columns were read off the records, and the recipe promises that one record hardly shows.

    Raises:
        ConfigError: names the columns.
    """
    found = source.pinned(store).fitted if source else ()
    if found and getattr(recipe, "hides_records", False):
        raise ConfigError(
            f"the values of {', '.join(found)} were read off the data",
            why="one row with a value of its own would change the shape of the model, which no noise hides",
            next="Name every value that there may be with --categories FILE",
        )


def would_train(recipe: Any, source: Source, out: Path, *, seed: int) -> int:
    """Check what ``train`` checks before it commits. Warns of what of the data a deletion will not take with it.

    Args:
        recipe: such as ``SISA(...)``.
        source: of the data.
        out: folder for the target.
        seed: of whatever is drawn.

    Returns:
        Number of records.

    Raises:
        ExpungeError: what is wrong with recipe, data or folder.
    """
    store = source.open()
    _require_public(_checked(recipe, store, seed), source, store)
    check_place(out)
    for column in source.pinned(store).fitted:
        log.warning(FITTED, column)
    if named_by_place(store):
        log.warning(BY_PLACE, store.ids()[0])
    return len(store.ids())


def _sweep_beside(out: Path) -> None:
    """Remove what a killed call left half-written beside a folder, which is held against others."""
    for pattern in (f".{out.name}{PART}*", f"..{out.name}{PART}*"):
        for stray in out.resolve().parent.glob(pattern):
            shutil.rmtree(stray, ignore_errors=True)


def _make(
    out: Path,
    recipe: Any,
    store: Store,
    source: Source | None,
    *,
    seed: int,
    workdir: Path | None,
    pool: Pool | None,
) -> None:
    """Commit, train, and put the result into its place in one step."""
    began, salts = _begin(out, recipe, store, seed)
    try:
        salted = _salted(recipe, salts["target"])
        target = salted.train(store, seed=seed, workdir=workdir or out / WORK, pool=pool)
        result = target.digest()
        record = Trained(
            recipe=told(salted),
            recipe_digest=recipe.digest(),
            seed=seed,
            records=len(store.ids()),
            data=began,
            source=source,
            environment=_environment(pool),
            result=result,
            began=recipe.digest(),
        )
        if isinstance(target.provenance, (Statistics, Private, Convex)):
            record = record.naming(example for shard in store.shards() for example in shard)
        with replace_folder(out) as fresh:
            target.save(fresh)
            record.write(fresh)
            Manifest.of(fresh).write(fresh)
    except ExpungeError:
        if not has_checkpoints(workdir or out / WORK):
            shutil.rmtree(out / WORK, ignore_errors=True)
            with suppress(StoreError):
                Vault(home()).destroy(salt_name(began))
        raise


def has_checkpoints(work: Path) -> bool:
    """Whether a working folder holds tensors that were trained in it: an error may pass, and they are dear.

    Rows that were laid out do not count, nor what is only a second name of another model's checkpoint.
    """
    found = (path for path in work.rglob("*.safetensors") if ROWS not in path.relative_to(work).parts)
    return any(path.stat().st_nlink == 1 for path in found)


def _settled(told: Any) -> Any:
    """A recipe as JSON whose folders, of a base or of features, are absolute: another process works elsewhere."""
    if isinstance(told, dict):
        return {name: _settled(value) if name not in FOLDERS else _absolute(value) for name, value in told.items()}
    return [_settled(value) for value in told] if isinstance(told, list) else told


def _placed(recipe: Any) -> Any:
    """A recipe with absolute paths of the folders that it starts from; its digest is over what is in them.

    Raises:
        ConfigError: nobody could run it again from what a folder records.
    """
    given = told(recipe)
    return recipe if (settled := _settled(given)) == given else recipe_of(settled)


def _absolute(base: Any) -> Any:
    return str(Path(base).resolve()) if isinstance(base, str) and base and Path(base).is_dir() else base


def _environment(pool: Pool | None) -> dict[str, str]:
    """Of the processes that train: workers have threads of their own."""
    return environment() if pool is None else {**environment(), "threads": str(pool.threads)}


def _salted(recipe: Any, salt: str) -> Any:
    """A recipe whose target's digest tells nobody who is in it, where the recipe has a salt that is not set."""
    names = {field.name for field in fields(recipe)}
    return replace(recipe, salt=salt) if "salt" in names and not recipe.salt else recipe


def _begin(out: Path, recipe: Any, store: Store, seed: int) -> tuple[str, dict[str, str]]:
    """Commit to data, recipe and seed; or find what a killed call had committed to.

    Returns:
        The salted digest of the data, and the salts.

    Raises:
        ConfigError: something else was begun in the folder.
        LedgerError: the log cannot be used.
    """
    path = out / WORK / BEGUN
    if path.is_file():
        found = read_json(path)
        salts = salts_of(found["data"])
        if found != _commitment(recipe, store, seed, salts["data"]):
            raise ConfigError(
                f"another training was begun in {out}",
                why="recipe, data or seed differ",
                next="Continue that one, or remove the folder",
            )
    else:
        salts = {name: secrets.token_hex(32) for name in ("data", "target")}
        found = _commitment(recipe, store, seed, salts["data"])
        Vault(home()).put(salt_name(found["data"]), json.dumps(salts).encode())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    note(Kind.TRAIN, digests={**found, "code": code_digest()}, counters={"records": len(store.ids())})
    return found["data"], salts


def _commitment(recipe: Any, store: Store, seed: int, salt: str) -> dict[str, str]:
    return {"data": digest([salt, store.digest()]), "config": config_digest(recipe.digest(), seed, salt)}


def _finished(out: Path, recipe: Any, store: Store, seed: int) -> Any:
    """The target of a folder, if it is the one that was asked for; its digest is in the log then.

    Raises:
        ConfigError: it is another one.
        TargetError: a file of it changed.
    """
    from expunge.workflow.verbs import adopt

    record = Trained.read(out)
    said = _commitment(recipe, store, seed, salts_of(record.data)["data"])
    if record.recipe_digest != recipe.digest() or record.seed != seed or record.data != said["data"]:
        raise ConfigError(
            f"{out} holds another training",
            why="recipe, data or seed differ",
            next="Choose another folder, or remove this one",
        )
    target = adopt(out)
    note(Kind.TRAINED, digests={**said, "after": record.result, "manifest": digest_file(out / NAME)})
    return target
