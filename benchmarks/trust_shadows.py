"""The attacks by shadow models, on models of known truth: what they train, and the verdicts that come of it.

Each pair has shadow models of its own, trained by its recipe on its people, as ``workflow.shadows`` trains them. U-LiRA
attacks the method that made a model. ``retrained`` and ``never`` are what the method ``retrain`` makes: they are read
beside shadow models that were retrained. ``trained`` is what a method makes that does nothing: what that one leaves of
a shadow model is that shadow model, so that none is trained for it, and U-LiRA is LiRA there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.trust_judging import verdict
from benchmarks.trust_margins import margin_of
from benchmarks.trust_models import ARMS, CASES, COST, NOT_HAD, TRAINED, Folders, World, score_place
from benchmarks.trust_splits import SPLITS, Split
from expunge.core.canonical import digest
from expunge.core.files import write_json
from expunge.core.measure import SHADOWS, Statistic
from expunge.core.policy import Status
from expunge.core.registry import metrics
from expunge.core.wishes import AS_RETRAINED
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.score_table import load_tables
from expunge.workflow.shadow_model import ROLES, keep_data, shadowed
from expunge.workflow.shadows import items_of, shadows

METHOD = "retrain"
LEARNED, UNLEARNED = SHADOWS


def shadow_names() -> list[str]:
    """Statistics that read shadow models."""
    found = [(name, metric) for name, metric in metrics.items() if isinstance(metric, Statistic)]
    return [name for name, metric in found if any(model in SHADOWS for model, _, _ in metric.needs)]


def shadow_place(at: Folders, pair: int, part: str, number: int) -> Path:
    """File that is there once a shadow model is; its model and scores lie in the folder of the pair."""
    return Path(at["shadows"]) / f"{pair:02d}-{part}-{number}.json"


def verdict_place(at: Folders, pair: int, count: int, names: Sequence[str]) -> Path:
    """File of a pair's verdicts by so many shadow models."""
    key = digest([Path(at["shadows"]).name, count, list(names)]).partition(":")[2][:12]
    return Path(at["judged_shadows"]) / f"{pair:02d}-shadows-{key}.json"


def shadow(item: Mapping[str, Any]) -> None:
    """Train and score one shadow model of a pair, or retrain and score it, by a worker.

    Args:
        item: ``at``, the folders; ``pair``; ``part``, one of ``SHADOWS``; ``number``, from 0.
    """
    at, pair, part, number = item["at"], item["pair"], item["part"], item["number"]
    place, begun, world = shadow_place(at, pair, part, number), time.process_time(), World(pair)
    if place.is_file():
        return
    out, selection = Path(at["shadows"]) / f"{pair:02d}", world.selection()
    asked = {"method": METHOD if part == UNLEARNED else "", "settings": {}, "wish": AS_RETRAINED}
    made = items_of(out, world.road.recipe, selection, asked, models=number + 1, seed=pair)[number]
    keep_data(out, selection)
    shadowed(made)
    write_json(place.with_name(f"{place.name}{COST}"), {"cpu": round(time.process_time() - begun, 2)})
    write_json(place, made["keys"])


def on_truths(name: str, items: Mapping[str, PerItem], pair: int) -> dict[str, Any]:
    """The verdict on each case and split of a pair, each case beside its own shadow models; or why there is none."""
    found: dict[str, list[Status]] = {case: [] for case in CASES}
    margin = margin_of(name)
    try:
        for seed in range(pair * SPLITS, (pair + 1) * SPLITS):
            for case in CASES:
                found[case].append(verdict(name, Split(items[case], seed), margin, case, seed))
    except (Unmeasured, *NOT_HAD) as reason:
        return {"gone": str(reason)}
    return found


def judged(item: Mapping[str, Any]) -> None:
    """Judge every attack by shadow models on one pair, by a worker.

    Args:
        item: ``at``, the folders; ``pair``; ``count``, of shadow models; ``names``.
    """
    at, pair, count, names = item["at"], item["pair"], item["count"], item["names"]
    place, begun, world = verdict_place(at, pair, count, names), time.process_time(), World(pair)
    if place.is_file():
        return
    out, recipe = Path(at["shadows"]) / f"{pair:02d}", world.road.recipe
    found = shadows(out, recipe, world.selection(), method=METHOD, models=count, seed=pair)
    read = {who: load_tables(score_place(at, pair, who)) for who in ARMS}
    own = {who: {role: tables[role] for role in ROLES} for who, tables in read.items()}
    left = {**found, UNLEARNED: found[LEARNED]}
    items = {case: PerItem({**own, **(left if case == TRAINED else found)}) for case in CASES}
    verdicts = {name: on_truths(name, items, pair) for name in names}
    write_json(place.with_name(f"{place.name}{COST}"), {"cpu": round(time.process_time() - begun, 2)})
    write_json(place, verdicts)
