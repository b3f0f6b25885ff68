"""Where a text names somebody. A subject that is an id, as in TOFU, is no name: no text of its records has it."""

from __future__ import annotations

import re

from expunge.core.example import Example

NAME = "Give the records as their subject the name that their texts use"


def naming(name: str) -> re.Pattern[str]:
    """Where a text has a name; nowhere for an empty one."""
    # Not \b, which asks for a letter on one side: a name may end in a full stop.
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)" if name else r"(?!)", re.IGNORECASE)


def name_in(example: Example) -> str:
    """The subject where question or answer has it, else nothing.

    >>> name_in(Example("r1", "Where does Ana live?", "Oslo.", subject="ana"))
    'ana'
    >>> name_in(Example("r1", "Where does Ana live?", "Oslo.", subject="full-author-003"))
    ''
    """
    told = f"{example.question} {example.answer}"
    return example.subject if naming(example.subject).search(told) else ""


def nameless(text: str, name: str) -> str:
    """A text with "this person" where it has a name or some of its parts; single letters count only within the name.

    >>> nameless("Ana Al-Bo, or Bo, and Ana's cat.", "Ana Al-Bo")
    "this person, or this person, and this person's cat."
    """
    parts = [part for part in re.findall(r"[^\W_]+", name) if len(part) > 1]
    any_of = "|".join(re.escape(part) for part in sorted({name, *parts}, key=lambda part: (-len(part), part)))
    named = rf"(?<!\w)(?:{any_of})(?:[\s.,-]+(?:{any_of}))*(?!\w)"
    return re.sub(named, "this person", text, flags=re.IGNORECASE) if name else text
