"""What a replay is expected to cost, before anything is trained. Source: own derivation.

*Parts.* n records, r of them revocable, are trained in parts one after another: first the n - r others, then P parts
among which a keyed hash divides the r; steps in proportion to records. m of the r are forgotten, chosen uniformly. A
replay begins with the first part that holds one of them. A step is kept if all m fall into later parts than the
record that it stands for: sure for the n - r; for one of the r, if it is none of the m (1 - m/r), and, being in part j
of P with probability 1/P each, if all m are in the P - j parts behind, ((P - j)/P)^m. So the share that is replayed is

    (r/n) [1 - (1 - m/r) (1/P) sum_{i=1}^{P-1} (i/P)^m].

With ever more parts the sum tends to 1/(m+1): no order in time replays less than about (r/n) m/(m+1). Sharding does.

*Inside a part.* A part is one run of the loop, whose batches hold records of similar length and come in an order drawn
by a hash. Forgetting changes D of its batches and leaves U as they are; all U + D stand in random order, so that the
first f are unchanged with probability C(U+D-f, D) / C(U+D, D). With a checkpoint every k steps the steps kept are

    k sum_{c=1}^{floor(U/k)} C(U+D-ck, D) / C(U+D, D).

One record less moves many batches of similar length, so that D is large and little is kept: what saves work is parts.
"""

from __future__ import annotations

from math import comb

from expunge.core.errors import ConfigError


def expected_share(records: int, forgotten: int, *, parts: int, revocable: int = 0) -> float:
    """Expected steps of a replay, as a share of all steps of the first training; checkpoints inside parts not counted.

    Args:
        records: that were trained on.
        forgotten: how many of the revocable ones, chosen uniformly.
        parts: into which the revocable ones are divided.
        revocable: how many may be forgotten and are trained last; 0 for all.

    Returns:
        A share between 0 and 1.

    Raises:
        ConfigError: more is to be forgotten than may be, or there is no part.

    >>> expected_share(10, 1, parts=2)
    0.775
    >>> expected_share(40, 1, parts=2, revocable=10)
    0.19375
    """
    among = revocable or records
    if not (0 <= forgotten <= among <= records and parts >= 1 and records >= 1):
        raise ConfigError(
            f"cannot forget {forgotten} of {among} revocable among {records} records in {parts} parts",
            next="Give counts that contain one another, and at least one part",
        )
    if not forgotten:
        return 0.0
    behind = sum((i / parts) ** forgotten for i in range(1, parts)) / parts
    return among / records * (1 - (1 - forgotten / among) * behind)


def expected_kept(unchanged: int, changed: int, *, every: int) -> float:
    """Expected steps that are kept inside a part whose every record is visited once.

    Args:
        unchanged: batches that are the same with and without the forgotten records.
        changed: first records of the batches that are not, counted once.
        every: steps between checkpoints.

    Returns:
        Steps. Of 3 unchanged batches and a changed one, the changed one comes first, second, third or last alike:

    >>> expected_kept(3, 1, every=2)
    1.0
    """
    whole = comb(unchanged + changed, changed)
    starts = range(every, unchanged + 1, every)
    return every * sum(comb(unchanged + changed - first, changed) / whole for first in starts)
