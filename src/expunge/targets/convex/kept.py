"""A convex model as arrays and JSON: what may be published apart from what is secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import MissingExtra, TargetError
from expunge.targets.convex.budget import Ledger
from expunge.targets.convex.head import Head
from expunge.targets.convex.losses import KNOWN, OneVsRest, loss_named
from expunge.targets.convex.model import Answered, ConvexModel
from expunge.targets.convex.objective import Objective
from expunge.targets.learners._rows import rows_of

Arrays = dict[str, NDArray[Any]]


def published(model: ConvexModel) -> Arrays:
    """The parameters (d, k) of each head: all that the certificate lets be shown."""
    return {f"W{at}": head.W for at, head in enumerate(model._heads)}


def secret(model: ConvexModel) -> Arrays:
    """Rows and targets that are held and no others; and of each head the noise, and the Hessian with its point."""
    if not model._heads:
        return {}
    block = model._rows.ordered
    assert block.y is not None
    found: Arrays = {"X": block.X, "y": block.y, "gram": model._heads[0].gram}
    for at, head in enumerate(model._heads):
        found |= {f"b{at}": head.objective.b, f"at{at}": head.at, f"hessian{at}": head.hessian}
    return found


def written(model: ConvexModel) -> dict[str, Any]:
    """Settings, ids, ledgers and log, for JSON; of a loss its name."""
    loss = loss_named(model.loss)
    known = next((name for name, value in KNOWN.items() if value == loss), f"own {loss.name}")
    classes = None if model.classes is None else list(model.classes)
    return {
        "settings": {**model.get_params(), "loss": known, "classes": classes},
        "classes": None if model._classes is None else model._classes.tolist(),
        "ids": list(model._rows.names),
        "draws": model._draws,
        "ledgers": [asdict(head.ledger) for head in model._heads],
        "log": [asdict(answered) for answered in model._log],
    }


def require_named_loss(model: ConvexModel) -> None:
    """Raise unless a file can say which loss a model has.

    Raises:
        TargetError: it is one of the user's own.
    """
    if loss_named(model.loss) not in KNOWN.values():
        what, why = "a model with a loss of your own cannot be saved", "a file would have to hold its code"
        raise TargetError(what, why=why, next="Keep it in memory, or use a loss by its name")


def model_of(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ConvexModel:
    """The model that ``published``, ``secret`` and ``written`` describe.

    Raises:
        KeyError: a part is missing.
        ExpungeError: a setting is none that a model has.
    """
    settings = dict(state["settings"])
    if settings["classes"] is not None:
        settings["classes"] = tuple(settings["classes"])
    model = ConvexModel(**settings)
    loss = model._settled()
    model._draws = int(state["draws"])
    if not state["ids"]:
        return model
    rows = rows_of(state["ids"], _own(arrays["X"]), _own(arrays["y"]))
    model._rows = rows
    model._classes = None if state["classes"] is None else np.array(state["classes"])
    model._log = tuple(Answered(**told) for told in state["log"])
    model._learned_with = model.get_params()
    one = loss.of if isinstance(loss, OneVsRest) else loss
    several = isinstance(loss, OneVsRest)
    made: list[Head] = []
    for at, told in enumerate(state["ledgers"]):
        place = at if several else 1 if one.reads == "sign" else None
        objective = Objective(one, rows, model.lam, arrays[f"b{at}"], place)
        parts = (arrays[f"W{at}"], arrays[f"at{at}"], arrays[f"hessian{at}"], arrays["gram"])
        made.append(Head(objective, *parts, Ledger(**told)))
    model._heads = tuple(made)
    return model


def _own(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and bytes.

    >>> arrays_digest({"W0": np.array([0.5])}) == arrays_digest({"W0": np.array([0.25])})
    False
    """
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        hasher.update(array.tobytes())
    return "sha256:" + hasher.hexdigest()


def tensors() -> Any:
    """What reads and writes files of arrays.

    Raises:
        MissingExtra: without the extra ``hf``.
    """
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra("keeping a convex model on file", "hf", "safetensors") from error
    return safetensors.numpy
