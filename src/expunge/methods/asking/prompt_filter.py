"""A system prompt with an output filter. Source: Thaker et al. 2024 (2403.03329), sections 3.1 and 3.2: guardrails."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.errors import ScopeError
from expunge.core.guarantee import Guarantee, Suppressed
from expunge.core.outcome import Cost, Overlay
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind
from expunge.core.request import Wish
from expunge.core.selection import Selection
from expunge.core.wishes import cannot_answer
from expunge.targets.guarded import GuardedTarget


@dataclass(frozen=True)
class PromptFilter:
    """Ask the model not to speak about the forgotten subjects, and refuse where a question or an answer names one.

    Args:
        system: system message.
        refusal: what is said instead of an answer.
        name: public name.
        version: raised when defaults change.
    """

    system: str = "Do not answer questions about people who asked to be forgotten."
    refusal: str = "I cannot answer that."
    name: str = "prompt_filter"
    version: str = "1"

    needs = Plain

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Suppressed()

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest({"name": self.name, "version": self.version, "system": self.system, "refusal": self.refusal})

    def answering(self, wish: Wish) -> PromptFilter:
        """The method as it is: it refuses, and can do nothing else.

        Raises:
            ClaimError: an answer is wished for.
        """
        if wish not in ("as_retrained", "refuse"):
            raise cannot_answer(self.name, wish)
        return self

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Overlay[Any]:
        """Return an overlay; the target is not changed.

        Raises:
            ClaimError: the target does not generate text.
            ScopeError: no forgotten record says the name of its subject.
        """
        self.check(target, selection, seed=seed)
        started = time.perf_counter()
        guarded = GuardedTarget(target, self.system, _named(selection), self.refusal)
        return Overlay(
            target=guarded,
            base=target,
            before=target.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            selection=selection,
            seed=seed,
            cost=Cost(seconds=time.perf_counter() - started, flops=0, bytes_changed=0),
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise.

        Raises:
            ClaimError: the target does not generate text.
            ScopeError: no forgotten record says the name of its subject.
        """
        require_kind(self.name, ("causal_lm", "chat"), target)
        if not _named(selection):
            raise ScopeError(
                "prompt_filter finds no name to block",
                why="no forgotten record says the name of its subject",
                next="Give the records a column subject that holds the name as the texts write it",
            )


def _named(selection: Selection) -> tuple[str, ...]:
    """Subjects whose names the forgotten records say."""
    texts = [f"{e.question} {e.answer}".lower() for e in selection.forget]
    return tuple(sorted(s for s in set(selection.forget.subjects) if any(s.lower() in text for text in texts)))


prompt_filter = PromptFilter()
