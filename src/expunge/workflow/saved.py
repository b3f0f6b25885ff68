"""A target on disk that is loaded only when it is asked something."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge.core.access import Access, Oracle
from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.provenance import Provenance

CARD = "target.json"
LOADERS = {
    "convex": "expunge.engine.convex_opening:load_convex",
    "learner": "expunge.targets.learner:load_learner",
    "lm_parts": "expunge.engine.parts.language:load_lm_parts",
    "noisy": "expunge.targets.noisy.target:load_noisy",
    "private_classifier": "expunge.engine.private.opening:load_private_classifier",
    "private_lm": "expunge.targets.private.language:load_private_lm",
    "replayable": "expunge.targets.replayable:load_replayable",
    "sharded": "expunge.engine.parts.building:load_sharded",
    "voted": "expunge.engine.parts.voting:load_voted",
}
"""Name on a card -> what loads such a folder. A closed list: a card is data, and names no code of its own."""


def load_target(path: Path, card: Mapping[str, Any]) -> Any:
    """The target of a folder that is no overlay; without a loader on its card it is a language model.

    Raises:
        TargetError: nothing here loads it, or it changed since it was saved.
    """
    name = card.get("loader", "")
    if not name and card["kind"] == "causal_lm":
        from expunge.targets.causal_lm import load_causal_lm

        return load_causal_lm(path)
    if name not in LOADERS:
        why = f"its card names the loader {name!r}" if name else "its card does not say how it is loaded"
        raise TargetError(f"the {card['kind']} in {path} cannot be loaded", why=why)
    module, _, function = LOADERS[name].partition(":")
    return getattr(importlib.import_module(module), function)(path)


def overlay_on(path: Path, inner: Any) -> Any:
    """The overlay that a folder holds, a guard or an adapter, on a loaded target.

    Raises:
        TargetError: it changed since it was saved.
    """
    card = read_json(path / CARD)
    if "adapter" in card:
        from expunge.targets.adapted import load_adapted

        return load_adapted(path, inner)
    from expunge.targets.guarded import GuardedTarget

    guard = card["guard"]
    guarded = GuardedTarget(inner, guard["system"], tuple(guard["blocked"]), guard["refusal"], guard["salt"])
    if guarded.digest() != card["digest"]:
        raise TargetError(f"the guard in {path} changed since it was saved", why="its digest differs from its card's")
    return guarded


class Saved:
    """A target in a folder.

    Args:
        path: folder that ``save`` wrote.
        inner: what an overlay lies on; None for a model.

    Raises:
        TargetError: the folder holds no target.
    """

    def __init__(self, path: Path, *, inner: Saved | None = None) -> None:
        self.path, self.inner = path, inner
        if not (path / CARD).is_file():
            raise TargetError(f"no target in {path}", why=f"there is no {CARD}", next="Adopt the model first")
        self._card = read_json(path / CARD)
        self.kind = self._card["kind"]

    @cached_property
    def target(self) -> Any:
        """The target, loaded.

        Raises:
            TargetError: it changed since it was saved.
        """
        if self.kind == "overlay":
            if self.inner is None:
                raise TargetError(f"{self.path} is an overlay", why="the target below it is not given")
            return overlay_on(self.path, self.inner.target)
        return load_target(self.path, self._card)

    @property
    def provenance(self) -> Provenance:
        """Of the loaded target."""
        return self.target.provenance

    def digest(self) -> str:
        """As stated when it was saved; loading checks it."""
        return self._card["digest"]

    def oracle(self, access: Access) -> Oracle:
        """A handle on the loaded target."""
        return self.target.oracle(access)

    def save(self, path: Path) -> Any:
        """Save a copy elsewhere."""
        return self.target.save(path)
