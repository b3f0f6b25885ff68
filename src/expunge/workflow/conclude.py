"""From a walked road to what a reader gets: evidence, table, report, certificates, manifest, summary."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.certificate import INDEPENDENT, Certificate, Residue, issue
from expunge.core.earning import earn
from expunge.core.evidence import Evidence, Measurement
from expunge.core.files import write_json, write_text
from expunge.core.guarantee import Empirical, Guarantee
from expunge.core.manifest import DONE, NAME, PUBLIC, Manifest
from expunge.core.measure import SHADOWS
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Verdict, judge
from expunge.core.registry import attacks
from expunge.core.wishes import AS_RETRAINED, meaning
from expunge.evaluation.assess import Assessed, assess
from expunge.evaluation.attacking import OUTCOME, UNSEEN, attack_statistic
from expunge.evaluation.cells import cells_for
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.report import render_report
from expunge.evaluation.report_cells import YARDSTICKS
from expunge.evaluation.report_data import item_scores, recovery, strips
from expunge.evaluation.subgroup_statistics import Splittable, split_role, told_statistics
from expunge.evaluation.subgroups import told_subgroups
from expunge.evaluation.table import format_table
from expunge.ledger.certify import certificate_path
from expunge.ledger.home import home
from expunge.ledger.keys import Signer, ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.asked import VAULT
from expunge.workflow.logged import certified
from expunge.workflow.measure import SCORES, asked_by, scores_of
from expunge.workflow.recompute import keep_walk
from expunge.workflow.road import ORIGINAL, REFERENCE, SECOND, Walk
from expunge.workflow.stages import versions
from expunge.workflow.superseded import place_certificate

TABLES = {ORIGINAL: "original", REFERENCE: "reference", SECOND: "second"}
PLAYERS = {part: part for part in ("reference", "second", "original")}
KNOWN_AS = {"ks": "forget_quality"}
"""Columns that are not called as the statistic that they show."""
SHOWN_AS = {name: key for key, name in KNOWN_AS.items()}
DRAWS = 2000
OVERLAY = "an overlay grants TEXT only: the weights behind it are the original's"
NO_SHADOWS = dict.fromkeys(SHADOWS, "no shadow models were trained for this evaluation")
NO_SECOND = "no second reference was given, so that the distance between two of them is unknown"
ELSEWHERE = "it was made elsewhere, and how long that took is not known"
NO_RATIO = "the reference was made elsewhere, and how long that took is not known"
NO_TIME = "no time was counted for the retraining"
ALONE = ("guarantee", "seconds", "ratio_to_retraining")
HEADS = {
    "guarantee": ("guarantee", "What does the evidence allow to be claimed?", "higher", "Exact"),
    "seconds": ("seconds", "How long did it take to make this model?", "lower", "what the others are read against"),
    "ratio_to_retraining": ("of retraining", "How long is that beside training without the records?", "lower", "1"),
}
SUMMARY = {
    "ks": "ks",
    "forget_quality_p": "log10_p",
    "model_utility": "model_utility",
    "min_k_auc": "min_k_auc",
    "relearn_gap": "relearn_gap",
    "seconds": "seconds",
}


class Conclusion:
    """What the measurements of a walked road come to.

    Args:
        walk: walked.
        tables: key -> role or attack -> table.
        given: key -> digest of a reference that was made elsewhere.
        seed: of the resampling.
        asked: names of scores and statistics that have columns of their own.
    """

    def __init__(
        self,
        walk: Walk,
        tables: Mapping[str, Mapping[str, Any]],
        *,
        given: Mapping[str, str] | None = None,
        seed: int = 0,
        asked: Sequence[str] = (),
    ) -> None:
        self.walk, self.road = walk, walk.road
        self.given, self.seed, self.asked = dict(given or {}), seed, tuple(asked)
        reasons = {key: OVERLAY for key, outcome in walk.outcomes.items() if isinstance(outcome, Overlay)}
        if SECOND not in tables:
            reasons[TABLES[SECOND]] = NO_SECOND
        reasons |= NO_SHADOWS
        self.items = items = PerItem({TABLES.get(key, key): roles for key, roles in tables.items()}, reasons)
        self.assessed: dict[str, Assessed] = {
            key: assess(
                items,
                self.road.policy,
                asked=self.asked,
                judging=TABLES.get(key, key),
                digests=(self.digest(key), self.digest(ORIGINAL)),
                seed=seed,
            )
            for key in tables
            if key not in SHADOWS
        }
        self.verdicts: dict[str, Verdict] = {
            key: judge(self.road.policy, a.assessment) for key, a in self.assessed.items()
        }

    def digest(self, key: str) -> str:
        """Digest of a row's model."""
        if key in self.given:
            return self.given[key]
        outcomes = self.walk.outcomes
        return outcomes[key].target.digest() if key in outcomes else next(iter(outcomes.values())).before

    def guarantee(self, key: str) -> Guarantee:
        """What a row earns. What no method of the run made, and the second reference, is judged as if one had."""
        outcome = self.walk.outcomes.get(key)
        if outcome is None or key == SECOND:
            return earn(Empirical(self.road.policy.name), verdict=self.verdicts[key])
        return earn(
            outcome.claim,
            verdict=self.verdicts[key],
            evidence=self.evidence_of(key),
            is_overlay=isinstance(outcome, Overlay),
            before=outcome.before,
            after=outcome.target.digest(),
        )

    def evidence_of(self, key: str) -> tuple[Evidence, ...]:
        """Measurements, and the replay where the method was exact."""
        outcome = self.walk.outcomes.get(key)
        measured: tuple[Measurement, ...] = self.assessed[key].measurements
        if isinstance(outcome, Outcome) and outcome.replay:
            return (*measured, outcome.replay)
        return measured

    def row(self, key: str) -> dict[str, Any]:
        """One row of the evidence file."""
        assessed, verdict = self.assessed[key], self.verdicts[key]
        cells = {**assessed.cells, **self.costs(key)}
        margins = {
            c.attack: {"margin": c.margin} | ({} if c.side == "both" else {"side": c.side})
            for c in self.road.policy.criteria
        }
        differences = {c.attack: c.difference for c in assessed.assessment.comparisons}
        findings = [
            {"criterion": f.criterion, "status": f.status, "reason": f.reason}
            | (
                {"difference": _interval(differences[f.criterion]), **margins[f.criterion]}
                if f.criterion in differences
                else {}
            )
            for f in verdict.findings
        ]
        return {
            "key": key,
            "label": self.road.labels[key],
            "guarantee": type(self.guarantee(key)).__name__,
            "status": verdict.status,
            "reason": verdict.reason,
            "cells": cells,
            "findings": findings,
            **({"cost": self.walk.costs[key].told()} if key in self.walk.costs else {}),
            **self.by_subgroup(key),
            **self.drawn(key),
        }

    def costs(self, key: str) -> dict[str, dict[str, Any]]:
        """The cells that are about time. What was made elsewhere has the reason in their place."""
        took, retraining = (self.walk.costs.get(name) for name in (key, REFERENCE))
        seconds = None if took is None else took.seconds
        whole = None if retraining is None else retraining.seconds
        ratio = None if seconds is None or not whole else seconds / whole
        told = {
            "seconds": (seconds, ELSEWHERE),
            "ratio_to_retraining": (ratio, NO_TIME if whole == 0 else NO_RATIO),
        }
        return {
            name: {
                "value": value,
                "low": None,
                "high": None,
                "n": 0 if value is None else 1,
                "groups": 0,
                "reason": why if value is None else "",
            }
            for name, (value, why) in told.items()
        }

    def by_subgroup(self, key: str) -> dict[str, Any]:
        """Every score and splittable statistic of a row by subgroup, alone and less the control's.

        Left out are what no group has of its own: utility, the harmonic mean of what other roles keep, and log10 p,
        which says of KS D how surprising it is. Nothing is told where nothing groups records.
        """
        name, reference = TABLES.get(key, key), TABLES[REFERENCE]
        settings = {"level": self.road.policy.level, "draws": DRAWS, "seed": self.seed}
        against = "" if name == reference else reference
        found = told_subgroups(self.items, name, self._wanted(name), against=against, **settings)
        found += told_statistics(self._cast(name), self._statistics(name))
        return {"subgroups": found} if found else {}

    def _cast(self, name: str) -> Cast:
        """Who plays whom where one model is judged; the reference is read against the second."""
        swapped = {"reference": "second", "second": "reference"} if name == TABLES[REFERENCE] else {}
        return Cast(self.items, {**PLAYERS, **swapped, "model": name}, self.road.policy.level, DRAWS, self.seed)

    def _statistics(self, name: str) -> list[Splittable]:
        """The statistics of a row, those that judge it and the attacks that are read against never-seen records."""
        shown = cells_for(self.road.policy.wish, self.asked)
        names = [KNOWN_AS.get(key, key) for key in (*shown, *asked_by(self.road.policy))]
        found: dict[str, Splittable] = {}
        for asked in (*names, *attacks.names()):
            with suppress(Unmeasured):
                statistic, control = attack_statistic(asked)
                if not (role := split_role(statistic)) or statistic.name.startswith("mean_"):
                    continue
                less = control if name != TABLES[REFERENCE] and statistic.target is None else None
                label = OUTCOME if asked in attacks.names() else SHOWN_AS.get(statistic.name, statistic.name)
                found.setdefault(f"{label} {role}", Splittable(statistic, role, label, less))
        return list(found.values())

    def _wanted(self, name: str) -> list[tuple[str, str]]:
        """(role, score) of what was scored, and the outcomes of the attacks that are read as a mean over records."""
        asked = (*asked_by(self.road.policy), *self.asked)
        pairs = [(role, score) for role in SCORES for score in scores_of(role, asked)]
        for attack in attacks.names():
            with suppress(Unmeasured):
                columns = self.items.of(name, attack)[0]
                pairs += [(attack, OUTCOME)] if OUTCOME in columns and UNSEEN not in columns else []
        return pairs

    def drawn(self, key: str) -> dict[str, Any]:
        """What the report draws of a row beyond its cells: numbers of items and of steps, no id and no text."""
        name = TABLES.get(key, key)
        cast = Cast(self.items, {"model": name, **PLAYERS}, self.road.policy.level, DRAWS, self.seed)
        parts = {
            "distributions": {
                role: [round(score, 2) for score in scores] for role, scores in self.assessed[key].distributions.items()
            },
            "recovery": recovery(cast),
            "strips": [] if key in YARDSTICKS else strips(self.items, name),
        }
        return {part: found for part, found in parts.items() if found}

    def evidence(self) -> dict[str, Any]:
        """The evidence file."""
        road = self.road
        people = {
            role: {"people": len(set(found.subjects)), "items": len(found)}
            for role in ("forget", "retain", "validation", "holdout", "general")
            if (found := road.corpus.of(role))
        }
        columns = [{"key": "guarantee", **_head("guarantee")}]
        shown = cells_for(road.policy.wish, self.asked)
        columns += [cell.head(key) for key, cell in shown.items() if not cell.beside]
        columns += [{"key": k, **_head(k)} for k in ALONE[1:]]
        return {
            "run": {
                "name": road.name,
                "title": road.title,
                "policy": road.policy.name,
                "threads": road.threads or None,
                "versions": versions(),
                "corpus": people,
                "bounds": self.bounds(),
                "criteria": [
                    {"criterion": c.attack, "question": c.question, "margin": c.margin, "side": c.side}
                    for c in road.policy.criteria
                ],
                "measured_by": {
                    "policy": digest(road.policy),
                    "reference": self.digest(REFERENCE),
                    "level": road.policy.level,
                },
                "seconds": {road.labels[key]: cost.seconds for key, cost in self.walk.costs.items()},
                **_wished(road.policy.wish),
                **road.facts,
            },
            "columns": columns,
            "beside": [cell.head(key) for key, cell in shown.items() if cell.beside],
            "rows": [self.row(key) for key in self.assessed],
            "items": item_scores(self.items, {key: TABLES.get(key, key) for key in self.assessed}),
            "utility_components": self.assessed[REFERENCE].components.plain(),
        }

    def bounds(self) -> dict[str, float]:
        """The corner of the first chart in which the policy's margins hold."""
        if SECOND not in self.assessed:
            return {}
        original = self.assessed[ORIGINAL].cells["model_utility"]["value"]
        ceiling = self.assessed[SECOND].cells["ks"]["value"]
        margin = next((c.margin for c in self.road.policy.criteria if c.attack == "forget_quality"), None)
        if original is None or ceiling is None or margin is None:
            return {}
        return {"ks": ceiling + margin, "model_utility": self.road.policy.utility_floor * original}

    def certificates(self, residue: tuple[Residue, ...]) -> dict[str, Certificate]:
        """One certificate a method, the retrained model's included."""
        found: dict[str, Certificate] = {}
        told = {
            "attacks": {name: attack.settings() for name, attack in self.road.budget.items()},
            "retrained is": self.digest(REFERENCE),
            "second_reference is": self.digest(SECOND),
        }
        for key, outcome in self.walk.outcomes.items():
            if key == SECOND:
                continue
            a = self.assessed[key]
            found[key] = issue(
                self.walk.request,
                replace(outcome, notes={**outcome.notes, **told}),
                evidence=a.measurements,
                policy=self.road.policy,
                assessment=a.assessment,
                residue=residue,
            )
        return found


def _wished(wish: str) -> dict[str, Any]:
    """What the evidence file says of a wish; nothing of the common one, which every text takes for granted."""
    asked = meaning(wish)
    return {} if wish == AS_RETRAINED else {"wish": {"name": wish, "says": asked.says, "against": asked.against}}


def _interval(estimate: Any) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _head(key: str) -> dict[str, str]:
    label, question, better, retrained = HEADS[key]
    return {"label": label, "question": question, "better": better, "retrained": retrained}


def residue_below(out: Path) -> tuple[Residue, ...]:
    """What of a run holds personal data, by its first folder or file."""
    why = {
        "corpus.jsonl": "the records themselves",
        "data.jsonl": "the records themselves",
        "unlearned": "the model after unlearning",
        ORIGINAL: "the model before unlearning",
        "shadows": "models that were trained on some of the records, to attack by",
        "scores": "scores and answers item by item",
        "report-with-text.html": "a report that was asked to show text",
        ".stages": "digests of the stages",
    }
    names = sorted({p.relative_to(out).parts[0] for p in out.rglob("*") if p.is_file()})
    personal = [n for n in names if n not in PUBLIC and n not in (NAME, DONE)]
    return (*(Residue(name, why.get(name, "a model made by this run")) for name in personal), VAULT)


def write_findings(out: Path, evidence: Mapping[str, Any], *, below: str = "") -> str:
    """Write evidence, table, report and summary; returns the table.

    Args:
        out: folder.
        evidence: of ``Conclusion.evidence``.
        below: text under the table.
    """
    table = f"{format_table(evidence)}\n{below}" if below else format_table(evidence)
    write_json(out / "evidence.json", evidence)
    write_text(out / "table.txt", table)
    write_text(out / "report.html", render_report(evidence))
    write_json(out / "summary.json", summary(evidence))
    return table


def write_all(conclusion: Conclusion, ridge: Mapping[str, Any], ridge_outcome: Any) -> str:
    """Write evidence, table, report, summary, certificates and manifest; returns the table."""
    walk, out = conclusion.walk, conclusion.walk.out
    shutil.rmtree(out / ".work", ignore_errors=True)
    evidence = conclusion.evidence()
    if ridge:
        evidence["ridge"] = dict(ridge)
    keep_walk(
        out, walk, {key: [out / "scores" / key] for key in conclusion.assessed}, out / "corpus.jsonl", ridge=ridge
    )
    table = write_findings(out, evidence)
    signer = ensure_key(home())
    trust(home(), signer.public, "this installation")
    certificates = conclusion.certificates(residue_below(out))
    shared = {name: out / name for name in (ORIGINAL, REFERENCE, SECOND, "evidence.json", "plan.json")}
    shared |= {f"scores of {key}": out / "scores" / key for key in (ORIGINAL, REFERENCE, SECOND)}
    for key, certificate in certificates.items():
        artefacts = {**shared, "result": out / key, "scores": out / "scores" / key}
        _certify(certificate, artefacts, out, key, signer)
    if ridge_outcome is not None:
        _certify(ridge_certificate(walk, ridge_outcome), {"result": out / "ridge"}, out, "ridge", signer)
    Manifest.of(out).write(out)
    return table


def ridge_certificate(walk: Walk, outcome: Any) -> Certificate:
    """The learner's certificate: its replay holds the digest of a refit."""
    audit = {INDEPENDENT: "fitted anew on the rest in the same process, by the same key that certifies"}
    return issue(walk.request, outcome, residue=residue_below(walk.out), audit=audit, name="ridge learner")


def _certify(certificate: Certificate, artefacts: Mapping[str, Path], out: Path, key: str, signer: Signer) -> None:
    """Write a certificate; an earlier one that says something else is set aside under its digest, never overwritten."""
    path = certificate_path(out, key)
    place_certificate(certificate, artefacts, out, path, signer)
    certified(certificate, path, out)


def summary(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers that scripts read, by method."""
    rows: dict[str, Any] = {}
    for row in evidence["rows"]:
        cells = {name: row["cells"][key]["value"] for name, key in SUMMARY.items()}
        if cells["forget_quality_p"] is not None:
            cells["forget_quality_p"] = 10.0 ** cells["forget_quality_p"]
        rows[row["key"]] = {"guarantee": row["guarantee"], **cells}
    second = rows.pop(SECOND, None)
    return {
        "methods": rows,
        "second_reference": second,
        **({"ridge": evidence["ridge"]} if "ridge" in evidence else {}),
    }
