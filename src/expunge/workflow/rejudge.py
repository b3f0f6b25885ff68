"""What a finished run found, under another policy: from its score tables alone, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import EvidenceError, StoreError
from expunge.core.policy import Policy, Verdict
from expunge.workflow.asked import require_unpurged
from expunge.workflow.recompute import KEPT, judging_policy, told_again


@dataclass(frozen=True)
class Rejudged:
    """What a policy says of a run.

    Args:
        policy: that judges.
        verdicts: method -> verdict.
        cells: method -> what its row of the table shows.
    """

    policy: Policy
    verdicts: Mapping[str, Verdict]
    cells: Mapping[str, Any]

    @property
    def earned(self) -> bool:
        """Whether there is a verdict, and every method's claim is earned."""
        return bool(self.verdicts) and all(verdict.status == "earned" for verdict in self.verdicts.values())


def rejudge(run: Path, policy: Policy) -> Rejudged:
    """Judge a run by another policy than it was judged by. What the run did not measure is inconclusive.

    A policy chosen after the result was seen proves less than one that was fixed before it: no certificate states this.

    Args:
        run: folder of a demo, a bench or a single request that was evaluated.
        policy: of the same wish.

    Raises:
        StoreError: the folder holds no findings.
        ConfigError: it was purged.
        EvidenceError: the score tables are missing or damaged, or the policy judges another wish.
    """
    from expunge.workflow.conclude import Conclusion
    from expunge.workflow.road import REFERENCE, SECOND
    from expunge.workflow.single_findings import concluded

    require_unpurged(run)
    if not (run / KEPT).is_file():
        raise StoreError(f"{run} holds no findings", why=f"there is no {KEPT}", next="Run expunge evaluate first")
    try:
        kept = read_json(run / KEPT)
        if kept["kind"] == "suite":
            raise EvidenceError(f"{run} holds a suite", why="it is judged by the margins of its own")
        judged_by = judging_policy(kept)
        wish = judged_by.wish
        if policy.wish != wish:
            raise EvidenceError(f"the policy {policy.name} judges the wish {policy.wish}", why=f"{run} answers {wish}")
        told, tables = told_again(run, kept)
        otherwise = _run_otherwise(judged_by, policy)
        tables = {key: {k: v for k, v in found.items() if k not in otherwise} for key, found in tables.items()}
        told = replace(told, road=replace(told.road, policy=policy))
        single = kept.get("single")
        conclusion = concluded(told, tables, single) if single else Conclusion(told, tables)
    except (KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{run / KEPT} is malformed", why=f"{type(error).__name__}: {error}") from error
    judged = [key for key in told.outcomes if key not in (REFERENCE, SECOND)]
    return Rejudged(
        policy,
        {key: conclusion.verdicts[key] for key in judged},
        {key: conclusion.assessed[key].cells for key in judged},
    )


def _run_otherwise(judged_by: Policy, policy: Policy) -> set[str]:
    """Attacks that a run made at another budget or with other settings than a policy asks for: unmeasured."""
    made = {c.attack: c for c in judged_by.criteria}

    def budget(attack: str) -> str:
        return made[attack].budget if attack in made else "quick"

    def settings(attack: str) -> str:
        return made[attack].settings if attack in made else ""

    pinned = {c.attack for c in policy.criteria if c.settings not in ("", settings(c.attack))}
    return pinned | {c.attack for c in policy.criteria if c.budget != budget(c.attack)}
