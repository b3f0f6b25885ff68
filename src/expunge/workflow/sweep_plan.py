"""The plan of a sweep: which trials fit into the budget, known and pinned before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.guarantee import Suppressed
from expunge.core.registry import methods
from expunge.core.selection import Selection
from expunge.core.space import draw, with_settings
from expunge.workflow.stages import TRAINING_CODE, code_digest, versions
from expunge.workflow.sweep_spec import Spec
from expunge.workflow.sweep_world import Part, World, split, split_digest, trainable

PLAN, OPENED, WORK = "sweep-plan.json", "opened.json", ".work"
GIVEN = "given"
CODE = (*TRAINING_CODE, "evaluation", "workflow/measure.py", "workflow/sweep_trial.py", "workflow/sweep_world.py")


def settings_line(settings: Mapping[str, Any]) -> str:
    """Settings as people read them.

    >>> settings_line({"beta": 0.25, "betas": (0.9, 0.98), "decay": "linear"}), settings_line({})
    ('beta 0.25, betas 0.9 0.98, decay linear', 'its own settings')
    """

    def told(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return " ".join(map(told, value))
        return value if isinstance(value, str) else f"{value:g}"

    return ", ".join(f"{name} {told(value)}" for name, value in settings.items()) or "its own settings"


@dataclass(frozen=True)
class Trial:
    """One setting of a method.

    Args:
        method: name.
        number: of the draw, counted from 0: what the method starts from.
        settings: where they differ from the method's own.
        tokens: forward and backward.
    """

    method: str
    number: int
    settings: Mapping[str, Any]
    tokens: int

    @property
    def recipe(self) -> Any:
        """The method, so set."""
        return with_settings(methods.get(self.method), self.settings)

    def plain(self) -> dict[str, Any]:
        """As the plan holds it."""
        body = {"method": self.method, "number": self.number, "settings": dict(self.settings)}
        return {**body, "tokens": self.tokens}


@dataclass(frozen=True)
class Plan:
    """What will run.

    Args:
        world: models and records.
        spec: what was asked.
        selection: the records.
        parts: subjects of each part.
        models: digests, by ``original``, ``reference`` and ``second``.
        budget: tokens a method.
        trials: of all methods, in the order of the spec.
        untuned: methods of which nothing but their own settings is tried.
        threads: of each worker.
    """

    world: World
    spec: Spec
    selection: Selection
    parts: Mapping[Part, frozenset[str]]
    models: Mapping[str, str]
    budget: int
    trials: tuple[Trial, ...]
    untuned: tuple[str, ...]
    threads: int

    @cached_property
    def measured(self) -> dict[str, Any]:
        """What every number is about and what it is judged by."""
        from expunge.workflow.verbs import find_policy

        return {
            "models": dict(self.models),
            "data": self.selection.digest(),
            "split": split_digest(self.parts),
            "policy": digest(find_policy(self.spec.policy)),
        }

    def pinned(self) -> dict[str, Any]:
        """What is fixed before anything runs."""
        return {
            **self.measured,
            "spec": digest(self.spec),
            "rule": self.spec.rule,
            "budget_tokens": self.budget,
            "trials": [{**trial.plain(), "recipe": trial.recipe.digest()} for trial in self.trials],
            "code": self.code,
        }

    @property
    def code(self) -> str:
        """Digest of what computes: code, versions of packages and threads of a worker."""
        return digest([self.threads, versions(), code_digest(*CODE)])

    def digest(self) -> str:
        """Digest of ``pinned``."""
        return digest(self.pinned())

    def key(self, what: str, recipe: Any = None, seed: int = 0) -> str:
        """Name of a result: made of what decides its bytes, code and versions included, and of nothing else.

        Args:
            what: ``trial``, or the part that is measured.
            recipe: the method as set; None for a model that is given.
            seed: of the run.
        """
        state = [self.measured, self.spec.draws, self.spec.seed, self.code]
        return digest([what, state, recipe and recipe.digest(), seed]).partition(":")[2][:20]


def affordable(trials: Iterable[Trial], budget: int) -> list[Trial]:
    """Those that are taken in order until the next would pass the budget.

    >>> costs = (40, 30, 50, 1)
    >>> [t.tokens for t in affordable((Trial("npo", k, {}, cost) for k, cost in enumerate(costs)), 75)]
    [40, 30]
    """
    taken: list[Trial] = []
    spent = 0
    for trial in trials:
        spent += trial.tokens
        if spent > budget:
            break
        taken.append(trial)
    return taken


def make_plan(world: World, spec: Spec, *, threads: int) -> Plan:
    """Read and check what a sweep needs, and count what its trials will cost. Writes nothing.

    Raises:
        ExpungeError: whatever is wrong with models, records, methods or settings.
        ConfigError: the budget does not suffice for a method's own settings.
        EvidenceError: the policy is for answers that a sweep does not ask for.
    """
    from expunge.workflow.verbs import adopt, check_apart, policy_for

    policy_for("as_retrained", spec.policy)
    selection = world.read()
    parts = split(selection, spec.share, seed=spec.seed)
    target = adopt(world.model)
    models = {"original": target.digest()}
    models |= {name: adopt(place).digest() for name, place in world.models.items() if name != "original"}
    check_apart(models)
    cost = _cost_of(target, trainable(selection, parts), spec.seeds[0])
    drawn = {name: _drawn(name, spec, cost) for name in spec.methods}
    first = {name: list(islice(stream, spec.asked_trials or 1)) for name, stream in drawn.items()}
    budget = spec.budget_tokens or max(sum(trial.tokens for trial in found) for found in first.values())
    taken: list[Trial] = []
    for name, found in first.items():
        fitting = affordable(chain(found, drawn[name]), budget)
        if not fitting:
            raise ConfigError(
                f"the budget of {budget:,} tokens does not suffice for {name}",
                why=f"its own settings take {found[0].tokens:,}",
                next="Raise the budget, or leave the method out",
            )
        taken += fitting
    counts = Counter(trial.method for trial in taken)
    untuned = tuple(name for name in spec.methods if counts[name] == 1)
    return Plan(world, spec, selection, parts, models, budget, tuple(taken), untuned, threads)


def _drawn(name: str, spec: Spec, cost: Callable[[Any], int]) -> Iterator[Trial]:
    """The different settings of a method among its first draws, each with its cost."""
    recipe = methods.get(name)
    space = spec.space_of(name, getattr(recipe, "tuned", ()))
    seen: set[str] = set()
    for number in range(max(spec.most, spec.asked_trials) if space else 1):
        settings = {**spec.start.get(name, {}), **draw(recipe, space, number, seed=spec.seed)}
        made = with_settings(recipe, settings)
        if digest(settings) not in seen:
            seen.add(digest(settings))
            yield Trial(name, number, settings, cost(made))


class _Remembered:
    """A target's template that encodes each record once, however many settings are counted."""

    def __init__(self, template: Any) -> None:
        self.template, self.encode = self, lru_cache(maxsize=None)(template.encode)

    def encode_all(self, examples: Examples) -> list[Any]:
        return [self.encode(e.record_id, e.question, e.answer) for e in examples]


def _cost_of(target: Any, selection: Selection, seed: int) -> Callable[[Any], int]:
    """Counts the tokens of a method. Other answers are made once for all settings that read the same."""
    known: dict[str, Selection] = {}
    remembered = _Remembered(target.template)

    def cost(recipe: Any) -> int:
        if not hasattr(recipe, "tokens") and not isinstance(recipe.claim, Suppressed):
            raise ConfigError(
                f"{recipe.name} cannot be swept",
                why="what it costs in tokens is not known before it runs",
                next="Leave it out",
            )
        if hasattr(recipe, "check"):
            recipe.check(target, selection, seed=seed, whole=False)
        if not hasattr(recipe, "tokens"):
            return 0
        source = getattr(recipe, "alternative", GIVEN)
        if source != GIVEN and source not in known:
            known[source] = replace(selection, forget=recipe.data(target, selection, seed=seed)["forget"])
        plain = recipe if source == GIVEN else replace(recipe, alternative=GIVEN)
        # What has no source of its own may hold a method that asks the model for other answers.
        asked = remembered if hasattr(recipe, "alternative") else target
        return int(plain.tokens(asked, known.get(source, selection), seed=seed))

    return cost


def check_place(out: Path, plan: Plan) -> None:
    """Raise where a folder cannot take the plan: reported subjects were opened there under another, or it is no sweep.

    Raises:
        ConfigError: it cannot.
    """
    if not (out / PLAN).is_file():
        if out.is_dir() and any(path.name != WORK for path in out.iterdir()):
            raise ConfigError(f"{out} holds other files", next="Choose an empty folder, or a name that is not taken")
        return
    if (out / OPENED).is_file() and read_json(out / OPENED)["plan"] != plan.digest():
        known = read_json(out / PLAN)
        changed = [name for name, value in plan.pinned().items() if digest(known.get(name)) != digest(value)]
        raise ConfigError(
            f"the reported subjects in {out} were opened under another plan",
            why=f"{' and '.join(changed)} changed, and whoever chooses again after that chooses by them",
            next="Restore what changed (code stands for this package, those below it and --threads), or take another "
            "folder and other people",
        )


def pin(out: Path, plan: Plan) -> None:
    """Write the plan, with the digests of those that it replaces.

    Raises:
        ConfigError: the folder cannot take it.
    """
    check_place(out, plan)
    kept = read_json(out / PLAN) if (out / PLAN).is_file() else {"digest": plan.digest(), "earlier": []}
    earlier = kept["earlier"] if kept["digest"] == plan.digest() else [*kept["earlier"], kept["digest"]]
    write_json(out / PLAN, {**plan.pinned(), "digest": plan.digest(), "earlier": earlier})


def open_reported(out: Path, plan: Plan) -> None:
    """Note that the reported subjects are looked at from now on, and under which plan."""
    write_json(out / OPENED, {"plan": plan.digest()})
