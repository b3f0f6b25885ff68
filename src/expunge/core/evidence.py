"""Evidence: never a bare float."""

from __future__ import annotations

from typing import Literal

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
    """A bound that whoever has its numbers can compute again, and what it rests on beside them.

    Args:
        accountant: name in the registry of accountants, which takes delta and the numbers and gives epsilon.
        assumptions: plain sentences: what the numbers do not show.
        numbers: sorted (name, text) of mechanism and requests so far, as the accountant reads them.
        epsilon: nats, that they come to.
        delta: probability.
        adversary: ``oblivious``: who asks did not choose by a published model; ``adaptive``: may have.
        after: digest of the artefact that it speaks of.
        units: that were forgotten so far, all requests together.
        unit: what is counted: a record, or a subject with all records.
        valid_until: how many units may be forgotten in all before the budget is spent and requests are refused; None
            where nothing limits it.
        retained: whether records that stay are protected from those who see the model before and after, in a sentence.
    """

    accountant: str
    assumptions: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...] = ()
    epsilon: float = 0.0
    delta: float = 0.0
    adversary: Literal["oblivious", "adaptive"] = "oblivious"
    after: str = ""
    units: int = 0
    unit: str = "record"
    valid_until: int | None = None
    retained: str = ""


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
