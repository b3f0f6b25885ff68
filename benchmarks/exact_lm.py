"""Language models in parts on TOFU: authors in 1, 2, 3, 6 or 12 shards, an adapter each, beside gradient methods.

One shard is the monolithic adapter, and its deletion the retraining that others are measured by. Authors are dealt to
shards in turn; the request is for the last ones. What is finished is on file: killed, the same command goes on.

    python -m benchmarks.exact_lm --out runs/exact-lm --dry-run
    python -m benchmarks.exact_lm --out runs/exact-lm --page docs/results/exact-lm.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import MEASURED_CODE, write_result
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_folder, read_json
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.progress import report
from expunge.core.seeds import keyed_order
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.evaluation.report_cells import fixed
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
CELLS = ("utility", "kept p", "kept ROUGE-L", "kept truth", "gone p", "gone ROUGE-L", "gone KS D", "never p")


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


class Bench:
    """One run: what is finished is read, what is not is done.

    Args:
        asked: by the command.
    """

    def __init__(self, asked: Asked) -> None:
        from expunge.data.corpora.tofu import reader, tofu

        self.asked = asked
        corpus = tofu(reader(asked.data), authors=asked.authors, forget=asked.forget)
        self.forget, self.retain, self.never = corpus.of("forget"), corpus.of("retain"), corpus.of("holdout")
        self.learned = self.retain + self.forget
        self.selection = Selection(forget=self.forget, retain=self.retain)
        self.subjects = sorted(set(self.learned.subjects))
        shared = [corpus.digest(), digest_folder(Path(asked.model)), LORA, TRAINING, asked.epochs, asked.sample]
        self.identity = digest([*shared, asked.authors, asked.forget, code_digest(*MEASURED_CODE)])

    def recipe(self, shards: int) -> Any:
        """Adapters of as many shards; authors are dealt in turn."""
        from expunge.engine.recipes.sharded_adapters import ShardedAdapters

        places = {e.record_id: (self.subjects.index(e.subject) % shards, 0) for e in self.learned}
        training = replace(TRAINING, epochs=self.asked.epochs)
        made: dict[str, Any] = {"shards": shards, "places": places, "statement": STATEMENT, "on_long": "truncate"}
        return ShardedAdapters(self.asked.model, training, LORA, **made)

    def done(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stage found: from its file if this run finished it before."""
        path = self.asked.out / "stages" / f"{name}.json"
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

        place = self.asked.out / f"shards-{shards:02d}"

        def work() -> dict[str, Any]:
            target = self.recipe(shards).train(MemoryStore(self.learned), seed=0, workdir=place)
            return {"tokens": target.tokens(), "digest": target.digest()}

        self.done(f"train-{shards:02d}", work)
        return load_lm_parts(place / "sharded")

    def deleted(self, shards: int) -> tuple[Any, dict[str, Any]]:
        """The target without the request's authors, and what that cost."""
        from expunge.engine.parts.language import load_lm_parts
        from expunge.methods.exact.sisa import sisa

        def work() -> dict[str, Any]:
            target, place = self.trained(shards), self.asked.out / f"deleted-{shards:02d}"
            started = time.process_time()
            outcome = sisa.unlearn(target, self.selection, seed=0, workdir=place)
            found: dict[str, Any] = {"cpu": time.process_time() - started, "tokens": outcome.cost.tokens}
            found["folder"] = outcome.target.folder.relative_to(self.asked.out).as_posix()
            hit = len(outcome.notes["replayed"]["shards"])
            return {**found, "shards": hit, "digest": outcome.target.digest()}

        found = self.done(f"delete-{shards:02d}", work)
        return load_lm_parts(self.asked.out / found["folder"]), found

    def checked(self, shards: int) -> dict[str, Any]:
        """Whether training from nothing but the kept records gives the same bytes."""
        from expunge.data.memory import MemoryStore

        def work() -> dict[str, Any]:
            found = self.deleted(shards)[1]
            fresh = self.recipe(shards).train(
                MemoryStore(self.retain), seed=0, workdir=self.asked.out / f"fresh-{shards:02d}"
            )
            return {"after": found["digest"], "fresh": fresh.digest()}

        return self.done(f"check-{shards:02d}", work)

    def lengths(self) -> dict[str, int]:
        """Author -> tokens of an epoch over the author's records."""
        template = self.recipe(1).sisa().trainer.frozen().template
        found = dict.fromkeys(self.subjects, 0)
        for example, item in zip(self.learned, template.encode_all(self.learned), strict=True):
            found[example.subject] += len(item.ids)
        return found

    def one_author(self, shards: int) -> float:
        """Tokens of deleting one author, beside those of training the monolithic adapter without; mean over authors."""
        lengths, found = self.lengths(), []
        for index, author in enumerate(self.subjects):
            own = sum(lengths[a] for i, a in enumerate(self.subjects) if i % shards == index % shards) - lengths[author]
            found.append(own / (sum(lengths.values()) - lengths[author]))
        return float(np.mean(found))

    def cells(self, name: str, target: Any) -> dict[str, Any]:
        """Utility and memory of a model, on a sample of each role."""
        return self.done(f"measure-{name}", lambda: self._measured(target))

    def _sampled(self, examples: Examples) -> Examples:
        order = keyed_order(examples.ids, 0, "exact_lm")
        return Examples(examples[i] for i in order[: self.asked.sample])

    def _measured(self, target: Any) -> dict[str, Any]:
        from expunge.core.access import Access
        from expunge.engine.generate import generate
        from expunge.engine.score import score
        from expunge.metrics.probability import probability
        from expunge.metrics.rouge_l import rouge_l
        from expunge.metrics.truth_ratio import truth_ratio

        oracle = target.oracle(Access.TEXT | Access.LOGPROBS)
        found: dict[str, Any] = {}
        for role, examples in (("kept", self.retain), ("gone", self.forget), ("never", self.never)):
            chosen = self._sampled(examples)
            table = score(oracle, chosen, ["token_logp", "mask"])
            found[f"{role} p"] = float(probability(table["token_logp"], table["mask"]).mean())
            if role == "never":
                continue
            names = [f"{name}_{kind}" for kind in ("paraphrase", "perturbed") for name in ("token_logp", "mask")]
            table = score(oracle, chosen, names)
            ratios = truth_ratio(*(table[name] for name in names))
            found[f"{role} ratios"] = [float(value) for value in ratios]
            said = generate(oracle, [e.question for e in chosen], max_new_tokens=64)
            found[f"{role} ROUGE-L"] = float(rouge_l([e.answer for e in chosen], said).mean())
        found["kept truth"] = float(np.maximum(0, 1 - np.array(found["kept ratios"])).mean())
        parts = np.array([found["kept p"], found["kept ROUGE-L"], found["kept truth"]])
        found["utility"] = float(len(parts) / (1 / np.maximum(parts, 1e-9)).sum())
        return found

    def gradient(self, name: str) -> tuple[Any, dict[str, Any]]:
        """What a gradient method makes of the merged monolithic adapter, and its cost."""
        from expunge.targets.causal_lm import load_causal_lm
        from expunge.workflow.tofu_settings import methods_for

        place = self.asked.out / f"method-{name}"

        def work() -> dict[str, Any]:
            original = self.trained(1).clone()
            started = time.process_time()
            method = methods_for([name], original.parameters)[0][name]
            selection = replace(self.selection, holdout=self.never)
            outcome = method.unlearn(original, selection, seed=0)
            cpu = time.process_time() - started
            outcome.target.save(place)
            return {"tokens": outcome.cost.tokens, "cpu": cpu}

        found = self.done(f"method-{name}", work)
        return load_causal_lm(place, on_long="truncate"), found


def answering(target: Any, way: str) -> Any:
    """The same parts, answering in another way."""
    from expunge.targets.lm_parts import PartsLM
    from expunge.targets.sharded import Sharded

    return PartsLM(Sharded(target.folder, target.trainer, {**target.card, "vote": way}))


def walked(bench: Bench) -> dict[str, Any]:
    """All of it; what is on file is found again."""
    asked, rows = bench.asked, list[dict[str, Any]]()
    one, whole = bench.deleted(1)
    reference = bench.cells("deleted-01-merge-mean", one)["gone ratios"]
    for number, shards in enumerate(asked.shards):
        report("shards", number, len(asked.shards), str(shards))
        before = bench.trained(shards)
        after, cost = bench.deleted(shards)
        for way in WAYS["merge"] + WAYS["mixture"] if shards > 1 else ("merge mean",):
            name = f"{shards:02d}-{way.replace(' ', '-')}"
            row: dict[str, Any] = {"shards": shards, "way": way, "hit": cost["shards"], "cost": cost}
            if way in WAYS["merge"]:
                row["before"] = bench.cells(f"trained-{name}", answering(before, way))
            row["after"] = bench.cells(f"deleted-{name}", answering(after, way))
            rows.append({**row, "share": cost["tokens"] / whole["tokens"], "one": bench.one_author(shards)})
    for name in asked.methods:
        target, cost = bench.gradient(name)
        row = {"shards": 1, "way": name, "hit": "", "cost": cost, "before": rows[0]["before"], "one": None}
        rows.append({**row, "after": bench.cells(f"method-{name}", target), "share": cost["tokens"] / whole["tokens"]})
    for row in rows:
        for when in {"before", "after"} & set(row):
            row[when] = {**row[when], "gone KS D": distance(row[when]["gone ratios"], reference)}
    checked = bench.checked(asked.check) if asked.check else None
    return {"rows": rows, "checked": checked}


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Kolmogorov-Smirnov distance of two samples.

    >>> distance([0.1, 0.2, 0.9, 1.1], [0.8, 1.0, 1.2, 1.4])
    0.5
    """
    from expunge.metrics.forget_quality import MODEL, REFERENCE, forget_quality

    return float(forget_quality({MODEL: list(one), REFERENCE: list(other)}))


def table(found: dict[str, Any]) -> str:
    """One line a way of answering, before and after the request."""
    head = f"{'shards':>6}  {'answers by':<18}{'':<8}" + "".join(f"{name:>14}" for name in CELLS)
    lines = [head + f"{'tokens':>12}{'CPU s':>8}{'of mono':>9}{'one author':>12}"]
    for row in found["rows"]:
        for when in (when for when in ("before", "after") if when in row):
            cells = "".join(f"{fixed(row[when][name], 2):>14}" for name in CELLS)
            line = f"{row['shards']:>6}  {row['way']:<18}{when:<8}{cells}"
            if when == "after":
                line += f"{row['cost']['tokens']:>12,}{fixed(row['cost']['cpu'], 1):>8}{fixed(row['share'], 3):>9}"
                line += f"{fixed(row['one'], 3):>12}" if row["one"] is not None else ""
            lines.append(line.rstrip())
    if found["checked"]:
        same = "equal to" if found["checked"]["after"] == found["checked"]["fresh"] else "NOT EQUAL to"
        lines += [
            "",
            f"{found['checked']['after']}",
            f"is {same} the digest of a run from scratch without the authors.",
        ]
    return "\n".join(lines)


def plan(bench: Bench) -> str:
    """What would be done, in tokens and CPU minutes."""
    asked, lengths = bench.asked, bench.lengths()
    total, gone = sum(lengths.values()), set(bench.subjects[-asked.forget :])
    rows: list[tuple[str, float]] = []
    for shards in asked.shards:
        rows.append((f"train {shards} shards", asked.epochs * total))
        hit = {bench.subjects.index(a) % shards for a in gone}
        left = sum(n for i, (a, n) in enumerate(lengths.items()) if i % shards in hit and a not in gone)
        rows.append((f"delete {asked.forget} authors from {shards}", asked.epochs * left))
    if asked.check:
        kept = asked.epochs * (total - sum(lengths[a] for a in gone))
        rows.append((f"{asked.check} shards from scratch", kept))
    rows += [(f"method {name}", 60 * 2 * 20 * total / len(bench.learned)) for name in asked.methods]
    # Two roles with eight answers each, the never-seen with one, and what is said; a mixture asks every part, once.
    each = asked.sample * (2 * 8 + 1 + 2 * 3) * total / len(bench.learned) / FORWARD
    passes = sum(2 if s == 1 else 4 + s + s + 1 for s in asked.shards) + len(asked.methods)
    rows.append(("measure", passes * each))
    told = [f"{name:<28}{tokens:>14,.0f} tokens{tokens / SPEED / 60:>8.1f} CPU min" for name, tokens in rows]
    whole = sum(tokens for _, tokens in rows)
    return "\n".join([*told, f"{'all':<28}{whole:>14,.0f} tokens{whole / SPEED / 60:>8.1f} CPU min"])


NOTES = """stories260K, which never saw TOFU's invented authors, with LoRA adapters (r 16 on every projection) on the
last {authors} authors of TOFU; the request is for the last {forget}. One shard is the monolithic adapter; its
deletion is the retraining that `of mono` and `one author` (the mean over all authors, in tokens) are shares of.
Answers by `merge mean` and `merge sum`: exact merge of all adapters into the weights; `average`: mean of the parts'
probabilities; `route`: the part whose questions are nearest, told by the base's states at each token. Utility is the
harmonic mean of probability, ROUGE-L recall and truth score on kept records; `gone` are the records of the request,
`never` those of authors that nobody learned. KS D is of the truth ratios on the request, from the monolithic adapter
that was retrained without it; so its own is 0 by construction. Gradient methods run on the merged monolithic adapter
with their settings for small models. Each number is of {sample} records of its role, and of one seed: differences of
a few hundredths say nothing. {statement}; that is what its page says, and nothing here checks it. One thread, CPU
seconds."""


def main() -> None:
    """Run it, resumable, print the table, and write it to a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exact-lm"))
    parser.add_argument("--data", default=DATA, help="folder with TOFU's files")
    parser.add_argument("--model", default=MODEL, help="folder of a small pretrained model")
    parser.add_argument("--authors", type=int, default=12)
    parser.add_argument("--forget", type=int, default=3)
    parser.add_argument("--shards", type=int, nargs="+", default=SHARDS)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--epochs", type=int, default=int(TRAINING.epochs))
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--check", type=int, default=6, help="shards that are also trained from scratch; 0 for none")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, in CPU minutes")
    parser.add_argument("--page", type=Path, help="also write the table to this page")
    given = vars(parser.parse_args())
    page, dry = given.pop("page"), given.pop("dry_run")
    bench = Bench(Asked(**{**given, "shards": tuple(given["shards"]), "methods": tuple(given["methods"])}))
    if dry:
        print(plan(bench))
        return
    found, facts = walked(bench), {name: given[name] for name in ("authors", "forget", "sample")}
    kept = {"found": found, "facts": {**facts, "statement": STATEMENT}, "code": code_digest(*MEASURED_CODE)}
    write_json(bench.asked.out / "result.json", kept)
    text = table(found)
    print(text)
    if page:
        write_result(
            page,
            title="Language models in parts",
            command=f"python -m benchmarks.exact_lm --out {given['out']} --page {page}",
            data=bench.identity,
            body=text,
            notes=NOTES.format(**facts, statement=STATEMENT),
        )


if __name__ == "__main__":
    main()
