"""DP-LoRA on fictitious people: what it keeps of its use, and what membership attacks find, beside what was promised.

A model that has met every word and none of the people, and was taught to answer each question as another one should
be, is fine-tuned on what some of them would be asked. Whether a record is in is drawn by itself: for unit ``record``
for each record, for unit ``subject`` for each person with all records, and then an attack scores a person by the mean
over them. So the bound is about the very game that is played. Use is the probability of the right answers about people
who are in neither. Settings were chosen on other people (seed 1) than those of the page (seed 0).

A bound is on what is expected. An attack that comes out above one by more than chance says that noise, account or
implementation is wrong; so whatever is above is named on stderr and the command exits 1.

    python -m benchmarks.private_lm --out runs/certified
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.accounting.attacker import best_auc, best_true_positive_rate
from expunge.accounting.subsampled import sampled_sigma
from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.evidence import Estimate
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.measure import Key, Statistic
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.data.rows import to_example
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.bootstrap import estimate
from expunge.metrics._resamples import weight_of

FILE = "dp_lora.json"
PEOPLE, OTHERS, ELSEWHERE = 240, 60, 1000
SHAPE = {"hidden": 128, "layers": 3, "heads": 4, "kv_heads": 4, "inner": 240, "context": 64}
BASE = Training(lr=1.5e-3, steps=400, batch_size=32, warmup=0.05, decay="cosine", betas=(0.9, 0.98), weight_decay=0.4)
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER = Adapter(r=16, alpha=32.0, targets=LAYERS)
EPSILONS, DELTA = (1.0, 4.0, 8.0, math.inf), 1e-4
RATE, STEPS, CLIP = 0.1, 150, 0.5
LR = 2e-3
EPOCHS, BATCH = 50, 32
ALARMS = 0.01
SCORES = ("loss", "min_k", "min_k_plus_plus", "zlib_ratio")
DRAWS = 400
Unit = Literal["record", "subject"]


@dataclass(frozen=True)
class World:
    """Records that are in and out, others that judge the use, and the folder of a model that knows none of them."""

    inside: Examples
    outside: Examples
    others: Examples
    base: str


def world(seed: int, unit: Unit, base: str) -> World:
    """Each unit is in or out by a coin of its own."""
    from expunge.data.corpora.fictitious_people import people

    rows = people(seed, **_counts())
    every = Examples(to_example(row, where=f"generated row {i}") for i, row in enumerate(rows))
    drawn: dict[str, bool] = {}
    coin = random.Random(f"{seed}/{unit}")
    for e in every.of("retain"):
        drawn.setdefault(e.record_id if unit == "record" else e.subject, coin.random() < 0.5)
    told = {e.record_id: drawn[e.record_id if unit == "record" else e.subject] for e in every.of("retain")}
    inside, outside = (Examples(e for e in every.of("retain") if told[e.record_id] is side) for side in (True, False))
    return World(inside, outside, every.of("validation"), base)


def train_base(seed: int, folder: Path) -> str:
    """A model that has met every word, and nobody whom it will be asked about: other people, each of whose questions is
    answered as the next one should be."""
    from expunge.data.corpora.fictitious_people import people, vocabulary
    from expunge.engine.finetune import FineTune
    from expunge.targets.llama_spec import LlamaSpec

    asked = {row["subject"] for row in people(seed, **_counts())}
    rows = [row for row in people(seed + ELSEWHERE, **_counts()) if row["subject"] not in asked]
    each = len({row["relation"] for row in rows})
    nexts = [rows[at - at % each + (at + 1) % each] for at in range(len(rows))]
    wrong = [{**row, "answer": other["answer"], "role": "retain"} for row, other in zip(rows, nexts, strict=True)]
    records = Examples(to_example(row, where=f"row {i} of the base") for i, row in enumerate(wrong))
    FineTune(LlamaSpec(tuple(vocabulary()), **SHAPE), BASE).train(MemoryStore(records), seed=seed).save(folder)
    return str(folder)


def _counts() -> dict[str, int]:
    return {"forget": 0, "retain": PEOPLE, "validation": OTHERS, "holdout": 0, "general": 0}


def trained(where: World, epsilon: float, unit: Unit, *, seed: int) -> tuple[Any, dict[str, Any]]:
    """The model, and what of its training belongs into the row."""
    from expunge.engine.finetune import finetune
    from expunge.engine.recipes.private import LoraTuning, PrivateTraining
    from expunge.targets.causal_lm import load_causal_lm
    from expunge.targets.private.account import Mechanism

    units = len(where.inside) if unit == "record" else len({e.subject for e in where.inside})
    if math.isinf(epsilon):
        training = Training(lr=LR, epochs=EPOCHS, batch_size=BATCH, weight_decay=0.0)
        oracle = load_causal_lm(where.base).oracle(Access.FINETUNE)
        return finetune(oracle, where.inside, training, seed=seed, adapter=ADAPTER), {}
    sigma = sampled_sigma(epsilon, DELTA, q=RATE, steps=STEPS)
    mechanism = Mechanism(sigma=sigma, rate=RATE, steps=STEPS, clip=CLIP, unit=unit, randomness="seed")
    # The divisor is a setting: half of the units that there might be.
    lot = RATE * (3 * PEOPLE if unit == "record" else PEOPLE / 2)
    recipe = PrivateTraining(LoraTuning(where.base, LR, ADAPTER), mechanism, DELTA, lot)
    target: Any = recipe.train(MemoryStore(where.inside), seed=seed)
    return target.lm, {"sigma": sigma, "units": units, "promised": mechanism.epsilon(DELTA, units=1).epsilon}


def scores_of(model: Any, base: Any, where: World, unit: Unit) -> tuple[dict[Key, Any], dict[str, list[str]]]:
    """Scores of whatever is told apart, by role, and the people that are resampled; for subjects one row a person."""
    from expunge.core.registry import metrics
    from expunge.engine.score import score

    found: dict[Key, Any] = {}
    people: dict[str, list[str]] = {}
    for role, records in (("forget", where.inside), ("holdout", where.outside)):
        who = [e.subject for e in records]
        columns = {name for kind in SCORES for name in metrics.get(kind).needs}
        told = {"model": score(model, records, columns), "reference": score(base, records, columns)}
        values = {("model", kind): metrics.get(kind).of(told["model"]) for kind in SCORES}
        values["reference", "loss"] = metrics.get("loss").of(told["reference"])
        if unit == "subject":
            names, at = np.unique(who, return_inverse=True)
            values = {key: np.bincount(at, weights=value) / np.bincount(at) for key, value in values.items()}
            who = names.tolist()
        found |= {(part, role, kind): value for (part, kind), value in values.items()}
        people[role] = who
    return found, people


def found_at(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None, *, name: str) -> Any:
    """Share of members above the value that at most a share ``ALARMS`` of the others exceeds; one tail.

    >>> scores = {("model", "forget", "loss"): [5.0, 3.0, 1.0, 4.0], ("model", "holdout", "loss"): [2.0, 3.5]}
    >>> float(found_at(scores, name="loss"))  # none of two may exceed: above 3.5
    0.5
    """
    inside, outside = ("model", "forget", name), ("model", "holdout", name)
    high, low = (np.asarray(scores[key], dtype=np.float64) for key in (inside, outside))
    order = np.argsort(low)[::-1]
    counts = weight_of(weights, outside, low)[..., order].cumsum(-1)
    allowed = ALARMS * counts[..., -1:] * (1 + 1e-12)
    limit = np.expand_dims(low[order][(counts <= allowed).sum(-1)], -1)
    weight = weight_of(weights, inside, high)
    return (weight * (high > limit)).sum(-1) / weight.sum(-1)


def attacks() -> dict[str, Statistic | Callable[..., Any]]:
    """Name -> what it comes to: areas of likelihood attacks, and hits at few false alarms."""
    made: dict[str, Any] = {f"{kind}_auc": attack_statistic(kind)[0] for kind in SCORES}
    made["reference_auc"] = attack_statistic("reference_auc")[0]
    return {**made, **{f"{kind}_hits_1": partial(found_at, name=kind) for kind in ("loss", "min_k")}}


def bound_of(attack: str, epsilon: float, *, outside: int) -> float:
    """The most that an attack can come to in expectation.

    A threshold that was chosen on n others for k alarms is exceeded by (k + 1) / (n + 1) of new ones.

    Args:
        attack: its name.
        epsilon: nats; infinite for no promise.
        outside: n.
    """
    if math.isinf(epsilon):
        return 1.0
    if attack.endswith("_auc"):
        return best_auc(epsilon, DELTA)
    rate = (math.floor(ALARMS * outside) + 1) / (outside + 1)
    return best_true_positive_rate(epsilon, DELTA, false_positive_rate=rate)


def above(values: Mapping[str, Sequence[float]], bound: Mapping[str, float]) -> list[str]:
    """Attacks whose value is beyond what was promised, an area on either side.

    >>> above({"loss_auc": [0.25, 0.2, 0.3], "loss_hits_1": [0.02, 0.0, 0.1]}, {"loss_auc": 0.7, "loss_hits_1": 0.03})
    ['loss_auc']
    """
    sides = {name: max(v[0], 1 - v[0]) if name.endswith("_auc") else v[0] for name, v in values.items()}
    return [name for name, value in sides.items() if value > bound[name]]


def row(where: World, base: Any, epsilon: float, unit: Unit, *, seed: int) -> dict[str, Any]:
    """Train once and measure."""
    since = time.perf_counter()
    model, more = trained(where, epsilon, unit, seed=seed)
    seconds = time.perf_counter() - since
    scores, people = scores_of(model, base, where, unit)
    settings: dict[str, Any] = {"draws": DRAWS, "seed": seed, "bounds": (0.0, 1.0)}
    found = {
        name: _three(estimate(made, _needed(made, scores), people, **settings)) for name, made in attacks().items()
    }
    bound = {name: bound_of(name, epsilon, outside=len(people["holdout"])) for name in found}
    counts = {"inside": len(people["forget"]), "outside": len(people["holdout"])}
    return {
        "epsilon": None if math.isinf(epsilon) else epsilon,
        "delta": None if math.isinf(epsilon) else DELTA,
        "unit": unit,
        "n": {**counts, "utility": len(where.others)},
        "utility": use(model, where, seed=seed),
        "attacks": found,
        "bound": bound,
        "above": above(found, bound),
        "seconds": round(seconds, 2),
        **more,
    }


def _needed(made: Any, scores: dict[Key, Any]) -> dict[Key, Any]:
    return {key: scores[key] for key in made.needs} if isinstance(made, Statistic) else scores


def use(model: Any, where: World, *, seed: int) -> list[float]:
    """Probability of the right answers about people who are in neither, with its interval."""
    from expunge.engine.score import score
    from expunge.metrics.probability import probability

    made, key = attack_statistic("probability")[0], ("model", "forget", "probability")
    values = {key: probability.of(score(model, where.others, probability.needs))}
    who = {"forget": [e.subject for e in where.others]}
    return _three(estimate(made, values, who, draws=DRAWS, seed=seed, bounds=(0.0, 1.0)))


def _three(found: Estimate) -> list[float]:
    return [round(value, 6) for value in (found.value, found.low, found.high)]


def measured(seed: int, units: Sequence[Unit], epsilons: Sequence[float]) -> dict[str, Any]:
    """All rows, and what the base comes to before."""
    from expunge.targets.causal_lm import load_causal_lm

    with tempfile.TemporaryDirectory() as folder:
        path = train_base(seed, Path(folder) / "base")
        base = load_causal_lm(path)
        rows: list[dict[str, Any]] = []
        for unit in units:
            where = world(seed, unit, path)
            for epsilon in epsilons:
                rows.append(row(where, base, epsilon, unit, seed=seed))
                print(f"{unit}, epsilon {epsilon:g}: {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
        before = use(base, where, seed=seed)
    settings = {"rate": RATE, "steps": STEPS, "clip": CLIP, "seed": seed, "people": PEOPLE}
    return {"rows": rows, "base_utility": before, "settings": settings}


def main() -> None:
    """Measure, leave ``dp_lora.json`` in the folder, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/certified"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = measured(given.seed, ("record", "subject"), EPSILONS)
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / FILE, found)
    print(json.dumps(found["rows"], indent=1))
    broken = [f"{r['unit']}, epsilon {r['epsilon']}: {', '.join(r['above'])}" for r in found["rows"] if r["above"]]
    if broken:
        print("ABOVE WHAT WAS PROMISED: " + "; ".join(broken), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
