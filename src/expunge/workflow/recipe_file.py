"""A recipe as JSON or YAML: the name of a registered recipe, and its settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from expunge.core.errors import ConfigError, StoreError, UnknownName
from expunge.core.registry import recipes
from expunge.workflow.run import require_extra

NAME = "recipe"
LEARNER = "learner"
ENDINGS = (".yaml", ".yml", ".json")


def told(recipe: Any) -> dict[str, Any]:
    """A recipe as JSON: its name in the registry, and its settings.

    Raises:
        ConfigError: no registry knows it, so that nobody could train by it again.

    >>> from expunge.engine.recipes.learner import LearnerRecipe
    >>> told(LearnerRecipe("ridge", {"penalty": 0.5}))["settings"]
    {'penalty': 0.5}
    """
    kind = cast("type[Any]", type(recipe))
    name = kind.__module__.rpartition(".")[2]
    if name not in recipes.names() or recipes.get(name) is not kind:
        raise ConfigError(
            f"{kind.__name__} is no registered recipe",
            why="it could not be run again from what a folder records",
            next=f"Use one of {', '.join(recipes.names())}",
        )
    own: Any = getattr(recipe, "settings", None)
    settings: Any = own() if callable(own) else TypeAdapter(kind).dump_python(recipe, mode="json")
    return {NAME: name, **settings}


def recipe_of(told: Mapping[str, Any]) -> Any:
    """The recipe that ``told`` described, or that a file states.

    Args:
        told: ``recipe`` names it; the rest are its settings. The name of a learner stands for the recipe ``learner``
            with that name, and the rest are the learner's settings.

    Raises:
        UnknownName: no such recipe, or it has no such setting.
        ConfigError: a setting does not fit, or the recipe is not named.
        MissingExtra: the packages of the extra ``hf`` are not installed.
    """
    settings = dict(told)
    name = settings.pop(NAME, None)
    if not isinstance(name, str):
        raise ConfigError("the recipe is not named", why=f"there is no {NAME!r}", next=f"Give {NAME}: and a name")
    require_extra("expunge train")
    if name not in recipes.names():
        return _learner(name, settings)
    kind = recipes.get(name)
    known = [field.name for field in fields(kind)]
    for given in settings:
        if given not in known:
            raise UnknownName(f"setting of the recipe {name}", given, known)
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        # Of a base that is a name or a shape, the one that was meant got furthest.
        first = max(error.errors(), key=lambda found: len(found["loc"]))
        where = ".".join(map(str, first["loc"])) or name
        raise ConfigError(f"a setting of the recipe {name} does not fit: {where}", why=str(first["msg"])) from error
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"a setting of the recipe {name} does not fit", why=f"{type(error).__name__} {error}"
        ) from error


def _learner(name: str, settings: Mapping[str, Any]) -> Any:
    """The recipe that fits one learner.

    Raises:
        UnknownName: no recipe and no learner has that name, or the learner has no such setting.
        ConfigError: a setting is no number where one belongs, or one is missing.
    """
    from expunge.targets.learner import learners

    if name not in learners.names():
        raise UnknownName("recipe", name, [*recipes.names(), *learners.names()])
    kind, takes = recipes.get(LEARNER), inspect.signature(learners.get(name)).parameters
    own = {field.name for field in fields(kind)} - {"name", "settings"}
    for given, value in settings.items():
        if given not in takes and given not in own:
            raise UnknownName(f"setting of the learner {name}", given, {*takes, *own})
        if given in takes and isinstance(takes[given].default, (int, float)) and not isinstance(value, (int, float)):
            raise ConfigError(f"{given} of the learner {name} cannot be {value!r}", next="Give a number")
    missing = next((key for key, value in takes.items() if value.default is value.empty and key not in settings), None)
    if missing is not None:
        raise ConfigError(
            f"the learner {name} needs the setting {missing}", next=f"Write {missing}: in a file, or --set {missing}="
        )
    # A command line reads 1e-12 as a number, where the learner has a name of that spelling.
    inner = {
        key: str(value) if isinstance(takes[key].default, str) and isinstance(value, float) else value
        for key, value in settings.items()
        if key not in own
    }
    # The name alone of a learner within another stands for it.
    if LEARNER in takes and isinstance(inner.get(LEARNER), str):
        inner[LEARNER] = {LEARNER: inner[LEARNER]}
    return kind(name=name, settings=inner, **{key: value for key, value in settings.items() if key in own})


def read_recipe(given: str, settings: Mapping[str, Any] | None = None) -> Any:
    """A recipe from a YAML or JSON file, or by its name.

    Args:
        given: path of a file, or a name.
        settings: that stand above those of the file; ``trainer.name`` names a setting within ``trainer``.

    Raises:
        StoreError: the file cannot be read, or holds no settings.
        UnknownName: there is no such recipe or setting.
        ConfigError: a setting does not fit.
    """
    path = Path(given)
    body: Any = {NAME: given}
    if given.lower().endswith(ENDINGS):
        try:
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise StoreError(f"cannot read the recipe {path}", why=error.strerror or str(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} is not YAML", why=str(error).partition("\n")[0]) from error
    if not isinstance(body, dict):
        raise StoreError(f"{path} holds no settings", next=f"Write {NAME}: NAME, and a line for each setting")
    return recipe_of(_with(cast("dict[str, Any]", body), settings or {}))


def _with(body: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which some are replaced; a dot leads into one that has settings of its own.

    Raises:
        ConfigError: a dot leads into one that has none.

    >>> _with({"recipe": "sisa", "trainer": {"lr": 0.5}}, {"shards": 4, "trainer.lr": 0.25})
    {'recipe': 'sisa', 'trainer': {'lr': 0.25}, 'shards': 4}
    """
    found = dict(body)
    for name, value in settings.items():
        first, dot, rest = name.partition(".")
        within: Any = found.get(first) or {}
        if dot and not isinstance(within, dict):
            raise ConfigError(
                f"{first} has no settings of its own", why=f"it is {within!r:.80}", next=f"Give {first}=VALUE"
            )
        found[first] = _with(dict(cast("dict[str, Any]", within)), {rest: value}) if dot else value
    return found
