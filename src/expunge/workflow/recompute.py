"""What a run found, again from its score tables: no model is loaded, and the bytes must be the same.

``conclusion.json`` holds what the findings rest on beside the score tables: digests, claims, costs, settings. It holds
no record and no number of one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from expunge.core import guarantee
from expunge.core.canonical import digest, plain, read_json
from expunge.core.errors import EvidenceError, StoreError
from expunge.core.evidence import Replay
from expunge.core.files import write_bytes, write_text
from expunge.core.outcome import Cost, Outcome, Overlay
from expunge.core.policy import Policy
from expunge.core.selection import Selection
from expunge.ledger.keys import PublicKey
from expunge.workflow.asked import require_unpurged
from expunge.workflow.policy_file import earlier, registered, require_signed, stated, verify_bytes
from expunge.workflow.run import locked
from expunge.workflow.stages import versions

KEPT = "conclusion.json"
FINDINGS = ("evidence.json", "report.html", "summary.json", "table.txt")


@dataclass(frozen=True)
class Recomputed:
    """What came out.

    Args:
        files: name -> ``same``, ``restored`` (it was not there) or ``differs`` (left as it was).
    """

    files: dict[str, str]

    @property
    def same(self) -> bool:
        """Whether no file differs."""
        return "differs" not in self.files.values()


@dataclass(frozen=True)
class _Named:
    """In place of a target: the digest that it had."""

    known: str

    def digest(self) -> str:
        """As it was."""
        return self.known


@dataclass(frozen=True)
class _Road:
    name: str
    title: str
    policy: Policy
    labels: Mapping[str, str]
    threads: int
    facts: Mapping[str, Any]
    corpus: Any


@dataclass(frozen=True)
class Told:
    """In place of a walk: what a conclusion reads of one.

    Args:
        road: name, title, policy, labels, threads, facts and corpus.
        out: folder.
        outcomes: key -> outcome.
        costs: key -> what making the model took, as far as that is known.
    """

    road: Any
    out: Path
    outcomes: Mapping[str, Any]
    costs: Mapping[str, Cost]


def keep_walk(
    out: Path,
    walk: Any,
    scores: Mapping[str, Sequence[Path]],
    corpus: Path,
    *,
    ridge: Mapping[str, Any],
    below: str = "",
    single: Mapping[str, Any] | None = None,
) -> None:
    """Keep what the conclusion of a walk rests on.

    Args:
        out: folder of the findings.
        walk: walked.
        scores: key of a model -> folders of its score tables, one a seed, below ``out``.
        corpus: file of the records, below ``out``.
        ridge: the line below the table, empty for none.
        below: text under the table.
        single: what is kept of the evaluation of one request, None for a walk.
    """
    road = walk.road
    body = {
        "kind": "single" if single else "road",
        "policy": _kept_policy(road.policy),
        "road": {name: getattr(road, name) for name in ("name", "title", "labels", "threads", "facts")},
        "corpus": corpus.relative_to(out).as_posix(),
        "costs": {key: cost.told() for key, cost in walk.costs.items()},
        "versions": versions(),
        "models": {key: _kept_outcome(outcome) for key, outcome in walk.outcomes.items()},
        "scores": [
            [key, [folder.relative_to(out).as_posix() for folder in folders]] for key, folders in scores.items()
        ],
        "ridge": dict(sorted(ridge.items())),
        "below": below,
        **({"single": single} if single else {}),
    }
    # Its keys stay in their order, which is that of rows and columns.
    write_text(out / KEPT, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _kept_policy(policy: Policy) -> dict[str, Any]:
    """Name and digest; of one that came from a file, all that it states."""
    kept = {"name": policy.name, "digest": digest(policy)}
    return {**kept, "stated": plain(policy)} if registered(policy.name) is None else kept


def _kept_outcome(outcome: Any) -> dict[str, Any]:
    overlay = isinstance(outcome, Overlay)
    replay = None if overlay else outcome.replay
    return {
        "overlay": overlay,
        "before": outcome.before,
        "after": outcome.target.digest(),
        "method": outcome.method,
        "recipe": outcome.recipe,
        "seed": outcome.seed,
        "claim_type": type(outcome.claim).__name__,
        "claim": TypeAdapter(type(outcome.claim)).dump_python(outcome.claim, mode="json"),
        "replay": None if replay is None else TypeAdapter(Replay).dump_python(replay, mode="json"),
    }


def _outcome(kept: Mapping[str, Any], nothing: Any) -> Any:
    shared: dict[str, Any] = {name: kept[name] for name in ("before", "method", "recipe", "seed")}
    target, original = _Named(kept["after"]), _Named(kept["before"])
    if kept["overlay"]:
        return Overlay(target=target, base=original, selection=nothing, **shared)
    replay = None if kept["replay"] is None else TypeAdapter(Replay).validate_python(kept["replay"])
    claim = getattr(guarantee, kept["claim_type"])(**kept["claim"])
    return Outcome(target=target, original=original, claim=claim, selection=nothing, replay=replay, **shared)


def recompute(run: Path, *, write: bool = True) -> Recomputed:
    """Compute again what a folder's score tables come to, and compare it with what lies there.

    Args:
        run: folder of a demo, a bench or a single request that was evaluated.
        write: put files that are missing back; a file that differs is never touched.

    Raises:
        StoreError: the folder holds no findings.
        ConfigError: it was purged.
        EvidenceError: the score tables are missing or damaged, or the policy is no longer what it was.
        MissingExtra: the tables are of an earlier version, and a score of their texts needs a package.
    """
    require_unpurged(run)
    if not (run / KEPT).is_file():
        raise StoreError(f"{run} holds no findings", why=f"there is no {KEPT}", next="Run expunge evaluate first")
    with locked(run):
        return compare(run, write=write)


def compare(run: Path, *, write: bool) -> Recomputed:
    """``recompute`` for those who hold the folder already."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            kept = read_json(run / KEPT)
            again = {"road": _road_again, "single": _single_again, "suite": _suite_again}
            again[kept["kind"]](run, kept, Path(scratch))
        except (KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(f"{run / KEPT} is malformed", why=f"{type(error).__name__}: {error}") from error
        files = {path.name: _compared(run, path, write) for path in sorted(Path(scratch).iterdir())}
    return Recomputed(files)


def _compared(run: Path, fresh: Path, write: bool) -> str:
    place = run / fresh.name
    if not place.is_file():
        if write:
            write_bytes(place, fresh.read_bytes())
        return "restored"
    return "same" if place.read_bytes() == fresh.read_bytes() else "differs"


def judging_policy(kept: Mapping[str, Any]) -> Policy:
    """The policy that judged a run, in the version that did.

    One that came from a file is kept whole; a name that ships means what ships, in this version or an earlier one,
    known by its digest. How something is measured may have changed since; where that matters to the run, computing it
    again gives other bytes, and nothing is signed.

    Args:
        kept: what ``conclusion.json`` holds.

    Raises:
        EvidenceError: the policy asks for something else now.
    """
    name = kept["policy"]["name"]
    ours = registered(name)
    if ours is None and "stated" in kept["policy"]:
        ours = stated(kept["policy"]["stated"], KEPT)
    if ours is None:
        raise EvidenceError(
            f"no policy is known by the name {name}", next="Use the version of expunge that made the run"
        )
    for known in (ours, *earlier(name)):
        if digest(known) == kept["policy"]["digest"]:
            return known
    raise EvidenceError(
        f"the policy {name} is not the one that judged the run",
        why="its digest differs",
        next="Use the version of expunge that made the run",
    )


def certifying_policy(kept: Mapping[str, Any], key: PublicKey | None = None) -> Policy:
    """The policy that judged a run, where a certificate may state it: it ships, or its file that a trusted key signed
    was kept with the run.

    Args:
        kept: what ``conclusion.json`` holds.
        key: the only key to accept for a file; without it, those that are trusted here.

    Raises:
        EvidenceError: it came in no file, or in that of another policy.
        LedgerError: its file is malformed, or no trusted key signed it.
    """
    policy = judging_policy(kept)
    if registered(policy.name) is not None:
        return policy
    sealed = kept["single"].get("sealed", "") if "single" in kept else ""
    if not sealed:
        raise EvidenceError(
            f"the policy {policy.name} that judged is in no signed file",
            why="what nobody signed could be changed after the result was seen",
            next="Sign it with expunge policy sign, and give the file to expunge evaluate --policy",
        )
    found = verify_bytes(str(sealed).encode(), Path(KEPT), key=key)
    require_signed(found)
    if found.digest != digest(policy):
        raise EvidenceError(f"the policy {policy.name} that judged is not the one that was signed", why=KEPT)
    return policy


def _road_again(run: Path, kept: Mapping[str, Any], scratch: Path) -> None:
    from expunge.workflow.conclude import Conclusion

    _findings_again(kept, Conclusion(*told_again(run, kept)), scratch)


def _single_again(run: Path, kept: Mapping[str, Any], scratch: Path) -> None:
    from expunge.workflow.single_findings import concluded, write_found

    single = kept["single"]
    conclusion = concluded(*told_again(run, kept), single)
    _findings_again(kept, conclusion, scratch)
    write_found(scratch, single, conclusion)


def _suite_again(run: Path, kept: Mapping[str, Any], scratch: Path) -> None:
    from expunge.workflow.suite_run import write_suite

    write_suite(run, kept, scratch)


def told_again(run: Path, kept: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a conclusion is drawn from: a walk or what stands for it, and the tables."""
    from expunge.data.jsonl import read_examples
    from expunge.evaluation.over_seeds import over_seeds
    from expunge.evaluation.score_table import load_tables

    # What was forgotten is in the score tables; an outcome only has to have something in its place.
    corpus = read_examples(run / kept["corpus"])
    nothing = Selection(forget=corpus.of("forget"))
    outcomes = {key: _outcome(model, nothing) for key, model in kept["models"].items()}
    road = _Road(policy=judging_policy(kept), corpus=corpus, **kept["road"])
    found = {key: [load_tables(run / folder) for folder in folders] for key, folders in kept["scores"]}
    return Told(road, run, outcomes, _costs(kept)), over_seeds(found)


def _costs(kept: Mapping[str, Any]) -> dict[str, Cost]:
    """What making each model took; runs of earlier versions kept its seconds alone."""
    if "costs" in kept:
        return {key: Cost.read(told) for key, told in kept["costs"].items()}
    return {key: Cost(float(seconds)) for key, seconds in kept["seconds"].items()}


def tables_in(folders: Sequence[Path]) -> dict[str, Any]:
    """The score tables in folders: role -> table, or a list of one a folder where there are several."""
    from expunge.evaluation.score_table import load_tables

    found = [load_tables(folder) for folder in folders]
    return found[0] if len(found) == 1 else {role: [table[role] for table in found] for role in found[0]}


def _findings_again(kept: Mapping[str, Any], conclusion: Any, scratch: Path) -> None:
    from expunge.workflow.conclude import write_findings

    evidence = conclusion.evidence()
    evidence["run"]["versions"] = kept["versions"]
    if kept["ridge"]:
        evidence["ridge"] = kept["ridge"]
    write_findings(scratch, evidence, below=kept["below"])
