"""Run an exact unlearning again: from scratch, without the records, in a fresh process with an empty cache.

The process works in another folder and is given what the run recorded: recipe, seed, threads, where the data is and
which records were kept. Its digest is then compared with that of the result. It needs the data and as long as a
training.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from expunge.core.canonical import read_json
from expunge.core.earning import ROUNDING
from expunge.core.errors import ConfigError, EvidenceError, LedgerError, StoreError
from expunge.core.evidence import Replay
from expunge.core.example import records_digest
from expunge.core.manifest import Manifest
from expunge.data.jsonl import read_examples
from expunge.execution.map import map as apply
from expunge.execution.pool import Pool
from expunge.ledger.certify import FOLDER as CERTIFICATES
from expunge.ledger.verify import verify
from expunge.methods.exact._kept import salted
from expunge.targets.based import require_base
from expunge.targets.replay_record import ReplayRecord
from expunge.workflow.asked import require_unpurged
from expunge.workflow.recipe_file import recipe_of
from expunge.workflow.replay_note import Note, note_path, write_note
from expunge.workflow.run import locked, require_extra
from expunge.workflow.saved import CARD as CARD_OF
from expunge.workflow.saved import Saved
from expunge.workflow.single import CARD, DATA, MODEL, require_result
from expunge.workflow.training_log import Committed, committed
from expunge.workflow.training_record import RECORD, Source, Trained, environment, in_role, only

CACHES = ("EXPUNGE_HOME", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")
WITHIN = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE", "TRANSFORMERS_CACHE")
"""Of these whichever is set: it would stand above the folders that ``CACHES`` name."""
OWN_PLACES = "which part a record is in is the result's own choice: its recipe does not say it"


@dataclass(frozen=True)
class Replayed:
    """What running an unlearning again came to.

    Args:
        run: folder of the result.
        replay: digests of the result and of the run from scratch.
        records: that the run from scratch was given.
        forgotten: that it was not given.
        seconds: that it took.
        claim: what the method claims: ``bitwise`` or ``distribution``.
        environment: in which it was run.
        differing: what of versions, threads and machine is not as it was, in words.
        same_code: whether this very code made the result.
        committed: whether the log was told of data, recipe and seed before the training.
        own_places: whether the recipe left it to the result in which part a record is.
        note: where the signed note is; None where there is none.
    """

    run: Path
    replay: Replay
    records: int
    forgotten: int
    seconds: float
    claim: str
    environment: Mapping[str, str]
    differing: tuple[str, ...]
    same_code: bool
    committed: Committed
    own_places: bool = False
    note: Path | None = None

    @property
    def equal(self) -> bool:
        """Whether both digests are the same."""
        return self.replay.equals == self.replay.after

    @property
    def holds(self) -> bool:
        """Whether it bears out the claim; one that is not bit for bit allows for rounding."""
        near = self.claim != "bitwise" and 0 < self.replay.distance <= ROUNDING
        return (self.equal or near) and not self.committed.refuted

    def line(self) -> str:
        """One line for people."""
        told = f"{self.records} records, without the {self.forgotten} forgotten, in {self.seconds:.1f} s"
        other = f"; {'; '.join(self.differing)}" if self.differing else ""
        if self.committed.refuted and self.equal:
            return f"NOT WHAT WAS COMMITTED TO: {self.committed.why}; a run on {told} gave {self.replay.equals}{other}"
        if self.equal:
            return f"equal: a run from scratch on {told} gave {self.replay.equals}; {self._known}{other}"
        apart = f", largest difference {self.replay.distance:.2g}" if self.replay.distance else ""
        if self.holds:
            near = f"equal up to rounding: a run from scratch on {told} gave {self.replay.equals}{apart}"
            return f"{near}; {self._known}{other}"
        why = other or ("" if self.same_code else "; the code differs")
        if self.claim != "bitwise" and not why:
            why = "; only equality in distribution is claimed"
        return f"DIFFERENT: a run from scratch on {told} gave {self.replay.equals}, not {self.replay.after}{apart}{why}"

    @property
    def _known(self) -> str:
        if not self.committed.known:
            signed = "; so no note is signed" if self.committed.known is False else ""
            return f"not shown by the log: {self.committed.why}{signed}"
        return "the log was told of all data, the recipe and the seed before the training"


def run_of(path: Path) -> Path:
    """The folder of the run that a certificate is of; a folder stands for itself.

    Raises:
        LedgerError: the certificate does not hold, or lies apart from its files.
    """
    if path.is_dir():
        return path
    found = verify(path)
    if not found.signature_valid or found.certificate is None or found.problems or found.changed or found.missing:
        raise LedgerError(f"{path} does not hold", why="; ".join(found.lines()[-3:]), next="See expunge verify")
    if found.root is None or not (found.root / CARD).is_file():
        raise LedgerError(f"{path} lies apart from its run", next="Give the certificate in the folder of its run")
    card, about = read_json(found.root / CARD), found.certificate.target
    if (card["before"], card["after"]) != (about.before, about.after):
        raise LedgerError(f"{path} is not of the result beside it", why="their digests differ")
    return found.root


def prepare_replay(path: Path, data: Source | None = None) -> tuple[Path, Trained, Replay]:
    """Find and check what a run recorded. Runs nothing.

    Args:
        path: certificate, or folder of the run.
        data: where the data is now; None for where the run found it.

    Returns:
        The folder, how its result can be trained from scratch, and the digests to be shown.

    Raises:
        ConfigError: the result claims no exact replay, or nothing says how it was trained.
        StoreError: the folder holds no result.
        TargetError: the base that the training started from is gone, or the model on file changed.
        LedgerError: the certificate does not hold.
    """
    require_extra("expunge audit replay")
    run = run_of(path)
    require_unpurged(run)
    require_result(run)
    changed = [name for name in Manifest.read(run).changed(run) if not name.startswith(f"{CERTIFICATES}/")]
    if changed:
        raise StoreError(f"{run / changed[0]} changed since it was written", why="its digest differs")
    card = read_json(run / CARD)
    _require_exact(run, card)
    if not (run / MODEL / RECORD).is_file():
        raise ConfigError(
            f"nothing says how the model of {run} was trained",
            why=f"there is no {RECORD} in it",
            next="Train with expunge train, which writes it",
        )
    trained = Trained.read(run / MODEL)
    if trained.source is None and data is None:
        raise ConfigError("nothing says where the data is", why="it came from memory", next="Give it with --data")
    if trained.result != card["after"]:
        raise EvidenceError(f"{run / MODEL / RECORD} is of another result", why="its digest differs")
    # What is on file is what anybody would use, whatever cards and records say of it.
    if Saved(run / MODEL).target.digest() != card["after"]:
        raise EvidenceError(f"the model in {run / MODEL} is another than its result states", why="its digest differs")
    if data is not None:
        known = trained.source or data
        told = {name: getattr(data, name) or getattr(known, name) for name in ("label", "id", "part", "subject")}
        trained = replace(trained, source=replace(known, path=str(Path(data.path).resolve()), **told))
    recipe = recipe_of(trained.recipe)
    if not getattr(recipe, "repeats", True):
        raise ConfigError(
            f"there is nothing to compare {run} with",
            why="its training drew noise from a key that nobody kept, so that no second run comes to the same",
            next="That a model was trained without the records is then its own statement, in distribution",
        )
    require_base(getattr(recipe, "base", getattr(getattr(recipe, "trainer", None), "base", None)), str(run))
    return run, trained, Replay(**card["replay"])


def _require_exact(run: Path, card: Mapping[str, Any]) -> None:
    """Raise unless a run claims an exact deletion.

    Raises:
        ConfigError: it claims something else.
    """
    if "proof" in card:
        raise ConfigError(
            f"there is nothing to run again in {run}",
            why="its claim is an epsilon, which rests on numbers and on noise that nobody kept",
            next="expunge verify computes it again from the numbers in the certificate",
        )
    if "replay" not in card or card["claim_type"] != "Exact":
        raise ConfigError(
            f"{run} claims no exact deletion", next="Evidence for other claims is that of expunge evaluate"
        )


def replay(
    path: Path, *, data: Source | None = None, threads: int | None = None, workers: int | None = None
) -> Replayed:
    """Run an unlearning again and compare; where the digests are equal, sign a note that lets ``certify`` state it.

    No note is signed where the log does not show that data, recipe and seed were committed to before the training.

    Args:
        path: certificate, or folder of the run.
        data: where the data is now; None for where the run found it.
        threads: of the process; None for as many as the training had.
        workers: parts that it trains at a time, in processes of its own; None for one after another in itself.

    Raises:
        ConfigError: there is nothing to run again.
        StoreError: the data is missing, or its kept records are not those of the run.
        EvidenceError: recipe or result changed since.
        TargetError: the model on file changed since, or cannot be loaded.
    """
    run, trained, shown = prepare_replay(path, data)
    source = TypeAdapter(Source).dump_python(cast("Source", trained.source), mode="json")
    card = read_json(run / CARD)
    with tempfile.TemporaryDirectory(prefix="expunge-replay-") as scratch:
        count = threads or trained.threads
        item = {"run": str(run.resolve()), "source": source, "scratch": scratch}
        item["pool"] = None if workers is None else {"workers": workers, "threads": count}
        [found] = apply(again, [item], pool=Pool(threads=count, retries=0), names=("the replay",))
        distance = 0.0
        if found["digest"] != card["after"]:
            distance = largest_difference(run / MODEL, Path(scratch) / "result")
    if (data_now := salted(found["data"], _salt_of(run / MODEL))) != shown.data:
        raise EvidenceError(
            f"what {run} keeps is not what its replay states",
            why=f"its records have the salted digest {data_now}, the replay says {shown.data}",
        )
    there, kept = found["environment"], read_examples(run / DATA).of("retain")
    log = committed(trained, found["whole"], card["before"], kept=kept, original=Path(card["original"]))
    if found["own_places"] and not log.refuted:
        log = Committed(False, OWN_PLACES)
    result = Replayed(
        run=run,
        replay=replace(shown, equals=found["digest"], distance=distance),
        records=found["records"],
        forgotten=found["forgotten"],
        seconds=found["seconds"],
        claim=str((card["claim"] or {}).get("equality", "")),
        environment=there,
        differing=tuple(trained.differing(there)),
        same_code=trained.same_code,
        committed=log,
        own_places=found["own_places"],
    )
    with locked(run):
        note_path(run).unlink(missing_ok=True)
        # Where there is no log to look into, whoever certifies looks into his.
        if not result.holds or log.known is False:
            return result
        said = log.told() if log.known else ""
        note = Note(result.replay, trained.recipe_digest, trained.seed, result.records, there, said)
        return replace(result, note=write_note(run, note))


def _salt_of(model: Path) -> str:
    """The salt of a saved target: of the record of its training, where that is kept, else of its card."""
    from expunge.targets.replayable import FOLDER

    if (model / FOLDER).is_dir():
        return ReplayRecord.read(model / FOLDER).written.salt
    return str(read_json(model / CARD_OF).get("salt", ""))


def again(item: Mapping[str, Any]) -> dict[str, Any]:
    """What the fresh process does: train from scratch on what was kept, with caches of its own.

    Args:
        item: ``run``, ``source``, ``scratch``, an empty folder, and ``pool``, settings of one or None.

    Returns:
        Digests of the result, of what it was trained on and of all data; counts, seconds, environment, and whether the
        places of the records are those of the result under audit.

    Raises:
        StoreError: the kept records are not those of the run.
        EvidenceError: the recipe has another digest now: a folder that it starts from changed.
    """
    run, scratch = Path(item["run"]), Path(item["scratch"])
    for name in (*CACHES, *(name for name in WITHIN if name in os.environ)):
        os.environ[name] = str(scratch / name.lower())
    (scratch / "work").mkdir()
    os.chdir(scratch / "work")
    trained, kept = Trained.read(run / MODEL), read_examples(run / DATA)
    retained = kept.of("retain")
    source = TypeAdapter(Source).validate_python(item["source"])
    store = source.open()
    rows = only(store, retained.ids)
    have = records_digest(in_role(rows.get(retained.ids), ""))
    if have != records_digest(in_role(retained, "")):
        raise StoreError(
            "the kept records are not those of the run",
            why=f"records in {source.path} changed",
            next="Give the data as it was with --data",
        )
    recipe = recipe_of(trained.recipe)
    if recipe.digest() != trained.recipe_digest:
        raise EvidenceError(
            "the recipe has another digest now",
            why="what it starts from changed: the base, which is in the digest, or the record of the training",
            next="Restore the base as it was",
        )
    own_places = False
    if hasattr(recipe, "recorded"):
        target = Saved(run / MODEL).target
        same = recipe.recorded(target)
        # Without a record there is no choice: the recipe only says that there is none.
        own_places, recipe = bool(retained) and same is not recipe, same
    started = time.perf_counter()
    pool = Pool(**item["pool"]) if item["pool"] else None
    target = recipe.train(rows, seed=trained.seed, workdir=scratch / "work" / "training", pool=pool)
    seconds = time.perf_counter() - started
    target.save(scratch / "result")
    return {
        "digest": target.digest(),
        "data": rows.digest(),
        "whole": store.digest(),
        "records": len(retained),
        "forgotten": len(kept.of("forget")),
        "own_places": own_places,
        "seconds": seconds,
        "environment": environment(),
    }


def largest_difference(one: Path, other: Path) -> float:
    """Largest difference between the numbers that two saved targets hold; 0 where more than numbers differ.

    Args:
        one: folder of a target.
        other: folder of another of the same form.
    """
    import numpy as np
    from safetensors.numpy import load_file

    found = 0.0
    for path in sorted(p for p in one.rglob("*") if p.is_file() and p.name not in (CARD_OF, RECORD)):
        beside = other / path.relative_to(one)
        if not beside.is_file() or (path.suffix != ".safetensors" and path.read_bytes() != beside.read_bytes()):
            return 0.0
        if path.suffix != ".safetensors":
            continue
        try:
            mine, theirs = load_file(path), load_file(beside)
        except TypeError:
            # A number format that numpy lacks.
            return 0.0
        if mine.keys() != theirs.keys() or any(mine[n].shape != theirs[n].shape for n in mine):
            return 0.0
        apart = (np.abs(mine[n].astype(np.float64) - theirs[n].astype(np.float64)) for n in mine if mine[n].size)
        found = max([found, *(float(value.max()) for value in apart)])
    return found
