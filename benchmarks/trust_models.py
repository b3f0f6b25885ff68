"""Models of known truth for the trust table: that learned the records, never saw them, or were retrained without.

Every pair has people of its own, and all five of its models were trained on them, so that pairs are independent.
Every function takes one JSON item, writes one folder, and does nothing where that is there: workers call them. The name
of a folder holds a digest of the code that what is in it hangs on, and of no other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.attack import at_budget, run_attack
from expunge.core.canonical import digest, digest_file, read_json
from expunge.core.errors import EvidenceError, MissingExtra, StoreError, TargetError
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
from expunge.workflow.shadows import CODE as SHADOW_CODE
from expunge.workflow.stages import RECIPE_CODE, code_digest, versions

TRAINED, NEVER, EXACT, CONTROL, SECOND = "trained", "never", "retrained", "control", "second"
CASES = (TRAINED, NEVER, EXACT)
"""That are judged; beside them stand the control and a second one, which never saw the records either."""
ARMS = (*CASES, CONTROL, SECOND)
SEEDS = {TRAINED: 0, EXACT: 0, NEVER: 1000, CONTROL: 2000, SECOND: 3000}
FIRST = 300
"""Seed of the first people; the demo's settings were chosen on others."""
MODELS = (*RECIPE_CODE, "scoping", "workflow/demo.py")
SCORED = (*MODELS, "metrics", "evaluation/per_item.py", "evaluation/score_table.py", "workflow/measure.py")
ATTACKED = (*SCORED, "attacks")
JUDGED = (*ATTACKED, "evaluation")
"""The code that a model, its score tables, the attacks on it and the verdicts hang on."""
Folders = Mapping[str, str]
LACKED = {
    "alternative": "these people have no alternative answers",
    "judged": "no judge fills its column here",
    "toxicity": "no scorer fills its column here",
}
"""Columns that no model fills -> why they are empty."""
GIVEN_UP, COST = "skipped.json", ".cost.json"
NOT_HAD = (EvidenceError, MissingExtra, StoreError, TargetError)
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

    def probed(self) -> Any:
        """What scores and attacks read: what is near the forgotten people has no role of its own in this data."""
        found = self.selection()
        return replace(found, neighbour=found.kept[: len(found.forget)])


def seed_of(pair: int, case: str) -> int:
    """Seed of a model; that of the retrained is the seed of the one that it replaces.

    >>> [seed_of(7, case) for case in ("trained", "retrained", "never", "control")]
    [7, 7, 1007, 2007]
    """
    return SEEDS[case] + pair


def folders(out: Path, budget: str) -> dict[str, str]:
    """Where all that is of one kind lies, under a name that holds the digest of what it hangs on.

    It is found once, by who gives the items to workers: code that is changed meanwhile must not move a folder.

    Args:
        out: folder of the run.
        budget: of the attacks.

    Returns:
        ``models``, ``scores``, ``attacks``, ``judged``, ``shadows``, ``judged_shadows``, ``subset_models``,
        ``subset_scores`` and ``judged_subsets`` -> path.
    """

    def named(kind: str, code: tuple[str, ...], *more: str) -> str:
        return f"{out}/{kind}-{digest([code_digest(*code), versions(), *more]).partition(':')[2][:12]}"

    def here(*parts: str) -> list[str]:
        return [digest_file(Path(__file__).with_name(f"trust_{part}.py")) for part in parts]

    judging = here("judging", "margins", "splits")
    subsets = here("subset_people")
    return {
        "models": named("models", MODELS),
        "scores": named("scores", SCORED),
        "attacks": named(f"attacks-{budget}", ATTACKED),
        "judged": named("judged", JUDGED, *judging),
        "shadows": named("shadows", (*MODELS, *SHADOW_CODE)),
        "judged_shadows": named("judged-shadows", (*JUDGED, *SHADOW_CODE), *judging, *here("shadows")),
        "subset_models": named("subset-models", MODELS, *subsets),
        "subset_scores": named("subset-scores", SCORED, *subsets, *here("subsets")),
        "judged_subsets": named("judged-subsets", JUDGED, *judging, *subsets, *here("subsets")),
    }


def model_place(at: Folders, pair: int, case: str) -> Path:
    """Folder of a model."""
    return Path(at["models"]) / f"{pair:02d}-{case}"


def score_place(at: Folders, pair: int, case: str) -> Path:
    """Folder of a model's score tables."""
    return Path(at["scores"]) / f"{pair:02d}-{case}"


def _noted(place: Path, begun: float) -> None:
    """Keep beside a folder how many CPU seconds it took, so that a run that was continued knows them all."""
    write_json(place.with_name(f"{place.name}{COST}"), {"cpu": round(time.process_time() - begun, 2)})


def cost_of(place: Path) -> float:
    """CPU seconds that a folder or a file took; 0 where it is not there."""
    kept = place.with_name(f"{place.name}{COST}")
    return float(read_json(kept)["cpu"]) if place.exists() and kept.is_file() else 0.0


def trained(item: Mapping[str, Any]) -> None:
    """Train one model of a pair."""
    at, pair, case = item["at"], item["pair"], item["case"]
    place, world = model_place(at, pair, case), World(pair)
    if place.is_dir():
        return
    begun = time.process_time()
    recipe, seed, selection = world.road.recipe, seed_of(pair, case), world.selection()
    if case == TRAINED:
        made = recipe.train(MemoryStore(world.road.corpus.of(*LEARNED)), seed=seed)
    elif case == EXACT:
        original = Saved(model_place(at, pair, TRAINED)).target
        made = retrain.with_recipe(recipe).unlearn(original, selection, seed=seed).target
    else:
        made = recipe.train(MemoryStore(selection.retain), seed=seed)
    _noted(place, begun)
    made.save(place)


def attack_place(at: Folders, pair: int, name: str) -> Path:
    """Folder of an attack on all models of a pair."""
    return Path(at["attacks"]) / f"{pair:02d}-{name}"


def unmeasured() -> dict[str, str]:
    """Metrics that cannot be read on these models, with the reason."""
    found: dict[str, str] = {}
    for name, metric in metrics.items():
        lacks = [LACKED[column] for column in LACKED if isinstance(metric, Score) and column in metric.needs]
        found |= {name: lacks[0]} if lacks else {}
    for name, metric in metrics.items():
        if not isinstance(metric, Statistic):
            continue
        lacks = [found[score] for _, _, score in metric.needs if score in found]
        if any(model in SHADOWS for model, _, _ in metric.needs):
            found[name] = "it reads shadow models, and none were trained in this run"
        elif metric.target is not None:
            found[name] = "it says how far a wish is met, and no model here was asked for one"
        elif not metric.needs:
            found[name] = "it is told what to read, and read against a floor"
        elif lacks:
            found[name] = lacks[0]
    return found


def table_names() -> list[str]:
    """Metrics that are read, though some of them may find nothing to read in this data."""
    lacking = unmeasured()
    return [name for name in metrics.names() if name not in lacking]


def scored(item: Mapping[str, Any]) -> None:
    """Score one model for every metric, one pass a role."""
    at, pair, case = item["at"], item["pair"], item["case"]
    place, begun = score_place(at, pair, case), time.process_time()
    if place.is_dir():
        return
    oracle = Saved(model_place(at, pair, case)).target.oracle(Access.all())
    tables = score_tables(oracle, World(pair).probed(), table_names())
    _noted(place, begun)
    save_tables(place, tables, salt=digest(item))


def attacked(item: Mapping[str, Any]) -> None:
    """Run one attack on all models of one pair; where it cannot be run, the reason stands in the place of tables.

    The model before unlearning, for the attacks that ask for it, is the trained one itself.
    """
    at, pair, name = item["at"], item["pair"], item["attack"]
    place, begun = attack_place(at, pair, name), time.process_time()
    if place.is_dir():
        return
    selection = World(pair).probed()
    original = Saved(model_place(at, pair, TRAINED)).target.oracle(Access.all())
    attack, tables = at_budget(attacks.get(name), item["budget"]), {}
    try:
        for case in ARMS:
            oracle = Saved(model_place(at, pair, case)).target.oracle(Access.all())
            tables[case] = outcomes(run_attack(attack, oracle, selection, seed=pair, original=original))
    except NOT_HAD as error:
        _noted(place, begun)
        with replace_folder(place) as fresh:
            write_json(fresh / GIVEN_UP, {"why": str(error)})
        return
    _noted(place, begun)
    save_tables(place, tables, salt=digest(item))


def attack_names() -> list[str]:
    """Every attack of the registry."""
    return attacks.names()
