"""Open a language model of parts from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.engine.parts.trainer import trainer_of
from expunge.targets.based import require_base
from expunge.targets.lm_parts import LOADER, PartsLM
from expunge.targets.sharded import CARD, Sharded


def load_lm_parts(folder: str | Path) -> PartsLM:
    """Open a target that was trained or saved.

    Raises:
        TargetError: there is none, it is unfinished, its base is gone, or either changed since it was made.
        UnknownName: no trainer has the name that it states.
    """
    place = Path(folder)
    if not (place / CARD).is_file():
        raise TargetError(f"no target in {place}", why=f"there is no {CARD}", next="Run the command that made it again")
    card = read_json(place / CARD)
    if card.get("loader") != LOADER:
        raise TargetError(f"{place} holds no language model of parts", why=f"it is a {card.get('kind')}")
    trainer: Any = trainer_of(card["trainer"])
    require_base(trainer.base, f"the model in {place}")
    target = PartsLM(Sharded(place, trainer, card))
    if target.digest() != card["digest"]:
        raise TargetError(
            f"the model in {place} changed since it was saved, or its base did",
            why="its digest, which is over both, differs from its card's",
            next="Restore them, or train the model again",
        )
    return target
