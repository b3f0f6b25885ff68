"""Shadow models for membership attacks. Source: Carlini et al. 2022 (2112.03570), Hayes et al. 2024 (2403.01218).

Each is trained like the judged model, on what is retained and on half of the people whose records are forgotten or were
never seen. To attack a method, each also forgets its half by that method: a pair of Hayes et al. is a model that forgot
a record along with others, and one that never saw it and forgot others. How many each forgets is thus half of all who
are drawn, whatever the judged model forgot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expunge.core.attack import Budget
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, ScopeError, UnknownName
from expunge.core.files import write_json
from expunge.core.launch import started
from expunge.core.manifest import Manifest
from expunge.core.measure import SHADOWS
from expunge.core.provenance_check import require_whole
from expunge.core.request import Wish
from expunge.core.selection import Selection
from expunge.core.wishes import AS_RETRAINED, require_answers
from expunge.evaluation.score_table import Table, load_tables
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.workflow.run import locked, require_extra
from expunge.workflow.shadow_model import (
    ROLES,
    SCORES,
    WORK,
    body_of,
    drawn,
    keep_data,
    method_of,
    recipe_of,
    shadowed,
)
from expunge.workflow.stages import TRAINING_CODE, code_digest, versions

MODELS_OF: Mapping[Budget, int] = MappingProxyType({"quick": 8, "full": 64})
PLAN = "shadows.json"
CODE = (*TRAINING_CODE, "evaluation/score_table.py", "workflow/measure.py", "workflow/shadow_model.py")
Tables = dict[str, dict[str, list[Table]]]


def shadows(
    out: Path,
    recipe: Any,
    selection: Selection,
    *,
    method: str = "",
    settings: Mapping[str, Any] | None = None,
    wish: Wish = AS_RETRAINED,
    budget: Budget = "quick",
    models: int = 0,
    seed: int = 0,
    pool: Pool | None = None,
) -> Tables:
    """Train, unlearn and score shadow models.

    Killed, the same call continues and does nothing twice. A larger number of models, or another method, finds what
    was trained before. The folder is private: its models know the records.

    Args:
        out: folder of the shadow models.
        recipe: plain fine-tuning, by which the judged model was trained.
        selection: of the judged model. People of ``forget`` and ``holdout`` are drawn, ``retain`` is always learned.
        method: name of the method that is attacked; empty for models that are only trained.
        settings: of the method, where they differ from its own.
        wish: that the method answers.
        budget: 8 models or 64; from 64 on attacks fit each record's own variance.
        models: an even number of at least 4 instead of the budget's.
        seed: of the draw, the trainings and the unlearnings.
        pool: where the models are trained.

    Returns:
        Part of ``SHADOWS`` -> role -> one table a model, to stand beside those of the judged model in a ``PerItem``.

    Raises:
        ConfigError: the number of models is odd or below 4, or the recipe is more than plain fine-tuning; or a launcher
            started several processes and some models are not there yet.
        ScopeError: there are no never-seen records, or fewer than two people in all, or records lack the answer that
            is wished for.
        ClaimError: the selection holds only a sample of what is retained or never seen, or the method cannot answer the
            wish.
        UnknownName: no method has that name.
    """
    require_extra("shadow models")
    count, pool = models or _count(budget), pool or Pool()
    require_drawable(recipe, selection, count, wish if method else AS_RETRAINED)
    asked = {"method": method, "settings": dict(settings or {}), "wish": wish}
    items = items_of(out, recipe, selection, asked, models=count, seed=seed, pool=pool)
    keys = [item["keys"] for item in items]
    waiting = [item for item in items if any(lacking(item).values())]
    if started() > 1:
        _require_all(waiting, count)
        return {part: _loaded(out, [own[part] for own in keys]) for part in keys[0]}
    with locked(out):
        keep_data(out, selection)
        names = [f"shadow model {item['number'] + 1} of {count}" for item in waiting]
        map(shadowed, waiting, pool=pool, names=names, stage="shadow models")
        write_json(out / PLAN, {"seed": seed, **asked, "keys": keys})
        Manifest.of(out, skipping=(WORK,)).write(out)
    return {part: _loaded(out, [own[part] for own in keys]) for part in keys[0]}


def items_of(
    out: Path,
    recipe: Any,
    selection: Selection,
    asked: Mapping[str, Any],
    *,
    models: int,
    seed: int,
    pool: Pool | None = None,
) -> list[dict[str, Any]]:
    """What makes each shadow model, for a worker.

    Args:
        out: folder of the shadow models.
        recipe: as for ``shadows``.
        selection: as for ``shadows``.
        asked: ``method``, ``settings`` and ``wish``.
        models: how many.
        seed: as for ``shadows``.
        pool: as for ``shadows``; its threads may change bytes, so that models are told apart by them.
    """
    shared = {"out": str(out.resolve()), "data": selection.digest(), "recipe": body_of(recipe), "seed": seed}
    how = asked["settings"], recipe, asked["wish"]
    attacked = method_of(asked["method"], *how).digest() if asked["method"] else ""
    state = [shared["data"], recipe.digest(), seed, (pool or Pool()).threads, versions(), code_digest(*CODE)]
    return [{**shared, **asked, "number": n, "keys": _keys(state, n, attacked)} for n in range(models)]


def lacking(item: Mapping[str, Any]) -> dict[str, bool]:
    """Part -> whether it has still to be made for one shadow model."""
    return {part: not (Path(item["out"]) / SCORES / key).is_dir() for part, key in item["keys"].items()}


def _require_all(waiting: list[dict[str, Any]], count: int) -> None:
    if waiting:
        raise ConfigError(
            f"{len(waiting)} of {count} shadow models are not trained yet",
            why="the processes of a launch do not train them",
            next="Run the same command once without a launcher",
        )


def _count(budget: Budget) -> int:
    if budget not in MODELS_OF:
        raise UnknownName("budget", budget, list(MODELS_OF))
    return MODELS_OF[budget]


def require_drawable(recipe: Any, selection: Selection, count: int, wish: Wish) -> None:
    """Raise what ``shadows`` would raise before it trains; see there."""
    from expunge.engine.finetune import FineTune

    if count < 4 or count % 2:
        why = "each record needs two with it and two without it, and they are drawn in pairs"
        raise ConfigError(f"{count} shadow models are too few or odd", why=why, next="Give an even number from 4 on")
    if not isinstance(recipe, FineTune) or recipe_of(body_of(recipe)).digest() != recipe.digest():
        raise ConfigError(
            "shadow models cannot be trained by this recipe",
            why="it is another than plain fine-tuning, or lowers another loss",
            next="Give a plain fine-tuning recipe",
        )
    if not selection.holdout:
        raise ScopeError("shadow models need never-seen records", next="Give a holdout")
    if len(set((selection.forget + selection.holdout).subjects)) < 2:
        raise ScopeError("shadow models need two people to draw from", next="Name the subjects of the records")
    for role in ("retain", "holdout"):
        require_whole("shadow models", role, selection)
    for number in (0, 1):
        require_answers(drawn(selection, number, 0), wish)


def _keys(state: list[Any], number: int, attacked: str) -> dict[str, str]:
    """Part -> name of a model: made of what decides its bytes, so that nothing else makes it anew."""
    trained, unlearned = SHADOWS
    parts = {trained: ["trained"], **({unlearned: ["unlearned", attacked]} if attacked else {})}
    return {part: digest([what, state, number]).partition(":")[2][:20] for part, what in parts.items()}


def _loaded(out: Path, keys: list[str]) -> dict[str, list[Table]]:
    found = [load_tables(out / SCORES / key) for key in keys]
    return {role: [tables[role] for tables in found] for role in ROLES}
