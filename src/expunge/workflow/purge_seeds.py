"""Purge of a run of several seeds: each has its own request, and all hold the same records, so all are erased first."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from expunge.core.manifest import DONE, NAME, PUBLIC, Manifest
from expunge.retrieval.byte_scan import scan
from expunge.workflow.asked import REQUEST, vault
from expunge.workflow.purge import (
    Plan,
    begin,
    conclude,
    end,
    erase,
    find,
    finished,
    plan_of,
    plan_purge,
    remove,
    require_settled,
)
from expunge.workflow.purge_journal import Journal, journal_name, journal_of
from expunge.workflow.purge_scope import SEED, WORK, files_of
from expunge.workflow.purged import Purge
from expunge.workflow.run import locked


@dataclass(frozen=True)
class SeedsPlan:
    """What a purge of several seeds would do.

    Args:
        run: folder above the seeds.
        seeds: one plan a seed.
        goes: files beside the seeds that would be deleted.
    """

    run: Path
    seeds: tuple[Plan, ...]
    goes: tuple[str, ...]


@dataclass(frozen=True)
class SeedsPurge:
    """What it came to.

    Args:
        run: folder above the seeds.
        seeds: folder -> its purge.
        removed: files beside the seeds that were deleted now.
    """

    run: Path
    seeds: dict[Path, Purge]
    removed: tuple[str, ...]

    @property
    def status(self) -> str:
        """CLEAN if every seed is, RESIDUE if something is left in any, else BLIND."""
        found = {purge.status for purge in self.seeds.values()}
        return "CLEAN" if found == {"CLEAN"} else "RESIDUE" if "RESIDUE" in found else "BLIND"


def seeds_of(target: str) -> list[Path]:
    """Folders of the seeds of a run, none where it is not one of seeds."""
    run = Path(target)
    if not run.is_dir() or (run / REQUEST).is_file():
        return []
    return sorted(path.parent for path in run.glob(f"seed-*/{REQUEST}") if SEED.fullmatch(path.parent.name))


def plan_seeds(run: Path, *, final: bool = False) -> SeedsPlan:
    """Say what a purge would do. Changes nothing.

    Args:
        run: folder above the seeds.
        final: as for ``purge``.

    Raises:
        StoreError: the request of a seed is not in this vault, or its records are gone.
        ConfigError: ``EXPUNGE_HOME`` lies inside a seed.
    """
    journals: dict[Path, Journal] = {}
    plans: list[Plan] = []
    for seed in seeds_of(str(run)):
        request = find(str(seed))[1]
        if finished(seed, request):
            plans.append(plan_purge(str(seed)))
            continue
        journals[seed] = journal_of(seed, request, final=final)
        plans.append(plan_of(seed, request, journals[seed]))
    return SeedsPlan(run, tuple(plans), _pooled(run, journals) if journals else ())


def purge_seeds(run: Path, *, final: bool = False) -> SeedsPurge:
    """Purge all seeds of a run. Killed at any point, the same call continues.

    Args:
        run: folder above the seeds.
        final: as for ``purge``.

    Raises:
        StoreError: the request of a seed is not in this vault, its records are gone and it is not final, a file cannot
            be deleted, or what is found changes meanwhile.
        ConfigError: another process works in the run, or ``EXPUNGE_HOME`` lies inside a seed.
        LedgerError: a certificate or the log cannot be read.
    """
    seeds = seeds_of(str(run))
    with ExitStack() as held:
        for folder in (run, *seeds):
            held.enter_context(locked(folder))
        requests = {seed: find(str(seed))[1] for seed in seeds}
        before = {seed: Purge.read(seed) for seed in seeds if finished(seed, requests[seed])}
        for seed in before:
            vault().destroy(journal_name(requests[seed]))
        journals = {s: journal_of(s, requests[s], final=final) for s in seeds if s not in before}
        found: dict[Path, Purge] = {}
        removed: tuple[str, ...] = ()
        if journals:
            for seed, journal in journals.items():
                begin(seed, requests[seed], journal)
            removed = _pooled(run, journals)
            remove(run, removed)
            for seed, journal in journals.items():
                erase(seed, requests[seed], journal)
            found = {seed: conclude(seed, requests[seed], journal) for seed, journal in journals.items()}
            Manifest.of(run, skipping=[f".{seed.name}.lock" for seed in seeds]).write(run)
            for seed, journal in journals.items():
                require_settled(seed, journal, found[seed])
            for seed, purge in found.items():
                end(requests[seed], purge, final=final)
    return SeedsPurge(run, {seed: (before | found)[seed] for seed in seeds}, removed)


def _pooled(run: Path, journals: dict[Path, Journal]) -> tuple[str, ...]:
    """Files beside the seeds that go: of those that the bench wrote all that are not public, or tell of the subject.

    What somebody else has put there is looked at like the rest, and named if it tells.
    """
    listed = {e.path for e in Manifest.read(run).entries} if (run / NAME).is_file() else set[str]()
    ours = listed | {DONE, *PUBLIC}
    names = [name for name in files_of(run) if SEED.fullmatch(name.partition("/")[0]) is None]
    known = [name for name in names if name in ours or name.partition("/")[0] == WORK]
    told = _telling(run, journals, known)
    return tuple(name for name in known if name != NAME and (name not in PUBLIC or name in told))


def _telling(run: Path, journals: dict[Path, Journal], names: Collection[str]) -> set[str]:
    markers = {marker for seed, journal in journals.items() for marker in journal.sought(seed).all}
    return {name for name in names if scan([run / name], markers).hits}
