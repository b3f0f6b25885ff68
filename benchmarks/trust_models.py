"""Models of known truth for the trust table: that learned the records, never saw them, or were retrained without.

Every pair has people of its own, and all five of its models were trained on them, so that pairs are independent.
Every function takes one JSON item, writes one folder, and does nothing where that is there: workers call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.attack import at_budget, run_attack
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError, StoreError, TargetError
from expunge.core.files import replace_folder, write_json
from expunge.core.measure import SHADOWS, Score, Statistic
from expunge.core.registry import attacks, metrics
from expunge.core.request import Records
from expunge.data.memory import MemoryStore
from expunge.evaluation.per_item import outcomes
from expunge.evaluation.score_table import save_tables
from expunge.methods.exact.retrain import retrain
from expunge.scoping.resolve import resolve
from expunge.workflow.demo import LEARNED, demo_road
from expunge.workflow.measure import score_tables
from expunge.workflow.saved import Saved

TRAINED, NEVER, EXACT, CONTROL, SECOND = "trained", "never", "retrained", "control", "second"
CASES = (TRAINED, NEVER, EXACT)
"""That are judged; beside them stand the control and a second one, which never saw the records either."""
ARMS = (*CASES, CONTROL, SECOND)
SEEDS = {TRAINED: 0, EXACT: 0, NEVER: 1000, CONTROL: 2000, SECOND: 3000}
FIRST = 300
"""Seed of the first people; the demo's settings were chosen on others."""
GIVEN_UP = "skipped.json"
NOT_HAD = (EvidenceError, StoreError, TargetError)
"""Why one pair has no number; another may."""


def corpus_of(pair: int) -> int:
    """The people of a pair, its own.

    >>> [corpus_of(pair) for pair in (0, 3, 4)]
    [300, 303, 304]
    """
    return FIRST + pair


@dataclass(frozen=True)
class World:
    """The data of a pair and how its models are trained.

    Args:
        pair: number of the pair.
    """

    pair: int

    @property
    def road(self) -> Any:
        """People, recipe and policy."""
        return demo_road(corpus_of(self.pair))

    def selection(self) -> Any:
        """What is forgotten and kept."""
        corpus = self.road.corpus
        return resolve(Records(*corpus.of("forget").ids), MemoryStore(corpus))


def seed_of(pair: int, case: str) -> int:
    """Seed of a model; that of the retrained is the seed of the one that it replaces.

    >>> [seed_of(7, case) for case in ("trained", "retrained", "never", "control")]
    [7, 7, 1007, 2007]
    """
    return SEEDS[case] + pair


def model_place(out: Path, pair: int, case: str) -> Path:
    """Folder of a model."""
    return out / "models" / f"{pair:02d}-{case}"


def trained(item: Mapping[str, Any]) -> None:
    """Train one model of a pair."""
    out, pair, case = Path(item["out"]), item["pair"], item["case"]
    place, world = model_place(out, pair, case), World(pair)
    if place.is_dir():
        return
    recipe, seed, selection = world.road.recipe, seed_of(pair, case), world.selection()
    if case == TRAINED:
        made = recipe.train(MemoryStore(world.road.corpus.of(*LEARNED)), seed=seed)
    elif case == EXACT:
        original = Saved(model_place(out, pair, TRAINED)).target
        made = retrain.with_recipe(recipe).unlearn(original, selection, seed=seed).target
    else:
        made = recipe.train(MemoryStore(selection.retain), seed=seed)
    made.save(place)


def attack_place(out: Path, pair: int, name: str, budget: str) -> Path:
    """Folder of an attack on all models of a pair."""
    return out / f"attacks-{budget}" / f"{pair:02d}-{name}"


def table_names() -> list[str]:
    """Metrics that a score table of this data holds all columns of, but not those that need shadow models."""
    found: list[str] = []
    for name, metric in metrics.items():
        if isinstance(metric, Statistic):
            if not any(model in SHADOWS for model, _, _ in metric.needs):
                found.append(name)
        elif isinstance(metric, Score) and not {"toxicity", "judged", "alternative"} & set(metric.needs):
            found.append(name)
    return found


def scored(item: Mapping[str, Any]) -> None:
    """Score one model for every metric, one pass a role."""
    out, pair, case = Path(item["out"]), item["pair"], item["case"]
    place = out / "scores" / f"{pair:02d}-{case}"
    if place.is_dir():
        return
    oracle = Saved(model_place(out, pair, case)).target.oracle(Access.all())
    save_tables(place, score_tables(oracle, World(pair).selection(), table_names()), salt=digest(item))


def attacked(item: Mapping[str, Any]) -> None:
    """Run one attack on all models of one pair; where it cannot be run, the reason stands in the place of tables.

    The model before unlearning, for the attacks that ask for it, is the trained one itself.
    """
    out, pair, name = Path(item["out"]), item["pair"], item["attack"]
    place = attack_place(out, pair, name, item["budget"])
    if place.is_dir():
        return
    selection = World(pair).selection()
    # What is near the forgotten people has no role of its own in this data.
    selection = replace(selection, neighbour=selection.kept[: len(selection.forget)])
    original = Saved(model_place(out, pair, TRAINED)).target.oracle(Access.all())
    attack, tables = at_budget(attacks.get(name), item["budget"]), {}
    try:
        for case in ARMS:
            oracle = Saved(model_place(out, pair, case)).target.oracle(Access.all())
            tables[case] = outcomes(run_attack(attack, oracle, selection, seed=pair, original=original))
    except NOT_HAD as error:
        with replace_folder(place) as fresh:
            write_json(fresh / GIVEN_UP, {"why": str(error)})
        return
    save_tables(place, tables, salt=digest(item))


def attack_names() -> Iterable[str]:
    """Every attack of the registry."""
    return attacks.names()
