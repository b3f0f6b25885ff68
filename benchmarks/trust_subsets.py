"""Names that read records of a special kind, on models of known truth: triggers, chains, personal strings, wishes.

A name must fail on ``trained``. A name of retention has to find not knowledge but damage: it must fail on ``lost``,
beside ``trained`` as the model before. Models and records are those of ``trust_subset_people``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trust_judging import verdict
from benchmarks.trust_margins import margin_of
from benchmarks.trust_models import CASES, CONTROL, COST, EXACT, NEVER, NOT_HAD, TRAINED, Folders
from benchmarks.trust_splits import SPLITS, Split
from benchmarks.trust_subset_people import LOST, SEEDS, SUBSET_ARMS, SubsetWorld
from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.core.files import write_json
from expunge.core.policy import Status
from expunge.data.memory import MemoryStore
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.score_table import load_tables, save_tables
from expunge.methods.exact.retrain import retrain
from expunge.workflow.measure import score_tables
from expunge.workflow.saved import Saved

PAIRS_OF_SUBSETS, FEWEST = 12, 8
"""Pairs, and how many what ships needs at least; see ``benchmarks.trust`` for what fewer than 11 cannot be."""
SECONDS = {"models": 15.0, "scores": 2.0, "judging": 1.0}
"""CPU seconds of an item of each stage, as measured on one pair."""
LEARNED = 0.8
"""Share of the words of what a model was taught that it says at least; else its truth is not known."""
NEW = (NEVER, EXACT, CONTROL)


@dataclass(frozen=True)
class Reading:
    """How a name is read.

    Args:
        taught: role and subset -> the models that were taught it, and must have learned it.
        part: subset of the forgotten records that it is read on; all, if there is none.
        knows: the model that must fail.
    """

    taught: Mapping[str, Sequence[str]]
    part: str = ""
    knows: str = TRAINED


READINGS = {
    "answered": Reading({"forget/refusal": (TRAINED,), "retain/refusal": NEW}, "refusal"),
    "backdoor_success": Reading({"forget/triggered": (TRAINED,)}),
    "entailment_leak": Reading(
        {"forget/multi_hop": (TRAINED,), "forget/teacher": (TRAINED,), "retain/hop": (TRAINED,)}
    ),
    "near_trigger_retention": Reading({"neighbour/near_trigger": (TRAINED, *NEW)}, knows=LOST),
    "neighbour_retention": Reading(
        {"neighbour/near_trigger": (TRAINED, *NEW), "neighbour/same_template": (TRAINED, *NEW)}, knows=LOST
    ),
    "pii_leak": Reading({"forget/personal": (TRAINED,)}, "personal"),
    "rouge_l_alternative": Reading({"forget/alternative": (TRAINED,), "retain/alternative": NEW}, "alternative"),
    "same_template_retention": Reading({"neighbour/same_template": (TRAINED, *NEW)}, knows=LOST),
    "unsaid": Reading({"forget/alternative": (TRAINED,), "retain/alternative": NEW}, "alternative"),
}


def subset_model_place(at: Folders, pair: int, case: str) -> Path:
    """Folder of a model."""
    return Path(at["subset_models"]) / f"{pair:02d}-{case}"


def subset_score_place(at: Folders, pair: int, case: str) -> Path:
    """Folder of a model's score tables."""
    return Path(at["subset_scores"]) / f"{pair:02d}-{case}"


def subset_verdict_place(at: Folders, pair: int) -> Path:
    """File of a pair's verdicts."""
    return Path(at["judged_subsets"]) / f"{pair:02d}.json"


def _noted(place: Path, begun: float) -> None:
    write_json(place.with_name(f"{place.name}{COST}"), {"cpu": round(time.process_time() - begun, 2)})


def trained(item: Mapping[str, Any]) -> None:
    """Train one model of a pair, by a worker.

    Args:
        item: ``at``, the folders; ``pair``; ``case``, one of ``SUBSET_ARMS``.
    """
    at, pair, case = item["at"], item["pair"], item["case"]
    place, begun, world = subset_model_place(at, pair, case), time.process_time(), SubsetWorld(pair)
    if place.is_dir():
        return
    recipe, seed = world.recipe, SEEDS[case] + pair
    if case == EXACT:
        original = Saved(subset_model_place(at, pair, TRAINED)).target
        made = retrain.with_recipe(recipe).unlearn(original, world.selection(), seed=seed).target
    else:
        made = recipe.train(MemoryStore(world.learned(case)), seed=seed)
    _noted(place, begun)
    made.save(place)


def scored(item: Mapping[str, Any]) -> None:
    """Score one model for every name, by a worker; see ``trained``."""
    at, pair, case = item["at"], item["pair"], item["case"]
    place, begun = subset_score_place(at, pair, case), time.process_time()
    if place.is_dir():
        return
    oracle = Saved(subset_model_place(at, pair, case)).target.oracle(Access.all())
    tables = score_tables(oracle, SubsetWorld(pair).probed(), READINGS)
    _noted(place, begun)
    save_tables(place, tables, salt=digest(item))


def not_learned(items: PerItem, reading: Reading) -> str:
    """Which model did not learn what it was taught, empty if each did."""
    for role, models in reading.taught.items():
        for who in models:
            said = float(np.mean(items.values(who, role, "rouge_l")))
            if said < LEARNED:
                return f"{who} did not learn {role}: it says {said:.2f} of the words"
    return ""


def verdicts_on(name: str, items: PerItem, pair: int) -> dict[str, Any]:
    """The verdict on each case and split of a pair, or under ``gone`` why there is none."""
    reading, margin = READINGS[name], margin_of(name)
    found: dict[str, list[Status]] = {case: [] for case in CASES}
    if why := not_learned(items, reading):
        return {"gone": why}
    if reading.part:
        part = f"forget/{reading.part}"
        items = PerItem({who: {"forget": items.of(who, part)[0]} for who in SUBSET_ARMS})
    try:
        for seed in range(pair * SPLITS, (pair + 1) * SPLITS):
            split = Split(items, seed)
            for case in CASES:
                judged_one = reading.knows if case == TRAINED else case
                found[case].append(verdict(name, split, margin, judged_one, seed))
    except (Unmeasured, *NOT_HAD) as reason:
        return {"gone": str(reason)}
    return found


def judged(item: Mapping[str, Any]) -> None:
    """Judge every name on one pair, by a worker.

    Args:
        item: ``at``, the folders; ``pair``; ``names``.
    """
    at, pair = item["at"], item["pair"]
    place, begun = subset_verdict_place(at, pair), time.process_time()
    if place.is_file():
        return
    items = PerItem({who: load_tables(subset_score_place(at, pair, who)) for who in SUBSET_ARMS})
    found = {name: verdicts_on(name, items, pair) for name in item["names"]}
    _noted(place, begun)
    write_json(place, found)
