"""One shadow model: trained, scored, unlearned and scored again. It runs in a worker: JSON in, JSON out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples
from expunge.core.files import write_bytes
from expunge.core.measure import MEMBER, SHADOWS
from expunge.core.registry import methods
from expunge.core.request import Wish
from expunge.core.seeds import derive, keyed_order
from expunge.core.selection import SELECTED, Selection
from expunge.core.space import with_settings
from expunge.core.training import Training
from expunge.core.wishes import AS_RETRAINED, answering
from expunge.data.jsonl import dump_examples, read_examples
from expunge.evaluation.score_table import save_tables
from expunge.workflow.measure import columns_for
from expunge.workflow.saved import Saved

DATA, MODELS, SCORES, WORK = "data", "models", "scores", ".work"
SCORED = ("logit_confidence", "probability")
"""What the attacks by shadow models read."""
ROLES = ("forget", "holdout")
"""Roles whose records are drawn in and out, and scored."""


def members(subjects: Sequence[str], number: int, seed: int) -> frozenset[str]:
    """The subjects that a shadow model is trained on.

    Models 2k and 2k + 1 share all subjects between them, drawn by a keyed order, so that of any even number of models
    half were trained on a subject, and each on half of the subjects.

    Args:
        subjects: all that are drawn.
        number: of the model, from 0.
        seed: keys the order.

    >>> one, other = (members("abcdef", number, seed=3) for number in (4, 5))
    >>> len(one), sorted(one | other)
    (3, ['a', 'b', 'c', 'd', 'e', 'f'])
    """
    names = sorted(set(subjects))
    order = [names[i] for i in keyed_order(names, seed, "shadows", number // 2)]
    half = len(order) // 2
    return frozenset(order[half:] if number % 2 else order[:half])


def drawn(selection: Selection, number: int, seed: int) -> Selection:
    """What a shadow model is asked to forget: its members; who was drawn out was never seen by it."""
    pool = selection.forget + selection.holdout
    inside = members(pool.subjects, number, seed)
    parts: dict[str, list[Example]] = {role: [] for role in ROLES}
    for example, subject in zip(pool, pool.subjects, strict=True):
        role = "forget" if subject in inside else "holdout"
        parts[role].append(replace(example, role=role))
    return replace(selection, forget=Examples(parts["forget"]), holdout=Examples(parts["holdout"]))


def keep_data(out: Path, selection: Selection) -> None:
    """Write the records of each role, for the workers."""
    (out / DATA).mkdir(parents=True, exist_ok=True)
    for role in SELECTED:
        path, examples = out / DATA / f"{role}.jsonl", selection.role(role)
        if examples:
            write_bytes(path, dump_examples(examples))
        else:
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _selection(out: str, wanted: str) -> Selection:
    files = {role: Path(out) / DATA / f"{role}.jsonl" for role in SELECTED}
    parts: dict[str, Any] = {role: read_examples(path) for role, path in files.items() if path.is_file()}
    found = Selection(**parts)
    if found.digest() != wanted:
        raise StoreError(f"the records in {out} changed", why="their digest differs", next="Run the same call again")
    return found


def recipe_of(body: Mapping[str, Any]) -> Any:
    """The recipe that ``body_of`` stated."""
    from expunge.engine.finetune import FineTune
    from expunge.targets.llama_spec import LlamaSpec

    base = body["base"] if isinstance(body["base"], str) else TypeAdapter(LlamaSpec).validate_python(body["base"])
    return FineTune(base, TypeAdapter(Training).validate_python(body["training"]), body["on_long"])


def body_of(recipe: Any) -> dict[str, Any]:
    """A recipe of plain fine-tuning as JSON; what of it is not plain, its digest shows."""
    from expunge.targets.llama_spec import LlamaSpec

    base = recipe.base
    if isinstance(base, str):
        base = str(Path(base).resolve()) if Path(base).exists() else base
    else:
        base = TypeAdapter(LlamaSpec).dump_python(base, mode="json")
    training = TypeAdapter(Training).dump_python(recipe.training, mode="json")
    return {"base": base, "training": training, "on_long": recipe.on_long}


def method_of(name: str, settings: Mapping[str, Any], recipe: Any, wish: Wish = AS_RETRAINED) -> Any:
    """A registered method, so set; one that trains anew does so by the shadow models' own recipe.

    Raises:
        UnknownName: no method has that name, or it has no such setting.
        ClaimError: it cannot answer the wish.
    """
    found = answering(with_settings(methods.get(name), settings), wish)
    return found.with_recipe(recipe) if hasattr(found, "with_recipe") else found


def shadowed(item: Mapping[str, Any]) -> str:
    """Train and score one shadow model; unlearn and score it, if a method is given. What is there is not done again.

    Args:
        item: ``out``; ``data``, the selection's digest; ``recipe``, of ``body_of``; ``number`` and ``seed``;
            ``method``, ``settings`` and ``wish``; ``keys``, the names of what is made, by part.

    Returns:
        The name of the trained model.
    """
    out, keys, number = Path(item["out"]), item["keys"], item["number"]
    whole = _selection(item["out"], item["data"])
    own, recipe = drawn(whole, number, item["seed"]), recipe_of(item["recipe"])
    trained, unlearned = (keys.get(part, "") for part in SHADOWS)
    if not (out / MODELS / trained).is_dir():
        _train(out, trained, recipe, own, derive(item["seed"], "shadow", number))
    target = Saved(out / MODELS / trained)
    if not (out / SCORES / trained).is_dir():
        _score(out, trained, target, whole, own)
    if unlearned and not (out / SCORES / unlearned).is_dir():
        method = method_of(item["method"], item["settings"], recipe, item["wish"])
        work = out / WORK / unlearned
        outcome = method.unlearn(target.target, own, seed=derive(item["seed"], "unlearn", number), workdir=work)
        _score(out, unlearned, outcome.target, whole, own)
        shutil.rmtree(work, ignore_errors=True)
    return trained


def _train(out: Path, key: str, recipe: Any, own: Selection, seed: int) -> None:
    from expunge.data.memory import MemoryStore

    work = out / WORK / key
    store = MemoryStore(own.retain + own.forget)
    recipe.train(store, seed=seed, stage="shadow model", workdir=work).save(out / MODELS / key)
    shutil.rmtree(work, ignore_errors=True)


def _score(out: Path, key: str, target: Any, whole: Selection, own: Selection) -> None:
    """Score tables of a model on the records that are drawn, in the roles that they have for the judged model."""
    from expunge.engine.score import score

    oracle, inside = target.oracle(Access.LOGPROBS), frozenset(own.forget.ids)
    tables: dict[str, dict[str, Any]] = {}
    for role in ROLES:
        examples = whole.role(role)
        member = np.array([float(record_id in inside) for record_id in examples.ids])
        names = {"ids": list(examples.ids), "subjects": list(examples.subjects), MEMBER: member}
        tables[role] = {**names, **score(oracle, examples, columns_for(SCORED, Access.LOGPROBS))}
    # The folder is private and never certified, so that the salt need not be drawn.
    save_tables(out / SCORES / key, tables, salt=digest([key]))
