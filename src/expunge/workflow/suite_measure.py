"""Fill a suite's score tables: one pass a part and model, then the attacks that its readings name. Trains nothing."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expunge.core.access import Access, Oracle
from expunge.core.attack import Budget, run_attack
from expunge.core.errors import ConfigError, EvidenceError, ExpungeError, StoreError, TargetError, UnknownName
from expunge.core.example import Examples
from expunge.core.measure import Score, Statistic
from expunge.core.registry import attacks, metrics
from expunge.core.scorer import Said, Scorer, filled
from expunge.core.selection import SAMPLED, Selection
from expunge.core.suite import Part, Suite, whole
from expunge.evaluation.per_item import outcomes
from expunge.evaluation.score_table import Table
from expunge.workflow.measure import columns_for, longest_answer
from expunge.workflow.suite_budget import attacks_of

CORPORA = "expunge.data.corpora"
SAID_AND_MEANT = ("text", "token_hit", "mask")
"""What the detector of disagreement reads beside the generated answers."""


def read_corpus(suite: Suite, data: str, options: Mapping[str, Any]) -> Examples:
    """The data of a suite.

    Args:
        suite: names its reader.
        data: folder, file or hub name.
        options: of the reader, such as a split.

    Raises:
        StoreError: something is missing; it says what and how to get it.
        UnknownName: the reader has no such option.
    """
    module, _, name = suite.reader.partition(":")
    read = getattr(importlib.import_module(module if name else f"{CORPORA}.{module}"), name or "read")
    known = [p for p in inspect.signature(read).parameters if p != "data"]
    for option in options:
        if option not in known:
            raise UnknownName(f"option of the data of {suite.name}", option, known)
    return read(data, **options)


def examples_of(corpus: Examples, part: Part) -> Examples:
    """The records of a part."""
    return Examples(e for e in corpus.of(part.role) if not part.subsets or e.subset in part.subsets)


def scores_of(suite: Suite) -> dict[str, list[str]]:
    """Part -> names of the scores that the suite reads there."""
    found: dict[str, list[str]] = {part.name: [] for part in suite.parts}

    def want(part: str, score: str) -> None:
        if whole(part) in found and score not in found[whole(part)]:
            found[whole(part)].append(score)

    for reading in suite.readings:
        metric = metrics.get(reading.measure) if reading.measure in metrics.names() else None
        if isinstance(metric, Statistic):
            for _, role, score in metric.needs:
                want(reading.roles.get(role, role), score)
        elif reading.roles:
            for role in ("forget", "holdout"):
                want(reading.roles.get(role, role), reading.measure)
        elif reading.measure not in attacks.names():
            for part in (reading.part, reading.known):
                want(part, reading.measure)
    for part, score in suite.utility:
        want(part, score)
    return found


def part_table(
    oracle: Oracle, part: Part, examples: Examples, wanted: Sequence[str], scorers: Mapping[str, Scorer]
) -> Table:
    """The score table of one part, in one pass.

    Args:
        oracle: what it does not grant is left out.
        part: says how long an answer may be.
        examples: of the part.
        wanted: names of scores; those that are none are left out.
        scorers: column -> who fills it; without one the column is absent.
    """
    from expunge.engine.score import known_columns, score
    from expunge.engine.together import by_first

    scores = [metrics.get(name) for name in wanted if name in metrics.names()]
    columns = columns_for([found.name for found in scores if isinstance(found, Score)], oracle.access)
    if part.role == "forget" and "generated" in columns and Access.LOGPROBS in oracle.access:
        columns = list(dict.fromkeys((*columns, *SAID_AND_MEANT)))
    filling = [name for name in columns if name in scorers]
    table: Table = {"ids": list(examples.ids), "subjects": list(examples.subjects)}
    if len(part.subsets) > 1:
        table["subsets"] = [example.subset for example in examples]
    if any(example.relation for example in examples):
        table["relations"] = [example.relation for example in examples]
    if any(example.subgroup for example in examples):
        table["subgroups"] = [example.subgroup for example in examples]
    if Access.LOGPROBS in oracle.access:
        table |= score(oracle, examples, [c for c in columns if c != "generated"])
    else:
        table |= known_columns(examples, columns)
    if Access.TEXT in oracle.access and ("generated" in columns or filling):
        table["generated"] = _answers(oracle, part, examples)
        said = [Said(e.question, e.answer, text) for e, text in zip(examples, table["generated"], strict=True)]
        # Of several processes the first alone asks.
        table |= by_first(lambda: {name: filled(name, scorers[name], said) for name in filling})
        # Scores of texts need a package that whoever reads the tables may lack.
        table |= {s.name: s.of(table) for s in scores if s.access == Access.TEXT and set(s.needs) <= table.keys()}
    return table


def _answers(oracle: Oracle, part: Part, examples: Examples) -> list[str]:
    from expunge.engine.generate import generate

    questions = [example.question for example in examples]
    distinct = list(dict.fromkeys(questions))
    said = generate(oracle, distinct, max_new_tokens=part.tokens or longest_answer(oracle, examples))
    answers = dict(zip(distinct, said, strict=True))
    return [answers[question] for question in questions]


def suite_tables(
    model: Any, suite: Suite, corpus: Examples, scorers: Mapping[str, Scorer], access: Access
) -> dict[str, Table]:
    """Part -> table, for the parts that the data has.

    Args:
        model: target.
        suite: says what is scored.
        corpus: its data.
        scorers: as for ``part_table``.
        access: what the caller allows; the target may grant less.
    """
    wanted, tables = scores_of(suite), dict[str, Table]()
    oracle = model.oracle(access)
    for part in suite.parts:
        if wanted[part.name] and (examples := examples_of(corpus, part)):
            tables[part.name] = part_table(oracle, part, examples, wanted[part.name], scorers)
    return tables


def suite_attacks(
    models: Mapping[str, Any], suite: Suite, corpus: Examples, budget: Budget | None, seed: int, access: Access
) -> tuple[dict[str, dict[str, Table]], dict[str, str]]:
    """Every attack of a suite on every model.

    Args:
        models: name -> target; ``original`` serves the attacks that compare with it.
        suite: names the attacks.
        corpus: its data.
        budget: of the attacks that no criterion judges; see ``suite_budget``.
        seed: of the attacks.
        access: what the caller allows.

    Returns:
        Model -> ``attack.`` and name of the reading -> table; and name of a reading -> why it was not measured.

    Raises:
        ConfigError: a criterion names another budget.
    """
    tables: dict[str, dict[str, Table]] = {name: {} for name in models}
    skipped: dict[str, str] = {}
    first = models["original"].oracle(access) if "original" in models else None
    for name, (_, attack) in attacks_of(suite, budget).items():
        reading = suite.reading(name)
        try:
            selection = _selection(corpus, examples_of(corpus, suite.part(reading.part)), suite)
            found = {
                who: outcomes(run_attack(attack, model.oracle(access), selection, seed=seed, original=first))
                for who, model in models.items()
            }
        except (EvidenceError, StoreError, TargetError) as error:
            skipped[name] = str(error)
        else:
            for who, table in found.items():
                tables[who][f"attack.{name}"] = table
    return tables, skipped


def _selection(corpus: Examples, probes: Examples, suite: Suite) -> Selection:
    """What an attack may ask for: the probes, and of every other role what no condition reads.

    Raises:
        EvidenceError: there are no probes, or roles overlap.
    """
    if not probes:
        raise EvidenceError("the data holds none of the records that it probes", next=suite.get)
    conditions = {e.record_id for r in suite.readings if r.known for e in examples_of(corpus, suite.part(r.known))}
    roles: dict[str, Any] = {
        role: Examples(e for e in corpus.of(role) if e.record_id not in conditions) for role in SAMPLED
    }
    try:
        return Selection(forget=probes, **roles)
    except ExpungeError as error:
        raise EvidenceError("the data does not divide into roles", why=error.what) from error


def fitted(model: Any, suite: Suite) -> Any:
    """A target that treats long sequences as the suite asks.

    Raises:
        ConfigError: what is given is no language model.
    """
    if not hasattr(model, "oracle"):
        raise ConfigError(f"a {type(model).__name__} is no target", next="Give a folder or a target")
    return replace(model, on_long=suite.on_long) if getattr(model, "on_long", suite.on_long) != suite.on_long else model
