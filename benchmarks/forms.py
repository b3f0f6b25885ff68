"""Requests as they come, on the demo's people: wishes, few examples, a wrong source, one after another, preferences.

Every number is kept on file as soon as it is known; the same command continues. Single-threaded on a quiet machine all
parts take about a quarter of an hour of processor time, half of it training.

    python -m benchmarks.forms --out runs/forms --page docs/results/forms.md
    python -m benchmarks.forms --parts few corrective
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from expunge.core.access import Access
from expunge.core.canonical import digest, read_json
from expunge.core.example import Examples
from expunge.core.files import write_json, write_text
from expunge.core.policy import judge
from expunge.core.registry import methods
from expunge.core.request import Records, Request
from expunge.core.seeds import keyed_order
from expunge.core.training import Training
from expunge.data.corpora.bad_source import bad_source, corrected
from expunge.data.memory import MemoryStore
from expunge.evaluation.assess import assess
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.sequence import Stage, chart, largest_return, lines
from expunge.objectives.prefer import prefer
from expunge.workflow.corrective import corrected_facts
from expunge.workflow.demo import LEARNED, demo_road
from expunge.workflow.measure import asked_by, attack_tables, score_tables
from expunge.workflow.preference import margins_against, withdrawal
from expunge.workflow.requests import unlearn_in_sequence
from expunge.workflow.road import ORIGINAL, REFERENCE, SECOND, Walk
from expunge.workflow.saved import Saved
from expunge.workflow.sequence import follow
from expunge.workflow.stages import TRAINING_CODE, code_digest
from expunge.workflow.verbs import policy_for, unlearn_selection

METHODS = ("npo", "calibrated_ascent", "grad_diff", "simnpo")
GIVEN = (1, 5, 20, 288)
SHARES = (0.1, 0.5, 1.0)
WISHED = ("refuse", "neutral")
REQUESTS, PEOPLE_A_REQUEST, STEPS_A_REQUEST = 10, 4, 40
SOURCE = 30
"""People about whom the wrong source speaks."""
PREFER: dict[str, Any] = {
    "loss": prefer.bind(beta=0.1),
    "training": Training(lr=5e-4, epochs=8, batch_size=24, warmup=0.05, decay="linear", betas=(0.9, 0.98)),
}
PAIRS = {"withdrawn": 120, "kept": 240, "unseen": 120}


class World:
    """A demo's people with an original and references, and what was found on them so far.

    Args:
        out: folder.
        seed: of people and models.
    """

    def __init__(self, out: Path, seed: int) -> None:
        self.out, self.seed = out, seed
        self.walk = Walk(replace(demo_road(seed), methods={}), out / f"world-{seed}")
        self.walk.pin()
        self.walk.train()
        self.selection, self.recipe = self.walk.selection, self.walk.road.recipe
        self.original, self.reference, self.second = (
            Saved(self.walk.out / name).target for name in (ORIGINAL, REFERENCE, SECOND)
        )
        self.known: dict[tuple[str, bool], Any] = {}

    def once(self, name: str, what: Any, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A finding, kept with the processor seconds that it took."""
        card = self.out / f"found-{self.seed}" / f"{name.replace(' ', '-')}.json"
        wanted = digest([what, self.walk.store.digest(), code_digest(*TRAINING_CODE, "evaluation", "workflow")])
        if card.exists() and (kept := read_json(card))["wanted"] == wanted:
            return kept
        started = time.process_time()
        found = {**find(), "wanted": wanted, "cpu_seconds": round(time.process_time() - started, 1)}
        write_json(card, found)
        return found

    def tables(self, name: str, target: Any, *, attacked: bool = False) -> dict[str, Any]:
        """The score tables of one of the models that never change, kept in memory; of any other, made anew."""
        key = (name, attacked)
        if key in self.known:
            return self.known[key]
        oracle, asked = target.oracle(Access.all()), [a for w in WISHED for a in asked_by(policy_for(w))]
        found = score_tables(oracle, self.selection, asked)
        if attacked:
            found |= attack_tables(oracle, self.selection, self.walk.road.budget, seed=self.seed)
        if name:
            self.known[key] = found
        return found

    def assessed(self, target: Any, policy: Any, *, attacked: bool = False) -> Any:
        """What a model comes to beside the original and the references."""
        models = {ORIGINAL: self.original, "reference": self.reference, "second": self.second}
        tables = {name: self.tables(name, model, attacked=attacked) for name, model in models.items()}
        tables["model"] = self.tables("", target, attacked=attacked)
        return assess(PerItem(tables), policy, draws=1000, seed=self.seed)


def wishes(world: World) -> list[str]:
    """Two methods set to two wishes, judged by the policy of the wish."""
    rows = [f"{'method':<18} {'wish':<8} {'answered':>9} {'refused unseen':>15} {'ROUGE-L':>8} {'utility':>8}  verdict"]
    for wish in WISHED:
        for name in METHODS[:2]:

            def find(wish: Any = wish, name: str = name) -> dict[str, Any]:
                outcome = unlearn_selection(world.original, world.selection, name, seed=world.seed, wish=wish)
                found = world.assessed(outcome.target, policy_for(wish), attacked=True)
                verdict = judge(policy_for(wish), found.assessment)
                return {"cells": found.cells, "status": verdict.status, "reason": verdict.reason}

            kept = world.once(f"wish {wish} {name}", [wish, methods.get(name).digest()], find)
            shown = [_cell(kept, key) for key in ("answered", "refused_unseen", "rouge_l", "model_utility")]
            reason = f": {kept['reason']}" if kept["reason"] else ""
            rows.append(f"{name:<18} {wish:<8} {shown[0]:>9} {shown[1]:>15} {shown[2]:>8} {shown[3]:>8}  "
                        f"{kept['status']}{reason}")  # fmt: skip
    return rows


def few(world: World) -> list[str]:
    """Each method given 1, 5, 20 and all forgotten records, measured on all."""
    heads = ("KS D", "min-k AUC", "probability", "utility")
    rows = [f"{'method':<18} {'given':>5} " + " ".join(f"{head:>22}" for head in heads)]
    policy = world.walk.road.policy
    for name in METHODS:
        for given in GIVEN:

            def find(name: str = name, given: int = given) -> dict[str, Any]:
                outcome = unlearn_selection(world.original, world.selection, name, seed=world.seed, given=given)
                return {"cells": world.assessed(outcome.target, policy).cells}

            kept = world.once(f"few {name} {given}", [given, methods.get(name).digest()], find)
            cells = (kept["cells"][key] for key in ("ks", "min_k_auc", "probability", "model_utility"))
            rows.append(f"{name:<18} {given:>5} " + " ".join(f"{_interval(cell):>22}" for cell in cells))
    return rows


def sequence(world: World) -> list[str]:
    """Ten requests of four people one after another, everything measured after each."""
    people = sorted(set(world.selection.forget.subjects))
    asked = [people[i] for i in keyed_order(people, world.seed, "requests")[: REQUESTS * PEOPLE_A_REQUEST]]
    requests = [
        Request(f"request {k}", Records(*(e.record_id for e in world.selection.forget if e.subject in named)))
        for k in range(REQUESTS)
        if (named := set(asked[k * PEOPLE_A_REQUEST : (k + 1) * PEOPLE_A_REQUEST]))
    ]
    rows: list[str] = []
    for name in METHODS:
        method = methods.get(name).with_settings({"steps": STEPS_A_REQUEST})

        def find(method: Any = method, name: str = name) -> dict[str, Any]:
            answers = unlearn_in_sequence(world.original, requests, method, world.walk.store, seed=world.seed)
            found = follow(world.original, answers, seed=world.seed)
            drawn = str(chart(found, title=f"Ten requests one after another, {name.replace('_', ' ')}"))
            return {"lines": lines(found), "returned": largest_return(found), "last": _last(found), "chart": drawn}

        kept = world.once(f"sequence {name}", [method.digest(), STEPS_A_REQUEST, REQUESTS, PEOPLE_A_REQUEST], find)
        rows += [f"{name}, {STEPS_A_REQUEST} steps a request", *kept["lines"], ""]
    return rows


def _last(found: list[Stage]) -> dict[str, float]:
    ends = {"forgotten": found[-1].forgotten, "unseen": found[-1].unseen, "utility": found[-1].utility}
    return {name: estimate.value for name, estimate in ends.items() if estimate is not None}


def corrective(world: World) -> list[str]:
    """Wrong facts about thirty kept people: a tenth, half or all of the wrong records are known."""
    right = Examples(e for e in world.selection.kept)
    source = bad_source(right, SOURCE, seed=world.seed)
    learned = Examples([*world.walk.road.corpus.of(*LEARNED), *source])
    misled = _kept_model(world, "misled", learned)
    selection = replace(world.selection, forget=source, retain=world.walk.road.corpus.of(*LEARNED))
    rows = [f"{'method':<18} {'known':>6} {'right':>8} {'wrong':>8} {'accuracy':>9}"]

    def told(name: str, what: Any, target: Callable[[], Any], label: str) -> None:
        kept = world.once(f"corrective {name}", what, lambda: vars(corrected_facts(target(), right, source)))
        rows.append(f"{label} {kept['right']:>8.3f} {kept['wrong']:>8.3f} {kept['accuracy']:>9.3f}")

    told("misled", "misled", lambda: misled, f"{'original':<18} {'':>6}")
    told("clean", "clean", lambda: world.original, f"{'without the source':<18} {'':>6}")
    for name in METHODS:
        for share in SHARES:
            asked = corrected(replace(selection, forget=source), source, share, seed=world.seed)

            def corrected_model(name: str = name, asked: Any = asked) -> Any:
                return unlearn_selection(misled, asked, name, seed=world.seed).target

            what = [methods.get(name).digest(), share, SOURCE]
            told(f"{name} {share:g}", what, corrected_model, f"{name:<18} {share:>6.0%}")
    return rows


def preferences(world: World) -> list[str]:
    """Pairs that a preference fine-tune learned, some of them withdrawn, beside a fine-tune without those."""
    pairs = Examples(replace(e, alternative_answer=e.perturbed_answer[0]) for e in world.selection.holdout)
    order = keyed_order(pairs.ids, world.seed, "pairs")
    parts: dict[str, Examples] = {}
    for role, count in PAIRS.items():
        parts[role], order = Examples(pairs[i] for i in order[:count]), order[count:]

    recipe = replace(world.recipe, base=str(world.walk.out / ORIGINAL), **PREFER)

    def find() -> dict[str, Any]:
        tuned = recipe.train(MemoryStore(parts["withdrawn"] + parts["kept"]), seed=world.seed)
        never = recipe.train(MemoryStore(parts["kept"]), seed=world.seed + 1)
        roles = {"forget": parts["withdrawn"], "retain": parts["kept"], "holdout": parts["unseen"]}
        selection = replace(world.selection, general=Examples(), **roles)
        reversed_ = unlearn_selection(tuned, selection, withdrawal(), seed=world.seed).target
        models = {"fine-tuned": tuned, "withdrawn": reversed_, "without them": never}
        return {"rows": {n: vars(margins_against(m, world.original, never, parts)) for n, m in models.items()}}

    kept = world.once("preferences", [recipe.digest(), PAIRS, withdrawal().digest()], find)
    heads = ("withdrawn", "kept", "unseen", "AUC", "KS D")
    rows = [f"{'model':<14} " + " ".join(f"{head:>10}" for head in heads)]
    keys = ("withdrawn", "kept", "unseen", "auc", "ks")
    return rows + [f"{n:<14} " + " ".join(f"{row[key]:>10.3f}" for key in keys) for n, row in kept["rows"].items()]


def _kept_model(world: World, name: str, learned: Examples) -> Any:
    """A model that is trained once and kept."""
    from expunge.engine.kept_model import kept_model

    def make() -> tuple[Any, dict[str, Any]]:
        return world.recipe.train(MemoryStore(learned), seed=world.seed), {}

    wanted = digest([name, learned.digest(), world.recipe.digest(), code_digest(*TRAINING_CODE)])
    return kept_model(world.out / f"model-{name}", wanted, make)[0]


def _cell(kept: dict[str, Any], key: str) -> str:
    value = kept["cells"].get(key, {}).get("value")
    return "-" if value is None else f"{value:.2f}"


def _interval(cell: dict[str, Any]) -> str:
    return "-" if cell["value"] is None else f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


PARTS: dict[str, tuple[str, Callable[[World], list[str]]]] = {
    "few": ("Few examples: given k of 288 records, measured on all 288", few),
    "sequence": ("Ten requests one after another, four people each", sequence),
    "corrective": (
        "Corrective: 180 wrong records beside the right ones; the share that is known is forgotten",
        corrective,
    ),
    "wishes": ("Wishes: judged by the policy of the wish", wishes),
    "preferences": ("Preference pairs withdrawn: implicit reward margins", preferences),
}
NOTES = """The demo's kind of people, with a seed that neither the demo nor the search uses. Settings are each
method's defaults, which were found with all 288 records given at once; nothing was tuned here. Few examples: KS D,
AUC and probability are over all forgotten records, so that what was not given counts. One after another:
probabilities are of the answers of the requests that were answered so far, and of those that were not yet.
Corrective: `right` and `wrong` are mean probabilities of the right and the wrong answers to all 180 questions; the
part of the wrong source that is not known is among what is retained. The right answer comes back in that it is the
more probable one again (`accuracy`), for most questions where the whole source is known, hardly where a tenth is; its
own probability, which was high beside the wrong one, falls in every row, for both answer the same question. Wishes:
no verdict is `earned`; a model that learned to refuse also refuses four in ten questions about people whom it never
saw. Preferences: `AUC` tells withdrawn pairs from pairs that were never seen, `KS D` is the distance of the withdrawn
pairs' margins to those of the fine-tune without them."""


def main() -> None:
    """Run the parts, resumable, and print what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/forms"))
    parser.add_argument("--seed", type=int, default=311)
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--page", type=Path, help="also write the tables to this page, and the chart beside it")
    given = parser.parse_args()
    world = World(given.out, given.seed)
    found: list[str] = []
    for name in given.parts:
        title, part = PARTS[name]
        rows = [title, "", *part(world), ""]
        print("\n".join(rows), flush=True)
        found += rows
    spent = sum(read_json(p)["cpu_seconds"] for p in (given.out / f"found-{given.seed}").glob("*.json"))
    found.append(f"{spent:.0f} processor seconds beside the training of the original and its references")
    if given.page:
        drawn = given.page.with_name("forms-sequence.svg")
        write_text(drawn, read_json(given.out / f"found-{given.seed}" / "sequence-npo.json")["chart"] + "\n")
        command = "python -m benchmarks.forms " + " ".join(sys.argv[1:])
        notes = f"{NOTES}\n\n![Ten requests one after another]({drawn.name})"
        data = world.walk.store.digest()
        title = "Requests as they come"
        write_result(given.page, title=title, command=command, data=data, body="\n".join(found), notes=notes)


if __name__ == "__main__":
    main()
