"""A target behind a system prompt and an output filter: what its users see of it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Guarded, Provenance


@dataclass(frozen=True)
class GuardedTarget:
    """Another target that answers through a guard. It grants text and nothing else: the weights still know.

    Args:
        inner: the target below.
        system: system message put before every conversation.
        blocked: names that must not be spoken about.
        refusal: what is said instead.
        salt: hex; keeps the digest from telling who is blocked.
    """

    inner: Any
    system: str
    blocked: tuple[str, ...]
    refusal: str
    salt: str = field(default_factory=lambda: secrets.token_hex(16))
    kind: Literal["overlay"] = "overlay"

    def __post_init__(self) -> None:
        # Not \b, which asks for a letter on one side: a name may end in a full stop.
        names = "|".join(re.escape(name) for name in sorted(self.blocked, key=len, reverse=True) if name)
        pattern = rf"(?<!\w)(?:{names})(?!\w)" if names else r"(?!)"
        object.__setattr__(self, "_pattern", re.compile(pattern, re.IGNORECASE))

    def answer(self, prompt: str, answer: str) -> str:
        """The refusal where the prompt or the answer names somebody who is blocked, else the answer."""
        pattern: re.Pattern[str] = self.__dict__["_pattern"]
        return self.refusal if pattern.search(prompt) or pattern.search(answer) else answer

    @property
    def provenance(self) -> Provenance:
        """Guarded: what lies below and by what policy."""
        return Guarded(
            inner=self.inner.digest(), policy=digest([self.salt, self.system, sorted(self.blocked), self.refusal])
        )

    def digest(self) -> str:
        """Digest of the target below and of the guard."""
        return digest(self.provenance)

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants at most text."""
        return Oracle(self.inner, access & Access.TEXT, filter=self.answer, system=self.system)

    def save(self, path: Path) -> Manifest:
        """Write the guard alone; the target below is saved where it always was."""
        with replace_folder(Path(path)) as folder:
            guard = {"system": self.system, "blocked": list(self.blocked), "refusal": self.refusal, "salt": self.salt}
            write_json(folder / "target.json", {"kind": self.kind, "digest": self.digest(), "guard": guard})
        return Manifest((entry(Path(path), Path(path) / "target.json", personal=True),))
