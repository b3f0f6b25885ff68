"""Evidence: never a bare float."""

from __future__ import annotations

from expunge.core.record import record


@record
class Estimate:
    """A number with its uncertainty.

    Args:
        value: point estimate on the data as it is.
        low: lower end of the interval.
        high: upper end of the interval.
        level: probability that the two-sided interval aims at.
        n: items behind it.
        groups: subjects that were resampled.
        seeds: seeds that were resampled.
    """

    value: float
    low: float
    high: float
    level: float = 0.9
    n: int = 0
    groups: int = 0
    seeds: int = 1


@record
class Measurement:
    """A measured quantity and how it was measured.

    Args:
        name: of the metric or the attack.
        estimate: the number.
        protocol: one sentence on how.
        reference: what it is read against.
        access: flags that the measurement used.
        question: what the number answers.
    """

    name: str
    estimate: Estimate
    protocol: str = ""
    reference: str = ""
    access: tuple[str, ...] = ()
    question: str = ""


@record
class Proof:
    """A mathematical argument with its accountant and assumptions."""

    accountant: str
    assumptions: tuple[str, ...]


@record
class Replay:
    """Digests that show a computation was run without the data.

    Args:
        before: digest of the target before.
        after: digest of the result.
        data: digest of what it was trained on.
        equals: digest of an independent run of the same computation, empty if there was none.
        distance: largest difference to that run where bits may differ, 0 for none.
    """

    before: str
    after: str
    data: str
    equals: str = ""
    distance: float = 0.0


@record
class Receipt:
    """What a byte scan of a store found after an erasure.

    Args:
        store: name of the store.
        status: ``CLEAN``; ``RESIDUE`` if bytes were found; ``BLIND`` if the scan could not have seen them all.
        hits: occurrences of what was erased.
        where: files with hits, by name, and what the scan could not see.
        control: erased records whose bytes the same scan saw before the erasure.
        records: records that were erased.
        scanned: bytes that were read after the erasure, decoded ones included.
        before: digest of the store before the erasure, empty if it has none.
        after: digest of the store when it was scanned, empty if it has none.
        notes: what limits the finding, for example texts that other records share.
    """

    store: str
    status: str
    hits: int = 0
    where: tuple[str, ...] = ()
    control: int = 0
    records: int = 0
    scanned: int = 0
    before: str = ""
    after: str = ""
    notes: tuple[str, ...] = ()


Evidence = Measurement | Proof | Replay | Receipt
