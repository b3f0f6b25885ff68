"""What a target lets one do with it, and the handle through which one does it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import TargetError


class Access(enum.Flag):
    """Flags of access. A hosted chat grants TEXT; open weights grant everything.

    >>> Access.LOGPROBS in Access.all()
    True
    """

    NONE = 0
    TEXT = enum.auto()
    LOGPROBS = enum.auto()
    FINETUNE = enum.auto()
    WEIGHTS = enum.auto()
    STORE_FILES = enum.auto()

    @classmethod
    def all(cls) -> Access:
        """Every flag that a model with open weights grants."""
        return cls.TEXT | cls.LOGPROBS | cls.FINETUNE | cls.WEIGHTS

    @property
    def names(self) -> tuple[str, ...]:
        """The single flags, by name, in declaration order."""
        return tuple(flag.name for flag in Access if flag in self and flag.name)


def _same(text: str) -> str:
    return text


def _same_pair(prompt: str, answer: str) -> str:
    return answer


@dataclass(frozen=True)
class Oracle:
    """A handle on a target with the flags that were granted. It computes nothing itself.

    Args:
        target: what is asked.
        access: granted flags.
        wrap: applied to each prompt before the target sees it (a system prompt, a template).
        filter: applied to (prompt, answer) before the caller sees the answer.
        system: a system message that the target's template puts first; empty for none.
    """

    target: Any
    access: Access
    wrap: Callable[[str], str] = _same
    filter: Callable[[str, str], str] = _same_pair
    system: str = ""

    def require(self, needed: Access, what: str) -> None:
        """Raise unless every flag of ``needed`` was granted.

        Raises:
            TargetError: names the missing flags.
        """
        missing = needed & ~self.access
        if missing:
            raise TargetError(
                f"{what} needs access {'+'.join(missing.names)}",
                why=f"the target grants {'+'.join(self.access.names) or 'none'}",
                next="Skip it, or ask the owner of the model for that access",
            )
