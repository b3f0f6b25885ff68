"""The same road on real input: TOFU's authors and a pretrained model, walked once a seed, judged over all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

from expunge.core.canonical import digest_folder
from expunge.core.errors import ConfigError, UnknownName
from expunge.core.example import Examples
from expunge.core.manifest import Manifest
from expunge.core.outcome import averaged
from expunge.core.registry import methods as registered
from expunge.core.training import Precision, Training
from expunge.workflow.run import require_extra, walk_once
from expunge.workflow.tofu_settings import LONGER, MUST_FAIL, methods_for, training_for

METHODS = ("grad_ascent", "grad_diff", "npo", "calibrated_ascent")
AUTHORS, FORGET = 12, 3


@dataclass(frozen=True)
class Choice:
    """What of TOFU is learned and forgotten.

    Args:
        authors: that the original learns, the last of the full set; 0 with a split.
        forget: of them that are forgotten; 0 with a split.
        split: forget01, forget05 or forget10, else empty.
    """

    authors: int = AUTHORS
    forget: int = FORGET
    split: str = ""

    @classmethod
    def of(cls, authors: int | None, forget: int | None, split: str | None) -> Choice:
        """From options of which some were not given.

        Raises:
            ConfigError: a split and numbers of authors.
        """
        if not split:
            return cls(AUTHORS if authors is None else authors, FORGET if forget is None else forget)
        if authors is not None or forget is not None:
            raise ConfigError("a split says which authors are forgotten", next="Leave out --authors and --forget")
        return cls(0, 0, split)

    def corpus(self, data: str) -> Examples:
        """The examples.

        Raises:
            StoreError: the data lacks them.
        """
        from expunge.data.corpora.tofu import reader, tofu, tofu_split

        read = reader(data)
        return tofu_split(read, self.split) if self.split else tofu(read, authors=self.authors, forget=self.forget)


def bench_tofu(
    out: Path,
    *,
    data: str,
    model: str,
    choice: Choice = Choice(),
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = (0,),
    how: Mapping[str, Any] | None = None,
) -> str:
    """Fine-tune a pretrained model on TOFU authors, forget some, measure, judge, certify.

    Each seed has a folder of its own, ``seed-N``, with its certificates; the table is about all seeds. What was trained
    or measured before, by this command or by one with other methods and seeds, is found again.

    Args:
        out: folder of the run.
        data: folder with TOFU's files, or its name on a hub.
        model: folder or hub name of a causal LM.
        choice: what of TOFU is learned and forgotten.
        methods: names of methods.
        seeds: of the models.
        how: settings of every training, of models and methods alike, for instance ``{"precision": "bfloat16"}``.

    Returns:
        The table.

    Raises:
        MissingExtra: the extra ``hf`` is not installed, or ``stores`` for data from a hub.
        StoreError: a file of the data is missing.
        TargetError: the model cannot be loaded.
        UnknownName: no method has a name.
        ConfigError: a method or a seed is named twice.
    """
    corpus = _asked(data, choice, methods, seeds, how)
    place = Path(model)
    base = digest_folder(place) if place.is_dir() else model
    identity = ["bench tofu", corpus.digest(), base, list(methods), list(seeds), dict(how or {})]
    return walk_once(out, identity, lambda: _walk(out, corpus, model, methods, seeds, how))


def prepare(
    data: str,
    model: str,
    *,
    choice: Choice = Choice(),
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = (0,),
    how: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Check all that ``bench_tofu`` checks before it trains. Writes nothing.

    Args:
        data: as for ``bench_tofu``.
        model: as for ``bench_tofu``.
        choice: as for ``bench_tofu``.
        methods: as for ``bench_tofu``.
        seeds: as for ``bench_tofu``.
        how: as for ``bench_tofu``.

    Returns:
        What is known of model and data: ``params``, ``settings`` by method, ``tokens`` by role.

    Raises:
        ExpungeError: as ``bench_tofu``.
    """
    return starting(_asked(data, choice, methods, seeds, how), model, methods, how).facts


def _asked(
    data: str, choice: Choice, methods: Sequence[str], seeds: Sequence[int], how: Mapping[str, Any] | None
) -> Examples:
    """The data, if what is asked for can be had of it."""
    require_extra("expunge bench tofu")
    for what, given in (("method", methods), ("seed", seeds)):
        if len(set(given)) < len(given):
            raise ConfigError(f"a {what} is named twice", why=f"got {', '.join(map(str, given))}")
    for name in methods:
        if name not in registered.names():
            raise UnknownName("method", name, registered.names())
    precision = (how or {}).get("precision", "float32")
    if precision not in get_args(Precision):
        raise ConfigError(f"no precision {precision!r}", next=f"Choose one of {', '.join(get_args(Precision))}")
    return choice.corpus(data)


@dataclass(frozen=True)
class Starting:
    """What is known before anything is trained.

    Args:
        base: the pretrained model.
        methods: name -> method, set for its size.
        training: of originals and references.
        facts: ``params``, ``settings`` by method, ``tokens`` by role, and ``how``, where it is given.
    """

    base: Any
    methods: dict[str, Any]
    training: Training
    facts: dict[str, Any]


def _told(recipe: Any, how: Mapping[str, Any]) -> Any:
    """A recipe with those settings that it has."""
    if not is_dataclass(recipe) or isinstance(recipe, type):
        return recipe
    known = {field.name for field in fields(recipe)}
    given: Any = {name: value for name, value in how.items() if name in known}
    return replace(recipe, **given)


def starting(corpus: Examples, model: str, names: Sequence[str], how: Mapping[str, Any] | None = None) -> Starting:
    """Methods and training set for a model's size.

    Args:
        corpus: from ``Choice.corpus``.
        model: folder or hub name.
        names: of methods.
        how: settings of every training.

    Raises:
        TargetError: the model cannot be loaded.
        UnknownName: no method has a name.
    """
    from expunge.targets.causal_lm import load_causal_lm

    base = load_causal_lm(model, on_long="truncate")
    size = sum(p.numel() for p in base.model.parameters())
    named, sources = methods_for(names, size)
    facts = {"params": size, "settings": sources, "tokens": _tokens(base, corpus)}
    if not how:
        return Starting(base, named, training_for(size), facts)
    set_so = {name: _told(method, how) for name, method in named.items()}
    return Starting(base, set_so, _told(training_for(size), how), {**facts, "how": dict(how)})


def tofu_road(corpus: Examples, model: str, named: Mapping[str, Any], training: Training, *, seed: int) -> Any:
    """The road of one seed.

    Args:
        corpus: from ``Choice.corpus``.
        model: folder or hub name.
        named: key -> method.
        training: of originals and references.
        seed: of the original; the references take the next two.
    """
    from expunge.core.registry import policies
    from expunge.engine.finetune import FineTune
    from expunge.workflow.measure import asked_by, budget_for
    from expunge.workflow.road import Road

    policy = policies.get("research_tofu")
    learned = {role: len(set(corpus.of(role).subjects)) for role in ("forget", "retain")}
    return Road(
        name="tofu",
        title=f"TOFU: {learned['forget']} of {sum(learned.values())} authors forgotten by {Path(model).name}",
        corpus=corpus,
        learned=("forget", "retain"),
        recipe=FineTune(model, training, on_long="truncate"),
        methods=named,
        policy=policy,
        budget=budget_for(asked_by(policy)),
        basis="benchmark",
        seed=seed,
        facts={"model": Path(model).name},
    )


def _walk(
    out: Path,
    corpus: Examples,
    model: str,
    names: Sequence[str],
    seeds: Sequence[int],
    how: Mapping[str, Any] | None,
) -> str:
    from expunge.workflow.conclude import Conclusion, write_all

    known = starting(corpus, model, names, how)
    facts = {"model": Path(model).name, **known.facts}
    walks: list[Any] = []
    measured: list[dict[str, dict[str, Any]]] = []
    for seed in seeds:
        road = replace(tofu_road(corpus, model, known.methods, known.training, seed=seed), facts=facts)
        walk = trained(road, out / f"seed-{seed}")
        walk.forget()
        measured.append(walk.measure())
        _retire(walk)
        write_all(Conclusion(walk, measured[-1]), {}, None)
        walks.append(walk)
    return _pool(out, walks, measured)


def _tokens(base: Any, corpus: Examples) -> dict[str, dict[str, Any]]:
    """What the model's tokenizer makes of the answers, by role."""
    found: dict[str, dict[str, Any]] = {}
    for role in ("forget", "retain", "holdout", "general"):
        items = base.template.encode_all(corpus.of(role))
        lengths = [item.n_scored for item in items]
        found[role] = {
            "answers": len(items),
            "mean": round(sum(lengths) / max(1, len(lengths)), 1),
            "longest": max(lengths, default=0),
            "truncated": sum(item.truncated > 0 for item in items),
        }
    return found


def trained(road: Any, out: Path) -> Any:
    """A walk whose originals and references are trained, for longer where the original does not fail.

    An original that cannot be told from its reference has learned nothing that a method could forget. Its Kolmogorov-
    Smirnov distance must be at least ``MUST_FAIL``; else all three models are trained anew for more epochs, and the
    facts of the road say so.

    Args:
        road: with the first length of training.
        out: folder of the walk.
    """
    from expunge.workflow.road import SCORING, Walk
    from expunge.workflow.stages import code_digest

    tried: list[dict[str, float]] = []
    walk: Any = None
    for share in LONGER:
        training = replace(
            road.recipe.training,
            epochs=round(share * road.recipe.training.epochs, 3),
            steps=round(share * road.recipe.training.steps),
        )
        walk = Walk(replace(road, recipe=replace(road.recipe, training=training)), out)
        inputs = {"recipe": walk.road.recipe.digest(), "data": walk.store.digest(), "code": code_digest(*SCORING)}
        length = training.epochs or training.steps
        found = walk.stages.do(f"learned-{length:g}", inputs, [], lambda walk=walk: {"ks": _distance(walk)})
        tried.append({"length": length, "ks": float(found["ks"])})
        if tried[-1]["ks"] >= MUST_FAIL:
            break
    unit = "epochs" if road.recipe.training.epochs else "steps"
    walk.road = replace(walk.road, facts={**road.facts, "learned": {"unit": unit, "tried": tried}})
    walk.pin()
    walk.train()
    return walk


def _distance(walk: Any) -> float:
    """KS distance between original and reference on the forgotten records."""
    from expunge.evaluation.per_item import PerItem
    from expunge.metrics.forget_quality import MODEL, REFERENCE, forget_quality
    from expunge.workflow.road import ORIGINAL
    from expunge.workflow.road import REFERENCE as RETRAINED

    walk.pin()
    walk.train()
    items = PerItem({"model": walk.measured(ORIGINAL), "reference": walk.measured(RETRAINED)})
    scores = {key: items.values(*key)[0] for key in (MODEL, REFERENCE)}
    return forget_quality(scores)


def _retire(walk: Any) -> None:
    """Set certificates of methods that this command does not run aside: its plan is about others."""
    folder: Path = walk.out / "certificates"
    for path in sorted(folder.glob("*.json")):
        if path.name.partition(".")[0] not in walk.outcomes:
            aside = folder / "superseded" / path.name
            aside.parent.mkdir(exist_ok=True)
            path.replace(aside)


def _pool(out: Path, walks: Sequence[Any], measured: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """Evidence, report and table over all seeds; returns the table."""
    from expunge.evaluation.over_seeds import over_seeds, partly_measured
    from expunge.workflow.conclude import Conclusion, write_findings
    from expunge.workflow.recompute import keep_walk
    from expunge.workflow.tofu_notes import notes

    whole = copy.copy(walks[0])
    whole.out = out
    whole.costs = {key: averaged([walk.costs[key] for walk in walks]) for key in walks[0].costs}
    seeds = [walk.road.seed for walk in walks]
    learned = [walk.road.facts["learned"] for walk in walks]
    found: dict[str, list[Any]] = {key: [tables[key] for tables in measured] for key in measured[0]}
    facts = {**walks[0].road.facts, "seeds": seeds, "learned": learned}
    if partly := partly_measured(found):
        facts["partly"] = partly
    whole.road = replace(walks[0].road, facts=facts)
    tables = over_seeds(found)
    evidence = Conclusion(whole, tables).evidence()
    scores = {key: [walk.out / "scores" / key for walk in walks] for key in measured[0]}
    below = notes(whole.road)
    keep_walk(out, whole, scores, walks[0].out / "corpus.jsonl", ridge={}, below=below)
    table = write_findings(out, evidence, below=below)
    Manifest.of(out).write(out)
    return table
