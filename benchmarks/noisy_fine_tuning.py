"""What an assumption-free certificate costs a language model: noisy fine-tuning on people of the demo.

A public base learns people and facts that nobody asks about. Fine-tuned from it on the people to forget and to retain
is the original, once with all weights and once with an adapter, merged; on those to retain alone, the retrained model
that all are compared with. Then the original forgets: clipped to a ball about the base, noisy steps, and steps without
noise, the repair. Two ways without noise stand beside: the same repair from the base, which is a retraining and exact,
and from the original, which claims nothing.

    python -m benchmarks.noisy_fine_tuning --page docs/results/noisy-fine-tuning.md
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.example import Examples
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.engine.finetune import FineTune, finetune
from expunge.engine.score import score
from expunge.methods.certified.noisy_fine_tuning import NoisyFineTuning, noisy_fine_tuning
from expunge.targets.llama_spec import LlamaSpec

PEOPLE = {"forget": 12, "retain": 36, "validation": 36, "holdout": 24, "general": 48}
SHAPE = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 4, "inner": 120, "context": 64}
BASE = Training(lr=3e-3, steps=300, batch_size=32, warmup=0.05, decay="cosine", weight_decay=0.1)
TUNED = replace(BASE, lr=2e-3, steps=250)
ADAPTER = Adapter(
    r=16, alpha=32.0, targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
)
ADAPTED = replace(TUNED, lr=1e-2, steps=500, weight_decay=0.0)
ADAPTED_WEIGHTS = r".*_proj\.weight"
EPSILONS = (1.0, 10.0, 100.0)
RADII = (0.01, 1.0)
SCORES = ("probability", "truth_score", "truth_ratio", "min_k")
COMPONENTS = tuple((role, name) for role in ("retain", "general") for name in ("probability", "truth_score"))


@dataclass(frozen=True)
class World:
    """Models and records.

    Args:
        base: public, and its folder.
        folder: of the base.
        original: that knows whom it should forget.
        retrained: from the base without them.
        selection: who is forgotten and retained.
        trainable: of the original, what was trained on them.
    """

    base: Any
    folder: str
    original: Any
    retrained: Any
    selection: Selection
    trainable: str


NOTES = """Fictitious people of the demo, a smaller model, one seed.
[What is done, and why it costs this](../noisy_fine_tuning.md).
Utility: harmonic mean over probability and truth score of retained people and of facts. Retain, forget, unseen: mean
probability a token of their answers. D: distance of the truth ratios of forgotten people to those of the retrained
model. AUC: Min-K% between forgotten and never-seen people. |noise|: how far the noise moves the weights; delta is 1e-5.
The original knows whom it should forget; base + repair never saw them. Rows from the base put it in the original's
place: epsilon bounds how far apart the distributions of the two are. The noise is drawn anew each time, so that the
noisy rows differ from run to run."""
MEASURED = ("accounting", "core", "data", "engine", "methods", "metrics", "objectives", "ops", "targets")


def corpus(seed: int) -> Examples:
    """People and facts; those of the role validation are the base's."""
    from expunge.data.corpora.fictitious_people import people
    from expunge.data.rows import to_example

    return Examples(to_example(row, where=f"generated row {i}") for i, row in enumerate(people(seed, **PEOPLE)))


def worlds(folder: Path, *, seed: int, short: bool) -> Iterator[tuple[str, World]]:
    """What was trained -> the models; all weights first."""
    from expunge.data.corpora.fictitious_people import vocabulary
    from expunge.data.memory import MemoryStore

    who, steps = corpus(seed), {"steps": 4} if short else {}
    public, forget, kept = who.of("validation", "general"), who.of("forget"), who.of("retain", "general")
    recipe = FineTune(LlamaSpec(tuple(vocabulary()), **SHAPE), replace(BASE, **steps))
    base = recipe.train(MemoryStore(public), seed=seed)
    base.save(folder / "base")
    selection = Selection(forget=forget, retain=kept, holdout=who.of("holdout"), general=who.of("general"))
    ways: dict[str, tuple[Training, Adapter | None, str]] = {
        "all weights": (TUNED, None, ""),
        "an adapter": (ADAPTED, ADAPTER, ADAPTED_WEIGHTS),
    }
    for name, (training, adapter, trainable) in ways.items():
        training = replace(training, **steps)

        def tuned(on: Examples, own: int, how: Training = training, adapter: Adapter | None = adapter) -> Any:
            return finetune(base.oracle(Access.FINETUNE), on, how, seed=own, adapter=adapter)

        models = tuned(Examples([*forget, *kept]), seed + 1), tuned(kept, seed + 2)
        yield name, World(base, str(folder / "base"), models[0], models[1], selection, trainable)


def measured(target: Any, world: World) -> dict[tuple[str, str], Any]:
    """Scores by role and name."""
    from expunge.core.registry import metrics

    chosen = {name: metrics.get(name) for name in SCORES}
    needs = [need for metric in chosen.values() for need in metric.needs]
    roles = {"forget": world.selection.forget, "holdout": world.selection.holdout}
    roles |= {"general": world.selection.general, "retain": world.selection.retain.of("retain")}
    tables = {role: score(target, examples, needs) for role, examples in roles.items()}
    return {(role, name): metric.of(table) for role, table in tables.items() for name, metric in chosen.items()}


def row(name: str, target: Any, world: World, reference: dict[Any, Any], **more: Any) -> dict[str, Any]:
    """What a model knows."""
    from expunge.core.registry import metrics

    found = measured(target, world)
    of_model = {("model", *key): value for key, value in found.items()}
    of_model["reference", "forget", "truth_ratio"] = reference["forget", "truth_ratio"]
    utility = {key: value for key, value in of_model.items() if key[0] == "model" and key[1:] in COMPONENTS}
    return {
        "way": name,
        "utility": float(metrics.get("model_utility")(utility)),
        "retain": float(found["retain", "probability"].mean()),
        "forget": float(found["forget", "probability"].mean()),
        "unseen": float(found["holdout", "probability"].mean()),
        "D": float(metrics.get("forget_quality")(of_model)),
        "auc": float(metrics.get("min_k_auc")(of_model)),
        **more,
    }


def methods(world: World, repair: int) -> Iterator[NoisyFineTuning]:
    """Both modes at every epsilon and radius, one in blocks, and one without repair."""
    told = {"centre": world.folder, "trainable": world.trainable, "batch_size": 32, "repair_lr": TUNED.lr}
    for radius in RADII:
        for mode in ("gradient", "model"):
            for epsilon in EPSILONS:
                made = replace(noisy_fine_tuning, mode=mode, epsilon=epsilon, radius=radius, gradient_clip=radius)
                yield replace(made, repair_steps=repair, **told)
    bare = replace(noisy_fine_tuning, epsilon=EPSILONS[-1], radius=RADII[0], gradient_clip=RADII[0], **told)
    yield replace(bare, blocks=4, radius=RADII[0] / 2, gradient_clip=RADII[0] / 2, repair_steps=repair)
    yield bare


def rows(*, seed: int, repair: int, short: bool) -> Iterator[dict[str, Any]]:
    """One row a model."""
    with tempfile.TemporaryDirectory() as folder:
        for trained, world in worlds(Path(folder), seed=seed, short=short):
            reference = measured(world.retrained, world)

            known = {"the original": world.original, "the public base": world.base, "retrained": world.retrained}
            for name, target in known.items():
                yield row(name, target, world, reference, trained=trained)
            patterns = (world.trainable,) if world.trainable else ()
            plain = Training(lr=TUNED.lr, steps=repair, batch_size=32, trainable=patterns)
            for name, start in (("base + repair (exact)", world.base), ("original + repair", world.original)):
                oracle = start.oracle(Access.FINETUNE)
                found = finetune(oracle, world.selection.retain, plain, seed=seed)
                yield row(name, found, world, reference, trained=trained)
            every = list(methods(world, repair))
            asked = [("", world.original, method) for method in every]
            asked += [(", from the base", world.base, method) for method in (every[0], every[-3])]
            for end, start, method in asked:
                since = time.process_time()
                done = method.unlearn(start, world.selection, seed=seed)
                name = f"{method.mode}, radius {method.radius:g}" + (f", {method.blocks} blocks" * (method.blocks > 1))
                name += end if method.repair_steps else ", no repair"
                more: dict[str, Any] = {"cpu_seconds": time.process_time() - since, "trained": trained}
                more |= {"epsilon": method.epsilon, "delta": method.delta, "noise": done.notes["noise_norm"]}
                yield row(name, done.target, world, reference, **more)


def line(found: dict[str, Any]) -> str:
    """One row as printed."""
    certified = f"{found['epsilon']:7g} {found['noise']:8.2f}" if "epsilon" in found else f"{'':7} {'':8}"
    known = " ".join(f"{found[name]:7.3f}" for name in ("utility", "retain", "forget", "unseen", "D", "auc"))
    return f"{found['way']:<34} {certified} {known}"


def head(found: dict[str, Any]) -> str:
    """What stands over the rows of one way of fine-tuning."""
    names = " ".join(f"{name:>7}" for name in ("utility", "retain", "forget", "unseen", "D", "AUC"))
    return f"{'fine-tuned: ' + found['trained']:<34} {'epsilon':>7} {'|noise|':>8} {names}"


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repair", type=int, default=60, help="steps without noise")
    parser.add_argument("--short", action="store_true", help="train next to nothing: only to see that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", help="write the result page here")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    lines: list[str] = []
    for each in rows(seed=given.seed, repair=given.repair, short=given.short):
        new = not found or found[-1]["trained"] != each["trained"]
        found.append(each)
        lines += [*([head(each)] if new else []), line(each)]
        if not given.json:
            print(*lines[-2 if new else -1 :], sep="\n", flush=True)
    if given.json:
        print(json.dumps(found, indent=1))
    if given.page:
        told: dict[str, Any] = {"title": "Noisy fine-tuning of a language model", "notes": NOTES, "measured": MEASURED}
        command = f"python -m benchmarks.noisy_fine_tuning --seed {given.seed} --repair {given.repair}"
        made_of = f"the demo's people of seed {given.seed}"
        write_result(Path(given.page), command=command, data=made_of, body="\n".join(lines), **told)


if __name__ == "__main__":
    main()
