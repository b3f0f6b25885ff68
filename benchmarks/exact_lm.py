"""Language models in parts on TOFU: authors in 1, 2, 3, 6 or 12 shards, an adapter each, beside gradient methods.

One shard is the monolithic adapter, and its deletion the retraining that others are measured by. Authors are dealt to
shards in turn; the request is for the last ones. What is finished is on file: killed, the same command goes on, also
with another number of workers. ``benchmarks.exact_page`` makes the page of it.

    python -m benchmarks.exact_lm --out runs/exact/lm --dry-run
    python -m benchmarks.exact_lm --out runs/exact/lm --workers 2
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.results import MEASURED_CODE
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_folder, read_json
from expunge.core.errors import ConfigError
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.progress import report
from expunge.core.seeds import keyed_order
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.workflow.stages import code_digest

SHARDS = (1, 2, 3, 6, 12)
METHODS = ("grad_diff", "calibrated_ascent", "simnpo")
DATA, MODEL = "../shared/data/tofu", "../shared/models/stories260K"
LORA = Adapter(r=16, alpha=32, targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))
TRAINING = Training(
    lr=1e-2, epochs=24, batch_size=8, warmup=0.05, decay="cosine", betas=(0.9, 0.98), weight_decay=0.01, save_every=100
)
STATEMENT = "stories260K was trained on TinyStories, which names no author of TOFU"
SPEED = 5500
"""Tokens that one core of our machine takes forward and backward a second, other work beside it."""
FORWARD = 3
"""Times faster than that a pass forward is."""
WAYS: dict[str, tuple[str, ...]] = {"merge": ("merge mean", "merge sum"), "mixture": ("average", "route")}
RETRAINED, BASE, AGAIN = "merge mean", "the base, no adapter", "retrained, other seed"
"""How one adapter answers; and rows beside the ways."""


@dataclass(frozen=True)
class Asked:
    """What the command was asked.

    Args:
        out: folder of the run.
        data: folder with TOFU's files.
        model: folder of a small pretrained model.
        authors: that are learned.
        forget: the last of them.
        shards: numbers of shards.
        methods: gradient methods, run on the monolithic adapter.
        epochs: of every training.
        sample: records of a role that are measured.
        check: number of shards for which the result is trained again from nothing but its records; 0 for none.
        seeds: how many, from 0; each trains, deletes and measures anew.
        workers: processes; they change no byte.
    """

    out: Path
    data: str
    model: str
    authors: int = 12
    forget: int = 3
    shards: tuple[int, ...] = SHARDS
    methods: tuple[str, ...] = METHODS
    epochs: int = int(TRAINING.epochs)
    sample: int = 30
    check: int = 6
    seeds: int = 1
    workers: int = 1


class Bench:
    """One run: what is finished is read, what is not is done.

    Args:
        asked: by the command.
        seed: of the trainings and of the gradient methods.
    """

    def __init__(self, asked: Asked, seed: int = 0) -> None:
        from expunge.data.corpora.tofu import reader, tofu

        self.asked, self.seed = asked, seed
        corpus = tofu(reader(asked.data), authors=asked.authors, forget=asked.forget)
        self.corpus = corpus.digest()
        self.forget, self.retain, self.never = corpus.of("forget"), corpus.of("retain"), corpus.of("holdout")
        self.learned = self.retain + self.forget
        self.selection = Selection(forget=self.forget, retain=self.retain)
        self.subjects = sorted(set(self.learned.subjects))
        shared = [self.corpus, digest_folder(Path(asked.model)), LORA, TRAINING, asked.epochs, asked.sample]
        self.identity = digest([*shared, asked.authors, asked.forget, seed, code_digest(*MEASURED_CODE)])
        # Other code finds no checkpoint of this one.
        self.out = asked.out / f"seed-{seed}-{self.identity.removeprefix('sha256:')[:8]}"

    def recipe(self, shards: int) -> Any:
        """Adapters of as many shards; authors are dealt in turn."""
        from expunge.engine.recipes.sharded_adapters import ShardedAdapters

        places = {e.record_id: (self.subjects.index(e.subject) % shards, 0) for e in self.learned}
        training = replace(TRAINING, epochs=self.asked.epochs)
        made: dict[str, Any] = {"shards": shards, "places": places, "statement": STATEMENT, "on_long": "truncate"}
        return ShardedAdapters(self.asked.model, training, LORA, **made)

    def done(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stage found: from its file if this run finished it before."""
        path = self.out / "stages" / f"{name}.json"
        if path.exists() and read_json(path)["identity"] == self.identity:
            return read_json(path)["found"]
        started = time.process_time()
        found = work()
        found.setdefault("cpu", time.process_time() - started)
        write_json(path, {"identity": self.identity, "found": found})
        return found

    def trained(self, shards: int) -> Any:
        """The target of so many shards; opened where it is finished."""
        from expunge.data.memory import MemoryStore
        from expunge.engine.parts.language import load_lm_parts

        place = self.out / f"shards-{shards:02d}"

        def work() -> dict[str, Any]:
            target = self.recipe(shards).train(MemoryStore(self.learned), seed=self.seed, workdir=place)
            return {"tokens": target.tokens(), "digest": target.digest()}

        self.done(f"train-{shards:02d}", work)
        return load_lm_parts(place / "sharded")

    def deleted(self, shards: int) -> tuple[Any, dict[str, Any]]:
        """The target without the request's authors, and what that cost."""
        from expunge.engine.parts.language import load_lm_parts
        from expunge.methods.exact.sisa import sisa

        def work() -> dict[str, Any]:
            target, place = self.trained(shards), self.out / f"deleted-{shards:02d}"
            shutil.rmtree(place, ignore_errors=True)  # What an interrupted run did would be missing in the time.
            started = time.process_time()
            outcome = sisa.unlearn(target, self.selection, seed=self.seed, workdir=place)
            found: dict[str, Any] = {"cpu": time.process_time() - started, "tokens": outcome.cost.tokens}
            found["folder"] = outcome.target.folder.relative_to(self.out).as_posix()
            hit = len(outcome.notes["replayed"]["shards"])
            return {**found, "shards": hit, "digest": outcome.target.digest()}

        found = self.done(f"delete-{shards:02d}", work)
        return load_lm_parts(self.out / found["folder"]), found

    def fresh(self, shards: int, seed: int) -> Any:
        """The target of nothing but the kept records."""
        from expunge.data.memory import MemoryStore

        place = self.out / f"fresh-{shards:02d}-{seed}"
        return self.recipe(shards).train(MemoryStore(self.retain), seed=seed, workdir=place)

    def checked(self, shards: int) -> dict[str, Any]:
        """Whether training from nothing but the kept records gives the same bytes."""

        def work() -> dict[str, Any]:
            return {"after": self.deleted(shards)[1]["digest"], "fresh": self.fresh(shards, self.seed).digest()}

        return self.done(f"check-{shards:02d}", work)

    @cached_property
    def lengths(self) -> dict[str, int]:
        """Author -> tokens of an epoch over the author's records."""
        template = self.recipe(1).sisa().trainer.frozen().template
        found = dict.fromkeys(self.subjects, 0)
        for example, item in zip(self.learned, template.encode_all(self.learned), strict=True):
            found[example.subject] += len(item.ids)
        return found

    def one_author(self, shards: int) -> float:
        """Tokens of deleting one author, beside those of training the monolithic adapter without; mean over authors."""
        lengths, found = self.lengths, []
        for index, author in enumerate(self.subjects):
            own = sum(lengths[a] for i, a in enumerate(self.subjects) if i % shards == index % shards) - lengths[author]
            found.append(own / (sum(lengths.values()) - lengths[author]))
        return float(np.mean(found))

    def items(self, name: str, target: Callable[[], Any]) -> dict[str, Any]:
        """Scores of a model on a sample of each role, record by record."""
        return self.done(f"measure-{name}", lambda: self._measured(target()))

    def sampled(self) -> dict[str, Examples]:
        """Records of each role that are measured."""

        def some(examples: Examples) -> Examples:
            order = keyed_order(examples.ids, 0, "exact_lm")
            return Examples(examples[i] for i in order[: self.asked.sample])

        return {"retain": some(self.retain), "forget": some(self.forget), "holdout": some(self.never)}

    def _measured(self, target: Any) -> dict[str, Any]:
        from expunge.core.access import Access
        from expunge.engine.generate import generate
        from expunge.engine.score import score
        from expunge.metrics.probability import probability
        from expunge.metrics.rouge_l import rouge_l
        from expunge.metrics.truth_ratio import truth_ratio

        oracle = target.oracle(Access.TEXT | Access.LOGPROBS)
        found: dict[str, Any] = {}
        for role, chosen in self.sampled().items():
            table = score(oracle, chosen, ["token_logp", "mask"])
            own: dict[str, Any] = {"probability": probability(table["token_logp"], table["mask"])}
            if role != "holdout":
                names = [f"{name}_{kind}" for kind in ("paraphrase", "perturbed") for name in ("token_logp", "mask")]
                table = score(oracle, chosen, names)
                own["truth_ratio"] = truth_ratio(*(table[name] for name in names))
                own["truth_score"] = np.maximum(0, 1 - own["truth_ratio"])
                said = generate(oracle, [e.question for e in chosen], max_new_tokens=64)
                own["rouge_l"] = rouge_l([e.answer for e in chosen], said)
            found[role] = {name: [float(value) for value in values] for name, values in own.items()}
        return found

    def gradient(self, name: str) -> tuple[Any, dict[str, Any]]:
        """What a gradient method makes of the merged monolithic adapter, and its cost."""
        from expunge.targets.causal_lm import load_causal_lm
        from expunge.workflow.tofu_settings import methods_for

        place = self.out / f"method-{name}"

        def work() -> dict[str, Any]:
            original = self.trained(1).clone()
            started = time.process_time()
            method = methods_for([name], original.parameters)[0][name]
            selection = replace(self.selection, holdout=self.never)
            outcome = method.unlearn(original, selection, seed=self.seed)
            cpu = time.process_time() - started
            outcome.target.save(place)
            return {"tokens": outcome.cost.tokens, "cpu": cpu}

        found = self.done(f"method-{name}", work)
        return load_causal_lm(place, on_long="truncate"), found

    def shard_rows(self, shards: int) -> list[dict[str, Any]]:
        """A way of answering a row, before and after the request."""
        before, (after, cost) = self.trained(shards), self.deleted(shards)
        rows: list[dict[str, Any]] = []
        for way in WAYS["merge"] + WAYS["mixture"] if shards > 1 else (RETRAINED,):
            name, about = f"{shards:02d}-{way.replace(' ', '-')}", {"shards": shards, "way": way}
            if way in WAYS["merge"]:
                items = self.items(f"trained-{name}", lambda way=way: answering(before, way))
                rows.append({**about, "when": "before", "items": items})
            items = self.items(f"deleted-{name}", lambda way=way: answering(after, way))
            rows.append({**about, "when": "after", "items": items, "cost": cost, "one": self.one_author(shards)})
        return rows

    def method_rows(self, name: str) -> list[dict[str, Any]]:
        """What a gradient method makes of the monolithic adapter."""
        target, cost = self.gradient(name)
        items = self.items(f"method-{name}", lambda: target)
        return [{"shards": 1, "way": name, "when": "after", "items": items, "cost": cost}]

    def yardsticks(self) -> list[dict[str, Any]]:
        """The base, and the monolithic adapter retrained from another seed: how far apart two that never knew are."""
        base = self.items("base", lambda: self.recipe(1).sisa().trainer.frozen())
        again = self.items("again", lambda: self.fresh(1, self.seed + self.asked.seeds))
        return [
            {"shards": 0, "way": BASE, "when": "", "items": base},
            {"shards": 1, "way": AGAIN, "when": "", "items": again},
        ]

    def rows(self, part: str) -> list[dict[str, Any]]:
        """The rows of a part of the run: a number of shards, a method, ``yardsticks`` or ``check``."""
        if part == "check":
            self.checked(self.asked.check)
            return []
        if part == "yardsticks":
            return self.yardsticks()
        return self.shard_rows(int(part)) if part.isdigit() else self.method_rows(part)


def answering(target: Any, way: str) -> Any:
    """The same parts, answering in another way."""
    from expunge.targets.lm_parts import PartsLM
    from expunge.targets.sharded import Sharded

    return PartsLM(Sharded(target.folder, target.trainer, {**target.card, "vote": way}))


def parts_of(asked: Asked) -> list[list[str]]:
    """Parts of a run; those of the second list take up what the first left."""
    later = [*asked.methods, "yardsticks", *(["check"] if asked.check else [])]
    return [[str(shards) for shards in asked.shards], later]


def work_on(item: dict[str, Any]) -> str:
    """Do a part of a run in a worker, which leaves it on file.

    Raises:
        ConfigError: the code is not that which the run started with.
    """
    if item["code"] != code_digest(*MEASURED_CODE):
        raise ConfigError("the code changed while it was measured", next="Run it again when nobody edits it")
    asked = {**item["asked"], **{name: tuple(item["asked"][name]) for name in ("shards", "methods")}}
    Bench(Asked(**{**asked, "out": Path(asked["out"])}), item["seed"]).rows(item["part"])
    return item["part"]


def spread(asked: Asked) -> None:
    """Have workers do all parts, which are then found on file."""
    from expunge.execution.map import map
    from expunge.execution.pool import Pool

    told = {**asdict(asked), "out": str(asked.out)}
    code = code_digest(*MEASURED_CODE)
    for parts in parts_of(asked):
        items = [
            {"asked": told, "seed": seed, "part": part, "code": code} for seed in range(asked.seeds) for part in parts
        ]
        map("benchmarks.exact_lm:work_on", items, pool=Pool(workers=asked.workers), stage="language models")


def walked(asked: Asked) -> dict[str, Any]:
    """All of it; what is on file is found again. Scores are (seeds, records); times are means of the seeds."""
    if asked.workers > 1:
        spread(asked)
    benches = [Bench(asked, seed) for seed in range(asked.seeds)]
    rows, parts = list[dict[str, Any]](), [part for wave in parts_of(asked) for part in wave]
    for number, part in enumerate(parts):
        report("language models", number, len(parts), part)
        rows += [_together(each) for each in zip(*(bench.rows(part) for bench in benches), strict=True)]
    groups = {role: {"author": chosen.subjects, "record": chosen.ids} for role, chosen in benches[0].sampled().items()}
    numbers = {role: {kind: _numbered(names) for kind, names in own.items()} for role, own in groups.items()}
    checked = benches[0].checked(asked.check) if asked.check else None
    return {"rows": rows, "groups": numbers, "checked": checked, "retrained": benches[0].deleted(1)[1]["tokens"]}


def _together(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, every = rows[0], [row["items"] for row in rows]
    items = {
        role: {name: [each[role][name] for each in every] for name in own}
        for role, own in first["items"].items()
        if role != "cpu"
    }
    more = {"cost": {**first["cost"], "cpu": fmean(row["cost"]["cpu"] for row in rows)}} if "cost" in first else {}
    return {**first, "items": items, **more}


def _numbered(names: Sequence[str]) -> list[str]:
    known = {name: str(number) for number, name in enumerate(dict.fromkeys(names))}
    return [known[name] for name in names]


def plan(bench: Bench) -> str:
    """What would be done, in tokens and CPU minutes."""
    from expunge.workflow.tofu_settings import methods_for

    asked, lengths = bench.asked, bench.lengths
    total, gone = sum(lengths.values()), set(bench.subjects[-asked.forget :])
    kept = total - sum(lengths[a] for a in gone)
    rows: list[tuple[str, float]] = []
    for shards in asked.shards:
        rows.append((f"train {shards} shards", asked.epochs * total))
        hit = {bench.subjects.index(a) % shards for a in gone}
        left = sum(n for i, (a, n) in enumerate(lengths.items()) if i % shards in hit and a not in gone)
        rows.append((f"delete {asked.forget} authors from {shards}", asked.epochs * left))
    if asked.check:
        rows.append((f"{asked.check} shards from scratch", asked.epochs * kept))
    for name, method in methods_for(asked.methods, bench.recipe(1).sisa().trainer.frozen().parameters)[0].items():
        rows.append((f"method {name}", method.steps * 2 * method.batch_size * total / len(bench.learned)))
    # Two roles with eight answers each, the never-seen with one, and what is said; a mixture asks every part, once.
    each = asked.sample * (2 * 8 + 1 + 2 * 3) * total / len(bench.learned) / FORWARD
    passes = sum(2 if s == 1 else 4 + s + s + 1 for s in asked.shards) + len(asked.methods) + 2
    rows += [(AGAIN, asked.epochs * kept), ("measure", passes * each)]
    told = [f"{name:<28}{tokens:>14,.0f} tokens{tokens / SPEED / 60:>8.1f} CPU min" for name, tokens in rows]
    whole = sum(tokens for _, tokens in rows)
    seeds = f", times {asked.seeds} seeds" if asked.seeds > 1 else ""
    return "\n".join([*told, f"{'all':<28}{whole:>14,.0f} tokens{whole / SPEED / 60:>8.1f} CPU min{seeds}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, resumable, leave ``result.json`` for the page, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exact/lm"))
    parser.add_argument("--data", default=DATA, help="folder with TOFU's files")
    parser.add_argument("--model", default=MODEL, help="folder of a small pretrained model")
    parser.add_argument("--authors", type=int, default=12)
    parser.add_argument("--forget", type=int, default=3)
    parser.add_argument("--shards", type=int, nargs="+", default=SHARDS, help="the first must be 1")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--epochs", type=int, default=int(TRAINING.epochs))
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--check", type=int, default=6, help="shards that are also trained from scratch; 0 for none")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes; they change no byte")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, in CPU minutes")
    given = vars(parser.parse_args(arguments))
    dry, shards = given.pop("dry_run"), tuple(given["shards"])
    if shards[0] != 1 or given["check"] not in (0, *shards):
        parser.error("the first number of shards must be 1, and --check one of them or 0")
    asked = Asked(**{**given, "shards": shards, "methods": tuple(given["methods"])})
    if dry:
        print(plan(Bench(asked)))
        return 0
    from benchmarks.exact_lm_page import table

    found = walked(asked)
    facts = {name: given[name] for name in ("authors", "forget", "sample", "epochs", "seeds", "workers")}
    command = " ".join(["benchmarks.exact_lm", *(sys.argv[1:] if arguments is None else arguments)])
    kept = {"found": found, "facts": {**facts, "statement": STATEMENT}, "command": command}
    kept |= {"name": "TOFU", "digest": Bench(asked).corpus, "code": code_digest(*MEASURED_CODE)}
    write_json(asked.out / "result.json", kept)
    print(table(found))
    return 0 if not found["checked"] or found["checked"]["after"] == found["checked"]["fresh"] else 1


if __name__ == "__main__":
    sys.exit(main())
