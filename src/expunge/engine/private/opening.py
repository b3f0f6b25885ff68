"""A private classifier from its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.engine.trainers.module import Module
from expunge.targets.private.account import read_account, require_alike
from expunge.targets.private.classifier import CARD, LOADER, MODEL, PrivateClassifier


def load_private_classifier(path: Path) -> PrivateClassifier:
    """Load a folder that ``PrivateClassifier.save`` wrote. The factory on its card is called: open only what you trust.

    Raises:
        TargetError: missing, damaged, or changed since it was saved.
    """
    path = Path(path)
    card = read_json(path / CARD)
    if card.get("loader") != LOADER:
        raise TargetError(f"{path} holds no private classifier", why=f"its card names {card.get('loader')!r}")
    try:
        trainer = TypeAdapter(Module).validate_python(card["trainer"])
    except (KeyError, ValidationError) as error:
        raise TargetError(f"the card of {path} describes no module", why=str(error).partition("\n")[0]) from error
    found = PrivateClassifier(trainer, trainer.load(path / MODEL), read_account(path))
    require_alike(path, card, found.digest())
    return found
