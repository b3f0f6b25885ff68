"""Pieces of HTML that several sections of the report share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from expunge.charts.markup import Markup, element, join

WIDE, NARROW = 820.0, 360.0
SCHEMES = ("earned", "failed", "inconclusive", "uninformative")


def badge(status: str | None, words: str = "") -> Markup:
    """A verdict in words, with a border that differs by verdict."""
    kind = status if status in SCHEMES else "unjudged"
    return element("span", {"class": f"badge {kind}"}, words or status or "not judged")


def scrolling(name: str, content: Markup) -> Markup:
    """A region that scrolls sideways, also by keyboard."""
    return element("div", {"class": "scroll", "role": "region", "aria-label": name, "tabindex": "0"}, content)


def table(
    caption: str,
    heads: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    words: Sequence[int] = (),
    quiet: bool = False,
) -> Markup:
    """A table whose first column names the row.

    Args:
        caption: what it shows.
        heads: of the columns.
        rows: cells; the first of each is the row's header.
        words: columns that hold words, which are set to the left.
        quiet: show the caption only to those who listen, because a heading says the same.

    Returns:
        A scrolling region with the table.
    """

    def kind(column: int) -> str | None:
        return "words" if column in words else None

    head = [element("th", {"scope": "col", "class": kind(k)}, text) for k, text in enumerate(heads)]
    body = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, row[0]),
            *(element("td", {"class": kind(k)}, cell) for k, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    inside = join(
        element("caption", {"class": "unseen" if quiet else None}, element("span", None, caption)),
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *body),
    )
    return scrolling(caption, element("table", {"class": "stick"}, inside))


def figure(draw: Callable[[float], Markup], caption: str, data: Markup, *, opened: bool = False) -> Markup:
    """A chart in two widths, one of which is shown, with the numbers that it draws, opened where it needs them."""
    wide, narrow = (
        Markup(draw(width).replace("<svg ", f'<svg class="{name}" ', 1))
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    shown = folded("The numbers of this chart", data, opened=opened)
    return element("figure", None, wide, narrow, element("figcaption", None, caption), shown)


def folded(summary: str, content: Markup, *, opened: bool = False) -> Markup:
    """What is shown when it is asked for, and on paper always."""
    return element("details", {"open": opened}, element("summary", None, summary), content)


def section(name: str, title: str, *content: object) -> Markup:
    """A section with its heading and an anchor."""
    heading = element("h2", {"id": name}, title)
    return element("section", {"aria-labelledby": name}, heading, *content)


def unbroken(text: str) -> Markup:
    """Words that break between one another but not at a hyphen.

    >>> unbroken("min-k AUC")
    '<span class="word">min-k</span> <span class="word">AUC</span>'
    """
    return Markup(" ".join(element("span", {"class": "word"}, word) for word in text.split()))


def counted(count: int, one: str, many: str) -> str:
    """A count with its noun.

    >>> counted(1, "item", "items"), counted(1200, "item", "items")
    ('1 item', '1,200 items')
    """
    return f"{count:,} {one if count == 1 else many}"
