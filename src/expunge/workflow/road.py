"""One road from a corpus to certificates: train, forget, measure, judge, certify. Every stage is done once.

The demo and the benches walk the same road with other corpora, recipes and methods.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.core.counting import counting
from expunge.core.evidence import Replay
from expunge.core.example import ROLES, Examples
from expunge.core.files import write_bytes, write_json
from expunge.core.outcome import Cost, Outcome, Overlay
from expunge.core.policy import Policy
from expunge.core.progress import report
from expunge.core.request import Records, Request
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.evaluation.score_table import load_tables, save_tables
from expunge.scoping.resolve import resolve
from expunge.workflow.asked import REQUEST, keep_request, kept_request, require_unpurged
from expunge.workflow.logged import planned
from expunge.workflow.measure import SCORES, asked_by, attack_tables, columns_for, score_tables, scores_of
from expunge.workflow.saved import Saved
from expunge.workflow.stages import RECIPE_CODE, TRAINING_CODE, Stages, code_digest, versions

SCORING = ("evaluation", "workflow")
ORIGINAL, REFERENCE, SECOND = "original", "retrained", "second_reference"


@dataclass(frozen=True)
class Road:
    """What to walk.

    Args:
        name: of the run.
        title: of the report.
        corpus: examples with roles; those of ``learned`` roles are trained on.
        learned: roles that the original learns.
        recipe: how originals and references are made.
        methods: key -> method; ``retrained`` is not among them.
        policy: judged by.
        budget: attack name -> attack.
        basis: ground of the request.
        seed: the original's; the references take the next two.
        facts: more about the run, for the report.
        threads: that the models' size makes the engine use.
    """

    name: str
    title: str
    corpus: Examples
    learned: tuple[str, ...]
    recipe: Any
    methods: Mapping[str, Any]
    policy: Policy
    budget: Mapping[str, Any]
    basis: str
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    threads: int = 1

    @property
    def labels(self) -> dict[str, str]:
        """Key -> name in the table."""
        fixed = {
            ORIGINAL: "original",
            REFERENCE: "retrained (the reference)",
            SECOND: "second reference (against the first)",
        }
        return {**fixed, **{key: key.replace("_", " ") for key in self.methods}}


class Walk:
    """A road being walked in a folder.

    Args:
        road: what to walk.
        out: folder of the run.
    """

    def __init__(self, road: Road, out: Path) -> None:
        self.road, self.out = road, out
        facts = {"versions": versions(), "threads": road.threads, "seed": road.seed}
        self.stages = Stages(out, digest({**facts, "code": code_digest(*TRAINING_CODE)}))
        # A new method or attack is no reason to train originals and references again.
        self.recipes = Stages(out, digest({**facts, "code": code_digest(*RECIPE_CODE)}))
        self.store = MemoryStore(road.corpus)
        self.request = self._request()
        unseen = tuple(role for role in ROLES if role not in road.learned)
        self.selection = resolve(self.request.scope, self.store, never_learned=unseen)
        self.outcomes: dict[str, Outcome[Saved] | Overlay[Saved]] = {}
        self.costs: dict[str, Cost] = {}

    def _request(self) -> Request:
        """The request, kept between runs: its salt is drawn once."""
        require_unpurged(self.out)
        scope = Records(*self.road.corpus.of("forget").ids)
        if (self.out / REQUEST).exists() and (kept := kept_request(self.out)).scope == scope:
            return kept
        request = Request(subject="the forget people", scope=scope, basis=self.road.basis)
        keep_request(self.out, request)
        return request

    def pin(self) -> None:
        """Write and log the plan, and the corpus, before anything runs: policy, methods and seeds are fixed here."""
        write_bytes(self.out / "corpus.jsonl", dump_examples(self.road.corpus))
        write_json(
            self.out / "plan.json",
            {
                "policy": {"name": self.road.policy.name, "digest": digest(self.road.policy)},
                "methods": {key: method.digest() for key, method in self.road.methods.items()},
                "recipe": self.road.recipe.digest(),
                "attacks": {key: attack.digest() for key, attack in self.road.budget.items()},
                "seeds": {"original": self.road.seed, "reference": self.road.seed + 1, "second": self.road.seed + 2},
                "data": digest([self.request.salt, self.store.digest()]),
                "request": self.request.commitment,
            },
        )
        planned(self.out, self.request.id)

    def train(self) -> None:
        """The original, the reference by the method ``Retrain``, and the second reference."""
        from expunge.methods.exact.retrain import retrain

        road = self.road
        learned = MemoryStore(road.corpus.of(*road.learned))
        self._trained(ORIGINAL, lambda work: road.recipe.train(learned, seed=road.seed, stage=ORIGINAL, workdir=work))
        method = retrain.with_recipe(road.recipe)
        for key, seed in ((REFERENCE, road.seed + 1), (SECOND, road.seed + 2)):
            self._forgot(key, method, seed, self.recipes)

    def _trained(self, key: str, make: Callable[[Path], Any]) -> None:
        def build() -> dict[str, Any]:
            from expunge.engine.spent import cost_of_training, start_counting

            start_counting()
            started = time.perf_counter()
            with counting() as counted:
                target = make(self._work(key))
            target.save(self.out / key)
            return cost_of_training(None, target, counted, seconds=time.perf_counter() - started).told()

        inputs = {"recipe": self.road.recipe.digest(), "data": self.store.digest(), "learned": list(self.road.learned)}
        self.costs[key] = Cost.read(self.recipes.do(key, inputs, [key], build))
        shutil.rmtree(self._work(key), ignore_errors=True)

    def _work(self, key: str) -> Path:
        return self.out / ".work" / key

    def forget(self) -> None:
        """Every method, on the original."""
        for key, method in self.road.methods.items():
            self._forgot(key, method, self.road.seed, self.stages)

    def _forgot(self, key: str, method: Any, seed: int, stages: Stages) -> None:
        original, selection = Saved(self.out / ORIGINAL), self.selection

        def build() -> dict[str, Any]:
            work = self._work(key)
            outcome = method.unlearn(original.target, selection, seed=seed, workdir=work)
            outcome.target.save(self.out / key)
            replay = getattr(outcome, "replay", None)
            return {
                "method": outcome.method,
                "overlay": isinstance(outcome, Overlay),
                "cost": outcome.cost.told(),
                "replay_data": replay.data if replay else "",
                "notes": outcome.notes,
            }

        inputs = {"method": method.digest(), "before": original.digest(), "data": selection.digest(), "seed": seed}
        done = stages.do(key, inputs, [key], build)
        # Only now: a kill before the stage is noted then finds the checkpoint again.
        shutil.rmtree(self._work(key), ignore_errors=True)
        self.costs[key] = cost = Cost.read(done["cost"])
        shared: dict[str, Any] = {
            "before": original.digest(),
            "method": done["method"],
            "recipe": method.digest(),
            "selection": selection,
            "seed": seed,
            "cost": cost,
            "notes": done["notes"],
        }
        if done["overlay"]:
            guard = Saved(self.out / key, inner=original)
            self.outcomes[key] = Overlay(target=guard, base=original, **shared)
            return
        saved = Saved(self.out / key)
        replay = Replay(original.digest(), saved.digest(), done["replay_data"]) if done["replay_data"] else None
        self.outcomes[key] = Outcome(target=saved, original=original, claim=method.claim, replay=replay, **shared)

    def measure(self) -> dict[str, dict[str, Any]]:
        """Score every model and attack it; returns key -> role or attack -> table."""
        keys = [ORIGINAL, *self.outcomes]
        tables: dict[str, dict[str, Any]] = {}
        for number, key in enumerate(keys):
            report("measuring", number, len(keys), self.road.labels[key])
            tables[key] = self.measured(key)
        report("measuring", len(keys), len(keys))
        return tables

    def measured(self, key: str) -> dict[str, Any]:
        """Score and attack one model; returns role or attack -> table."""
        target = Saved(self.out / ORIGINAL) if key == ORIGINAL else self.outcomes[key].target
        folder, asked = f"scores/{key}", asked_by(self.road.policy)

        def build() -> None:
            oracle = target.oracle(Access.all())
            found = score_tables(oracle, self.selection, asked)
            first = Saved(self.out / ORIGINAL).target.oracle(Access.all())
            attack = {"seed": self.road.seed, "original": first}
            found |= attack_tables(oracle, self.selection, self.road.budget, **attack)
            save_tables(self.out / folder, found, salt=digest([self.request.salt, folder]))

        attacks = {name: attack.digest() for name, attack in self.road.budget.items()}
        inputs = {"target": target.digest(), "data": self.store.digest(), "attacks": attacks, "seed": self.road.seed}
        columns = {role: columns_for(scores_of(role, asked), Access.all()) for role in SCORES}
        self.stages.do(f"scores-{key}", {**inputs, "columns": columns, "code": code_digest(*SCORING)}, [folder], build)
        return load_tables(self.out / folder)
