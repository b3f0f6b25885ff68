"""A plan as people read it before it runs: trials, tokens, and how long the training may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.workflow.sweep_plan import Plan, settings_line
from expunge.workflow.sweep_world import trainable

SHORT = (2, 6)
"""Steps of the two runs by which speed is measured: their difference is free of what every run costs."""


def told(plan: Plan, *, workers: int) -> dict[str, Any]:
    """The plan with an estimate of the seconds of its training, on this machine as busy as it is now.

    Args:
        plan: to be told.
        workers: that will share the work.
    """
    speed = _speed(plan)
    further = len(plan.spec.seeds) - 1
    tokens = sum(trial.tokens for trial in plan.trials)
    methods: dict[str, Any] = {}
    for name in plan.spec.methods:
        own = [trial for trial in plan.trials if trial.method == name]
        methods[name] = {
            "trials": [trial.plain() for trial in own],
            "tokens": sum(trial.tokens for trial in own),
            "untuned": name in plan.untuned,
        }
        # A chosen setting costs at most what the costliest trial does, once more for each further seed.
        tokens += further * max(trial.tokens for trial in own)
    seconds = None
    if speed is not None:
        runs = len(plan.trials) + further * len(methods)
        seconds = round((speed[0] * runs + speed[1] * tokens) / workers, 1)
    return {
        "budget_tokens": plan.budget,
        "chosen_by": plan.spec.rule,
        "methods": methods,
        "seconds": seconds,
        "seeds": list(plan.spec.seeds),
        "subjects": {part: len(subjects) for part, subjects in plan.parts.items()},
        "tokens": tokens,
    }


def _speed(plan: Plan) -> tuple[float, float] | None:
    """Seconds that any run takes, and seconds a token, of the first method that takes steps; None if none does."""
    from expunge.core.registry import methods
    from expunge.core.space import settings_of, with_settings
    from expunge.workflow.verbs import adopt

    recipe = next((m for name in plan.spec.methods if "steps" in settings_of(m := methods.get(name))), None)
    if recipe is None:
        return None
    target, seed = adopt(plan.world.model), plan.spec.seeds[0]
    selection = trainable(plan.selection, plan.parts)
    short, longer = (
        with_settings(recipe, {"steps": steps}).unlearn(target, selection, seed=seed).cost for steps in SHORT
    )
    each = max(0.0, longer.seconds - short.seconds) / max(1, longer.tokens - short.tokens)
    return max(0.0, short.seconds - each * short.tokens), each


def plan_text(facts: Mapping[str, Any]) -> str:
    """The plan in lines.

    Args:
        facts: of ``told``.
    """
    people = facts["subjects"]
    lines = [
        f"would spend at most {facts['budget_tokens']:,} tokens a method, forward and backward; "
        f"{facts['tokens']:,} in all, with the seeds {', '.join(map(str, facts['seeds']))}",
        f"chosen: {facts['chosen_by']}",
        f"subjects: {people['validation']} choose, {people['reported']} others are reported",
    ]
    for name, found in facts["methods"].items():
        lines.append(f"{name}: {found['tokens']:,} tokens{', untuned' if found['untuned'] else ''}")
        for trial in found["trials"]:
            lines.append(f"  draw {trial['number']}: {trial['tokens']:,} tokens, {settings_line(trial['settings'])}")
    if facts["seconds"] is not None:
        lines.append(f"about {facts['seconds']:g} s of training, by two short runs here; measuring comes on top")
    return "\n".join(lines)
