"""Markup from small pure functions; whatever is not already markup is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

# What XML 1.0 forbids, the C1 controls, and the marks that reorder text: a label must not disguise its neighbours.
UNFIT = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
VOID = frozenset({"meta", "br", "hr", "col", "img", "link", "input"})

Attribute = str | int | float | bool | None


class Markup(str):
    """Text that is already escaped. Only this module and constants in code make it."""

    __slots__ = ()


def clean(text: object) -> str:
    """Text with every character that a page or a terminal would obey replaced by U+FFFD.

    >>> clean("a\\x1b[2Jb")
    'a\ufffd[2Jb'
    """
    return UNFIT.sub("\ufffd", str(text))


def escape(text: object) -> Markup:
    """Markup that shows the text as it is; markup passes unchanged.

    >>> escape("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text)))


def number(value: float) -> str:
    """A coordinate: two decimals, no trailing zeros, no negative zero.

    >>> number(3.0), number(-0.001), number(1.256)
    ('3', '0', '1.26')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f' {name}="{name}"'
    return f' {name}="{escape(value if isinstance(value, str) else number(value))}"'


def element(name: str, attributes: Mapping[str, Attribute] | None = None, *children: object) -> Markup:
    """One element of XML or of HTML written as XML.

    Args:
        name: of the tag; always a constant in code.
        attributes: values are escaped; None and False leave the attribute out.
        children: text, which is escaped, or markup.

    Returns:
        Well-formed markup.

    >>> element("p", {"class": "x"}, "1 < 2", element("br"))
    '<p class="x">1 &lt; 2<br/></p>'
    """
    inside = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in VOID:
        return Markup(f"<{name}{inside}/>")
    return Markup(f"<{name}{inside}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """The children one after another; None is nothing."""
    return Markup("".join(escape(child) for child in children if child is not None))
