"""The shadow models that an evaluation asks for: checked, and their cost told, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, ExpungeError
from expunge.core.measure import SHADOWS
from expunge.core.outcome import Overlay
from expunge.workflow.shadow_model import drawn, method_of, recipe_of
from expunge.workflow.shadows import Tables, items_of, lacking, require_drawable, shadows

RECIPE = "recipe.json"
READS = ("lira", "u_lira", "u_lira_population")
"""What the table shows where there are shadow models; a policy may list every other attack that reads them."""


UNLIKE = "shadow models cannot forget as this one did"


@dataclass(frozen=True)
class Shadows:
    """Shadow models that an evaluation trains, or finds trained.

    Args:
        out: folder of theirs. It is private: its models know the records.
        recipe: plain fine-tuning, by which the judged model and its reference were trained.
        models: an even number of at least 4; from 64 on attacks fit each record's own variance.
        settings: of the judged method, where they differ from its own.
    """

    out: Path
    recipe: Any
    models: int = 8
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def known_recipe(reference: str, file: Path | None = None) -> Any:
    """The recipe by which a reference was trained, as a file states it: ``base``, ``training`` and ``on_long``.

    Args:
        reference: folder of it.
        file: that states the recipe; by default ``recipe.json`` in that folder.

    Raises:
        ConfigError: there is no such file, or it states no recipe of plain fine-tuning.
    """
    place = file or Path(reference) / RECIPE
    form = '{"base": "MODEL BEFORE TRAINING", "training": {"lr": 1e-5, "epochs": 5}}'
    if not place.is_file():
        raise ConfigError(
            "shadow models cannot be trained: the recipe of the reference is not known",
            why=f"there is no {place}",
            next=f"State it there, or in a file given with --recipe: {form}",
        )
    try:
        body = read_json(place)
        if unknown := sorted(set(body) - {"base", "training", "on_long"}):
            raise ConfigError(f"{place} states no recipe", why=f"{unknown[0]} is no part of one", next=f"Write {form}")
        return recipe_of({"on_long": "error", **body})
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        why = " ".join(str(error).split())[:160]
        raise ConfigError(f"{place} states no recipe", why=why, next=f"Write {form}") from error


def check_shadows(asked: Shadows, outcome: Any, reference: Any, *, seed: int) -> None:
    """Raise what would keep shadow models from being trained for an outcome. Trains and writes nothing.

    Args:
        asked: which.
        outcome: that is judged.
        reference: loaded.
        seed: of the evaluation.

    Raises:
        ConfigError: their recipe makes other models than the reference, or the method that was run is not the one that
            they would be made to forget by.
        ExpungeError: as ``shadows``.
    """
    if isinstance(outcome, Overlay):
        why = "its weights are the original's, and shadow models are told apart by log-probabilities"
        raise ConfigError("an overlay is not attacked by shadow models", why=why, next="Leave them out")
    if "given" in outcome.notes:
        why = f"of the forgotten records, {outcome.notes['given']}"
        raise ConfigError(UNLIKE, why=why, next="Leave them out")
    require_drawable(asked.recipe, outcome.selection, asked.models, outcome.wish)
    try:
        method = _method(asked, outcome)
        other = method.digest() != outcome.recipe
    except ExpungeError as error:
        raise ConfigError(UNLIKE, why=error.what, next="Leave them out") from error
    if other:
        raise ConfigError(
            UNLIKE,
            why=f"the settings of {method.name} that it was made with are not known",
            next="Give them as settings of the Shadows, or run expunge unlearn again, which notes them",
        )
    _require_alike(asked.recipe, reference, seed)


def _method(asked: Shadows, outcome: Any) -> Any:
    return method_of(outcome.method.partition("/")[0], asked.settings, asked.recipe, outcome.wish)


def _require_alike(recipe: Any, reference: Any, seed: int) -> None:
    from expunge.targets.causal_lm import config_digest, tokenizer_digest

    start, loaded = recipe.start(seed=seed), getattr(reference, "target", reference)
    own, other = ((config_digest(t.model), tokenizer_digest(t.tokenizer)) for t in (start, loaded))
    if own != other:
        raise ConfigError(
            "the recipe of the shadow models is not that of the reference",
            why="it makes a model of another shape" if own[0] != other[0] else "it makes one with another tokenizer",
            next="State the recipe by which the reference was trained",
        )


def shadow_tables(asked: Shadows, outcome: Any, *, seed: int) -> Tables:
    """The score tables of the shadow models of an outcome; what is not there is trained.

    Args:
        asked: which, as checked.
        outcome: that is judged.
        seed: of the evaluation.
    """
    name = outcome.method.partition("/")[0]
    how: dict[str, Any] = {"method": name, "settings": asked.settings, "wish": outcome.wish}
    return shadows(asked.out, asked.recipe, outcome.selection, models=asked.models, seed=seed, **how)


def shadow_cost(asked: Shadows, outcome: Any, *, seed: int) -> dict[str, Any]:
    """What shadow models will cost that are not there yet. Trains and writes nothing.

    Args:
        asked: which, as checked.
        outcome: that is judged.
        seed: of the evaluation.

    Returns:
        ``models``, ``to_train``, ``to_unlearn``; ``tokens`` that will go forward and backward, counted on one pair of
        the models and multiplied, None where the method cannot tell; ``trainings`` of a reference that they equal.
    """
    from expunge.core.objective import as_loss
    from expunge.engine.cost import tokens_of
    from expunge.engine.finetune import LIKELY

    method, selection, training = _method(asked, outcome), outcome.selection, asked.recipe.training
    about = {"method": outcome.method.partition("/")[0], "settings": dict(asked.settings), "wish": outcome.wish}
    items = items_of(asked.out, asked.recipe, selection, about, models=asked.models, seed=seed)
    missing = [lacking(item) for item in items]
    to_train, to_unlearn = (sum(each[part] for each in missing) for part in SHADOWS)
    start, pair = asked.recipe.start(seed=seed), [drawn(selection, number, seed) for number in (0, 1)]

    def trained(examples: Any) -> int:
        return tokens_of(start, as_loss(LIKELY), {"retain": examples}, training, seed=seed)

    def unlearned(own: Any) -> int | None:
        if hasattr(method, "with_recipe"):
            return trained(own.retain)
        return method.tokens(start, own, seed=seed) if hasattr(method, "tokens") else None

    told = [unlearned(own) for own in pair] if to_unlearn else [0, 0]
    counted = [count for count in told if count is not None]
    tokens = to_train * sum(trained(own.retain + own.forget) for own in pair) + to_unlearn * sum(counted)
    whole = tokens // 2 if len(counted) == len(told) else None
    facts = {"models": asked.models, "to_train": to_train, "to_unlearn": to_unlearn, "tokens": whole}
    return {**facts, "trainings": None if whole is None else round(whole / trained(selection.retain), 1)}


def cost_text(cost: Mapping[str, Any]) -> str:
    """The cost in a sentence.

    >>> cost_text({"models": 8, "to_train": 6, "to_unlearn": 8, "tokens": 41000, "trainings": 9.5})
    'would train 6 of 8 shadow models and unlearn 8: about 41,000 tokens, as 9.5 trainings of a reference'
    """
    count = f"would train {cost['to_train']} of {cost['models']} shadow models and unlearn {cost['to_unlearn']}"
    if cost["tokens"] is None:
        return f"{count}: what the unlearning costs is not known before it runs"
    return f"{count}: about {cost['tokens']:,} tokens, as {cost['trainings']} trainings of a reference"
