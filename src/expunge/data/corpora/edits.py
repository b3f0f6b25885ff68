"""The data of editing and entailment, as far as it is there: MQuAKE, CounterFact and RippleEdits in one folder."""

from __future__ import annotations

from expunge.core.errors import StoreError
from expunge.core.example import Examples
from expunge.data.corpora import counterfact, mquake, ripple_edits
from expunge.data.corpora.published import Published

GET = (
    "Point --data at a folder with at least one of MQuAKE-CF-3k-v2.json, counterfact.json, and recent.json,"
    " random.json or popular.json of RippleEdits"
)


def read(data: str) -> Examples:
    """All examples of the data sets that a folder holds.

    Args:
        data: folder.

    Returns:
        As the three readers give them.

    Raises:
        StoreError: the folder holds none of them, or a file is malformed.
    """
    files = Published(data, GET)
    found = [
        *mquake.cases(files.rows(mquake.NAME, needed=False)),
        *counterfact.cases(files.rows(counterfact.NAME, needed=False)),
    ]
    for name in ripple_edits.NAMES:
        found += ripple_edits.tests(files.rows(name, needed=False), name)
    if not found:
        raise StoreError(f"{data} holds no facts to edit", why="none of the three data sets is there", next=GET)
    return Examples(found)
