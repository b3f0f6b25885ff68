"""Personal strings of a fixed form in a text. Source: this project; the kinds are those of Presidio's recognisers.

Patterns only: no checksums, so that invented numbers count like real ones. Names and addresses have no form to find.
"""

from __future__ import annotations

import re

HEX = "[0-9a-f]{1,4}"
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DAY = r"(?:0?[1-9]|[12]\d|3[01])"
ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
KINDS: dict[str, str] = {
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "url": r"(?:https?://|www\.)[^\s<>\"']*[\w/]",
    "ip": rf"(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?!\.\d)|(?:{HEX}:){{7}}{HEX}|(?:{HEX}:){{1,6}}(?::{HEX}){{1,6}}",
    "iban": r"[a-z]{2}\d{2}(?: ?[a-z]{4})?(?: ?\d{4}){2,6}(?: ?\d{1,3})?",
    "date": r"\d{4}-\d{2}-\d{2}(?:[ t]\d{2}:\d{2}(?::\d{2})?)?"
    rf"|{DAY}(?:/{DAY}/|\.{DAY}\.|-{DAY}-)(?:\d{{4}}|\d{{2}})(?![./-]\d)"
    rf"|{ORDINAL} (?:of )?{MONTH},? \d{{4}}|{MONTH} {ORDINAL},? \d{{4}}",
    "social_security": r"\d{3}-\d{2}-\d{4}",
    "card": r"\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{5}|\d{12,19}",
    "phone": r"(?!(?:19|20)\d\d[ -](?:19|20)\d\d(?!\d))"
    r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]\(?\d{2,7}\)?){1,5}(?:x\d{1,5})?|\+\d{7,15}",
    "id": r"[a-z]{0,3}\d{6,}",
}
"""Kind -> what its strings look like, in lower case. Where two begin at one place the first named one has it."""
FORM = re.compile(rf"(?<!\w)(?:{'|'.join(f'(?P<{kind}>{form})' for kind, form in KINDS.items())})(?!\w)", re.IGNORECASE)
PHONE_DIGITS = range(7, 16)


def personal(text: str) -> list[tuple[str, str]]:
    """The personal strings of a text, from left to right: (kind, string), none of them within another.

    >>> personal("Ana, born 12 May 1990, ana.b@mail.example, +47 22 85 50 50; room 12 of 300.")
    [('date', '12 May 1990'), ('email', 'ana.b@mail.example'), ('phone', '+47 22 85 50 50')]
    """
    found: list[tuple[str, str]] = []
    for match in FORM.finditer(text):
        kind, string = match.lastgroup or "", match.group()
        if kind != "phone" or sum(c.isdigit() for c in string) in PHONE_DIGITS:
            found.append((kind, string))
    return found


def repeats(said: str, string: str) -> bool:
    """Whether a text holds a string as it is, not as a part of a longer word or number.

    >>> repeats("Call 555-0100!", "555-0100"), repeats("Call 555-01002.", "555-0100")
    (True, False)
    """
    return bool(re.search(rf"(?<!\w){re.escape(string)}(?!\w)", said))
