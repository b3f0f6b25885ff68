"""A convex target from its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from expunge.core.canonical import digest_file, read_json
from expunge.core.errors import ExpungeError, TargetError
from expunge.targets.convex.kept import model_of, tensors
from expunge.targets.convex.scaled import Scaled
from expunge.targets.convex.target import CARD, COEF, LOADER, SECRET, STATE, ConvexTarget


def load_convex(path: Path) -> ConvexTarget:
    """Load a folder that ``ConvexTarget.save`` wrote. A model that gives features is opened when it is first asked.

    Raises:
        TargetError: missing, damaged, or changed since it was saved.
        MissingExtra: without the extra ``hf``.
    """
    path = Path(path)
    card = read_json(path / CARD)
    try:
        if card["loader"] != LOADER:
            raise TargetError(f"{path} holds no convex model", why=f"its card names the loader {card['loader']!r}")
        for name in (COEF, SECRET, STATE):
            if digest_file(path / name) != card["files"][name]:
                why = "its digest differs from its card's"
                raise TargetError(f"{path / name} changed since it was saved", why=why)
        state = read_json(path / STATE)
        arrays = {**tensors().load_file(path / COEF), **tensors().load_file(path / SECRET)}
        features = None
        if state["features"] is not None:
            from expunge.engine.frozen import Frozen

            features = TypeAdapter(Frozen).validate_python(state["features"])
        found = ConvexTarget(
            model_of(state, arrays),
            TypeAdapter(Scaled).validate_python(state["scaled"]),
            features,
            state["salt"],
            state["forgotten"],
            state["features_units"],
        )
        stated = card["digest"]
    except ExpungeError:
        raise
    except Exception as error:
        # Whatever a damaged file makes of the state.
        first = str(error).partition("\n")[0]
        raise TargetError(f"cannot load a convex model from {path}", why=first or type(error).__name__) from error
    if found.digest() != stated:
        raise TargetError(f"the model in {path} changed since it was saved", why="its digest differs from its card's")
    return found
