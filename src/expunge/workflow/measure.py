"""Measure one model: fill its score tables in one pass, run the attacks that change it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from expunge.core.access import Access, Oracle
from expunge.core.attack import Budget, at_budget, run_attack
from expunge.core.columns import COLUMNS, split
from expunge.core.errors import ConfigError, EvidenceError, StoreError, TargetError
from expunge.core.example import Examples
from expunge.core.measure import Score, Statistic
from expunge.core.policy import Policy
from expunge.core.registry import attacks, metrics
from expunge.core.scorer import Said, Scorer, check_scorers, filled
from expunge.core.selection import SELECTED, Selection
from expunge.evaluation.per_item import LEFT_OUT, left_out, outcomes
from expunge.evaluation.score_table import Table

log = logging.getLogger(__name__)
NO_SCORERS: Mapping[str, Scorer] = MappingProxyType({})
SHOWN = ("relearning",)
"""Attacks with a column of their own in every table."""
READ = {"disagreement": "exact_memorization"}
"""Detector that only some policies ask for -> score whose columns it reads."""
SCORES: dict[str, tuple[str, ...]] = {
    "forget": ("probability", "truth_ratio", "rouge_l", "min_k"),
    "retain": ("probability", "truth_score", "rouge_l"),
    "general": ("probability_options", "truth_score", "rouge_l"),
    "holdout": ("min_k",),
    "neighbour": (),
}


def examples_of(selection: Selection) -> dict[str, Examples]:
    """The examples of each role that is measured; empty roles are left out."""
    roles = {
        "forget": selection.forget,
        "retain": _with_options(selection.kept),
        "general": selection.general,
        "holdout": selection.holdout,
        "neighbour": selection.neighbour,
    }
    return {role: examples for role, examples in roles.items() if examples}


def _with_options(examples: Examples) -> Examples:
    """Those that have wrong answers, or all where none has: TOFU evaluates the 400 retained records that have some."""
    return Examples(e for e in examples if e.perturbed_answer) or examples


def scores_of(role: str, asked: Iterable[str] = ()) -> list[str]:
    """What is scored on a role: what the table shows, and what those who ask need. Nothing else costs a pass.

    Args:
        role: one of ``SCORES``.
        asked: names among the metrics, as a policy's criteria give them; other names are none of a score's business.
            A likelihood attack is scored on forget and on holdout, a statistic's scores where it reads them.
    """
    found = list(SCORES[role])
    for name in asked:
        metric = metrics.get(name) if name in metrics.names() else None
        if isinstance(metric, Score) and role in ("forget", "holdout"):
            found.append(name)
        if isinstance(metric, Statistic):
            found += [
                score
                for _, where, score in metric.needs
                if where.partition("/")[0] == role and score in metrics.names()
            ]
    return list(dict.fromkeys(found))


def asked_by(policy: Policy) -> tuple[str, ...]:
    """Names of what a policy compares, and of the scores whose columns its detectors read."""
    compared = tuple(criterion.attack for criterion in policy.criteria)
    return (*compared, *(score for detector, score in READ.items() if detector in policy.detectors))


def read_from(scorers: Iterable[str]) -> tuple[str, ...]:
    """Names of the scores that columns filled by scorers make possible: whoever gives a scorer asks for them."""
    given = set(scorers)
    found = ((name, metrics.get(name)) for name in metrics.names()) if given else ()
    return tuple(name for name, metric in found if isinstance(metric, Score) and given & set(metric.needs))


def asked_beside(scorers: Mapping[str, Any] | None = None, shadows: Any = None) -> tuple[str, ...]:
    """Names of the scores and statistics that whoever gives scorers or shadow models asks for.

    Raises:
        UnknownName: no scorer fills a column of that name.
        ConfigError: a scorer cannot be called, or what is given in place of shadow models are none.
    """
    from expunge.workflow.shadow_plan import READS, Shadows

    check_scorers(scorers or {})
    if shadows is not None and not isinstance(shadows, Shadows):
        next = "Give a Shadows of expunge.workflow.shadow_plan"
        raise ConfigError(f"shadows cannot be of the type {type(shadows).__name__}", next=next)
    return (*read_from(scorers or ()), *(() if shadows is None else READS))


def columns_for(scores: Sequence[str], access: Access) -> list[str]:
    """The union of what the scores need, less what the access does not allow."""
    needs = dict.fromkeys(column for name in scores for column in metrics.get(name).needs)
    return [c for c in needs if COLUMNS[split(c)[0]].source != "score" or Access.LOGPROBS in access]


def longest_answer(oracle: Oracle, examples: Examples) -> int:
    """Tokens of the longest answer, the end token included: what a generated answer may take."""
    return max(item.n_scored for item in oracle.target.template.encode_all(examples))


def score_tables(
    oracle: Oracle, selection: Selection, asked: Iterable[str] = (), *, scorers: Mapping[str, Scorer] = NO_SCORERS
) -> dict[str, Table]:
    """One table a role, with the columns that the role's scores need; no table where they need none.

    Args:
        oracle: what it does not grant is left out.
        selection: the examples.
        asked: metrics that are needed beside the table's; see ``scores_of``.
        scorers: column -> who fills it, for columns such as ``toxicity``; without one the column is absent.
    """
    from expunge.engine.generate import generate
    from expunge.engine.score import known_columns, score
    from expunge.engine.together import by_first

    tables: dict[str, Table] = {}
    for role, examples in examples_of(selection).items():
        if not scores_of(role, asked):
            continue
        columns = columns_for(scores_of(role, asked), oracle.access)
        judging = [name for name in columns if name in scorers]
        table: Table = {"ids": list(examples.ids), "subjects": list(examples.subjects)}
        if any(example.subset for example in examples):
            table["subsets"] = [example.subset for example in examples]
        if any(example.relation for example in examples):
            table["relations"] = [example.relation for example in examples]
        if any(example.subgroup for example in examples):
            table["subgroups"] = [example.subgroup for example in examples]
        if Access.LOGPROBS in oracle.access:
            table |= score(oracle, examples, [c for c in columns if c != "generated"])
        else:
            table |= known_columns(examples, columns)
        if "generated" in columns or judging:
            questions = [example.question for example in examples]
            table["generated"] = generate(oracle, questions, max_new_tokens=longest_answer(oracle, examples))
            said = [Said(e.question, e.answer, text) for e, text in zip(examples, table["generated"], strict=True)]
            table |= by_first(partial(_filled, {name: scorers[name] for name in judging}, said))
            # Scores of texts need a package that whoever judges the tables may lack.
            text_scores = [s for s in map(metrics.get, scores_of(role, asked)) if s.access == Access.TEXT]
            table |= {s.name: s.of(table) for s in text_scores if set(s.needs) <= table.keys()}
        tables[role] = table
    return tables


def _filled(scorers: Mapping[str, Scorer], said: Sequence[Said]) -> dict[str, Any]:
    return {name: filled(name, scorer, said) for name, scorer in scorers.items()}


def attack_tables(
    oracle: Oracle,
    selection: Selection,
    budget: Mapping[str, Any],
    *,
    seed: int,
    original: Oracle | None = None,
) -> dict[str, Table]:
    """Run every attack of the budget that the oracle's access allows.

    Args:
        oracle: the attacked model.
        selection: whose forget set is probed.
        budget: name of an attack -> the attack with its settings; see ``budget_for``.
        seed: of the attacks.
        original: the model before unlearning, for attacks that compare with it.

    Returns:
        Name of an attack -> table with ``ids``, ``subjects`` and the attack's outcomes. One that is given too little,
        or cannot ask this model with this data, is left out with a warning, and the table ``LEFT_OUT`` says why.
    """
    tables: dict[str, Table] = {}
    reasons: dict[str, str] = {}
    for name, attack in budget.items():
        if attack.access & ~oracle.access:
            continue
        try:
            tables[name] = outcomes(run_attack(attack, oracle, selection, seed=seed, original=original))
        except (EvidenceError, StoreError, TargetError) as error:
            reasons[name] = _told(error, selection)
            log.warning("the attack %s was left out: %s", name, reasons[name])
    return tables | ({LEFT_OUT: left_out(reasons)} if reasons else {})


def _told(error: Exception, selection: Selection) -> str:
    """What went wrong, without the ids of records: a certificate may repeat it."""
    text = str(error)
    for role in SELECTED:
        for key in selection.role(role).ids:
            text = text.replace(f"record {key!r}", "a record")
    return text


def budget_for(asked: Iterable[str] = (), budget: Budget = "quick") -> dict[str, Any]:
    """The attacks that the table shows and those that were asked for, and no other: each costs a pass or more.

    Args:
        asked: names, as a policy's criteria give them; those of no attack are none of its business.
        budget: of each.
    """
    known = attacks.names()
    names = dict.fromkeys((*SHOWN, *(name for name in asked if name in known)))
    return {name: at_budget(attacks.get(name), budget) for name in names}
