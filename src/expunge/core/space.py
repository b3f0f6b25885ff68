"""The settings of a method by name: what they are, how they are changed, and how trials of them are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from expunge.core.canonical import digest
from expunge.core.control import Control
from expunge.core.errors import ConfigError, UnknownName
from expunge.core.objective import Constant, Loss, Term, as_loss
from expunge.core.seeds import derive

R = TypeVar("R")
Space = Sequence[tuple[str, float, float]]
Settings = tuple[tuple[str, Any], ...]
RETAIN_WEIGHT = "retain_weight"
IDENTITY = frozenset(
    {"loss", "name", "version", "source", "tuned", "controls", "auxiliaries", "recipe", "method", "pool"}
)
"""Fields that say what a method is or where it runs, not how it is set."""


def settings_of(recipe: Any) -> dict[str, Any]:
    """What can be set of a method, by name, as it stands.

    Its own fields; settings of the terms of its loss, of the controls that find them, and of its step controls;
    ``retain_weight``, the weight of the first term on retain; and what can be set of a ``method`` that it is laid
    around. A field hides what has its name elsewhere; terms and controls that share a name share the setting.

    >>> from expunge.methods.gradient.npo import npo
    >>> found = settings_of(npo)
    >>> found["beta"], found["retain_weight"], found["lr"]
    (0.45, 1.0, 0.004)
    """
    if not is_dataclass(recipe):
        return {}
    found: dict[str, Any] = {}
    loss = _loss_of(recipe)
    for term in loss.terms if loss else ():
        if term.role == "retain":
            found.setdefault(RETAIN_WEIGHT, term.weight)
        bound = dict(term.formula.defaults) | dict(term.settings)
        for name in dict.fromkeys((*dict(term.settings), *term.formula.settings)):
            found.setdefault(name, bound.get(name))
        for value in bound.values():
            if isinstance(value, Constant):
                found = dict(value.settings) | found
    for control in _controls_of(recipe):
        found = dict(control.settings) | found
    found = settings_of(getattr(recipe, "method", None)) | found
    own = {field.name: getattr(recipe, field.name) for field in fields(recipe) if field.name not in IDENTITY}
    return {name: value for name, value in (found | own).items() if not isinstance(value, Constant)}


def with_settings(recipe: R, settings: Mapping[str, Any]) -> R:
    """The same method with some of its settings changed, and its version marked by them.

    Args:
        recipe: a method.
        settings: name -> value, of those that ``settings_of`` lists. ``steps`` and ``epochs`` replace each other. A
            new ``retain_weight`` scales all terms on retain alike.

    Raises:
        UnknownName: it has no such setting.
        ConfigError: a value does not fit.

    >>> from expunge.methods.gradient.calibrated_ascent import calibrated_ascent
    >>> other = with_settings(calibrated_ascent, {"scale": 0.25, "retain_weight": 3.0, "steps": 7})
    >>> other.loss.terms[0].settings[0][1].settings, other.loss.terms[1].weight, other.steps
    ((('scale', 0.25),), 3.0, 7)
    """
    if not settings:
        return recipe
    known = settings_of(recipe)
    title = str(getattr(recipe, "name", type(recipe).__name__))
    for name, value in settings.items():
        if name not in known:
            raise UnknownName(f"setting of {title}", name, known)
        _require_kind(name, known[name], value)
    if settings.get(RETAIN_WEIGHT, 0) < 0:
        raise ConfigError(f"{RETAIN_WEIGHT} cannot be {settings[RETAIN_WEIGHT]}", next="Give 0 or a number above it")
    own = {field.name for field in fields(cast("Any", recipe))} - IDENTITY
    changed: dict[str, Any] = {name: value for name, value in settings.items() if name in own}
    inner = {name: value for name, value in settings.items() if name not in own}
    if "steps" in changed and "epochs" in own:
        changed.setdefault("epochs", 0.0)
    elif "epochs" in changed and "steps" in own:
        changed["steps"] = 0
    if inner and (loss := _loss_of(recipe)):
        weighed = _weighed(loss.terms, inner.get(RETAIN_WEIGHT))
        changed["loss"] = Loss(tuple(_with_term(term, inner) for term in weighed))
    if inner and (controls := _controls_of(recipe)):
        changed["controls"] = tuple(Control(c.name, _updated(c.settings, inner)) for c in controls)
    if inner and (nested := settings_of(getattr(recipe, "method", None))):
        within = {name: value for name, value in inner.items() if name in nested}
        changed["method"] = with_settings(cast("Any", recipe).method, within)
    changed["version"] = f"{getattr(recipe, 'version', '1')}+{digest(dict(settings))[7:15]}"
    try:
        return replace(cast("Any", recipe), **changed)
    except ValidationError as error:
        raise ConfigError(f"a setting of {title} does not fit", why=str(error.errors()[0]["msg"])) from error


def _require_kind(name: str, known: Any, value: Any) -> None:
    """Raise where a value is of another kind than the one that stands.

    Raises:
        ConfigError: a fraction for a whole number, a number for a switch, text for a number, or no finite number.
    """
    kinds = (
        (bool, bool, "true or false"),
        (int, int, "a whole number"),
        (float, (int, float), "a finite number"),
        (str, str, "text"),
    )
    for kind, allowed, wanted in kinds:
        if isinstance(known, kind):
            if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(f"{name} cannot be {value}", next=f"Give {wanted}")
            break
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} cannot be {value}", next="Give a finite number")


def _loss_of(recipe: Any) -> Loss | None:
    loss = getattr(recipe, "loss", None)
    return as_loss(loss) if isinstance(loss, (Loss, Term)) else None


def _controls_of(recipe: Any) -> tuple[Control, ...]:
    return tuple(c for c in getattr(recipe, "controls", ()) if isinstance(c, Control))


def _updated(settings: Settings, given: Mapping[str, Any]) -> Settings:
    return tuple((name, given.get(name, value)) for name, value in settings)


def _weighed(terms: Sequence[Term], weight: float | None) -> list[Term]:
    """Terms of which those on retain are scaled alike, so that the first comes to a weight."""
    first = next((term.weight for term in terms if term.role == "retain"), None)
    if weight is None or first is None:
        return list(terms)

    def scaled(term: Term) -> float:
        return float(weight) if not first or term.weight == first else term.weight * (weight / first)

    return [replace(term, weight=scaled(term)) if term.role == "retain" else term for term in terms]


def _with_term(term: Term, given: Mapping[str, Any]) -> Term:
    """A term with what it has of the settings, bound before or left at its default."""
    bound = dict(term.settings)
    for name, value in bound.items():
        if isinstance(value, Constant):
            bound[name] = Constant(value.control, _updated(value.settings, given))
    names = {name for name in (*bound, *term.formula.settings) if not isinstance(bound.get(name), Constant)}
    bound |= {name: value for name, value in given.items() if name in names}
    return replace(term, settings=tuple(sorted(bound.items())))


def draw(recipe: Any, space: Space, trial: int, *, seed: int) -> dict[str, Any]:
    """The settings of one trial. The first are the method's own.

    A setting is drawn log-uniformly between its bounds from the seed, the method's name, its own name and the trial's
    number, to four digits; so a trial is the same however many others there are. It is a whole number where it stands
    at one and both bounds are.

    Args:
        recipe: a method.
        space: (setting, lowest, highest).
        trial: counted from 0.
        seed: of the search.

    Raises:
        UnknownName: the method has no such setting.
        ConfigError: bounds that are not 0 < lowest <= highest.

    >>> from expunge.methods.gradient.npo import npo
    >>> space = (("beta", 0.1, 0.9), ("steps", 100, 200))
    >>> draw(npo, space, 0, seed=5)
    {}
    >>> found = draw(npo, space, 2, seed=5)
    >>> 0.1 <= found["beta"] <= 0.9, 100 <= found["steps"] <= 200, type(found["steps"]).__name__
    (True, True, 'int')
    """
    known = settings_of(recipe)
    found: dict[str, Any] = {}
    for name, low, high in space:
        if name not in known:
            raise UnknownName(f"setting of {recipe.name}", name, known)
        if not 0 < low <= high < math.inf:
            raise ConfigError(
                f"{name} of {recipe.name} cannot be drawn between {low:g} and {high:g}",
                why="trials are drawn log-uniformly",
                next="Give bounds with 0 < lowest <= highest",
            )
        value = low * (high / low) ** (derive(seed, "trial", recipe.name, name, trial) / 2**63)
        if isinstance(known[name], int) and low == int(low) and high == int(high):
            found[name] = min(max(round(value), int(low)), int(high))
        else:
            found[name] = min(max(float(f"{value:.4g}"), low), high)
    return found if trial else {}
