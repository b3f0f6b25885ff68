"""Suites: which data is read, what is measured on which part of it, and how that is read. A suite never trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from expunge.core.errors import UnknownName
from expunge.core.example import Role
from expunge.core.measure import Better
from expunge.core.policy import Policy
from expunge.core.record import record


def whole(part: str) -> str:
    """The part that a name such as ``choices/bio`` is a subset of.

    >>> whole("choices/bio"), whole("open")
    ('choices', 'open')
    """
    return part.partition("/")[0]


@record
class Part:
    """Records of one role that are scored in one pass.

    Args:
        name: of the part and of its score table.
        role: of the records.
        subsets: of the role; empty for all that it has.
        tokens: longest generated answer; 0 for as long as the longest answer of the part.
        grouped: several records are one item. Of ``a|x`` and ``a|y`` the better counts, of ``a&1`` and ``a&2`` the
            worse: ids say which wordings of a question are as good, and which questions must all be answered.
    """

    name: str
    role: Role
    subsets: tuple[str, ...] = ()
    tokens: int = 0
    grouped: bool = False


@record
class Reading:
    """One number of a suite.

    Args:
        name: of the row; a policy's criteria use it.
        question: what the number answers.
        measure: name of a score, of a statistic or of an attack. A score whose column nobody fills, and a name that
            nothing has here, are skipped with the reason.
        better: direction that is good.
        part: that a score is averaged over, or whose records an attack probes; ``choices/bio`` is one subset of it.
        roles: role that a statistic reads -> part that plays it; with a likelihood score, ``forget`` and ``holdout``
            between which it is read as an AUC.
        known: part with the questions that the original must get right, all of one item, for the item to count.
        retrained: what a model that was retrained without the records gets, in words.
    """

    name: str
    question: str
    measure: str
    better: Better
    part: str = ""
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    known: str = ""
    retrained: str = "what the row of the reference says"


@record
class Suite:
    """What is asked, of which data, and how the answers are read.

    Args:
        name: file name of the suite.
        version: raised with every change of what it measures.
        question: that the suite answers.
        source: paper or project.
        reader: module in ``expunge.data.corpora`` with a function ``read(data, **options)``, or ``module:function``.
        layout: files and fields that the reader reads.
        get: how to get the data.
        ethics: licence, and what must not be done with data or numbers.
        parts: of the data, each scored in one pass.
        readings: the numbers.
        utility: (part, score) pairs that the share of kept utility is made of, in the harmonic mean.
        policy: criteria, by names of readings; None where the suite does not judge.
        tasks: of the language-model evaluation harness that belong to the question; run only where asked for.
        across: names of readings that are compared over several runs.
        on_long: what happens to a sequence beyond a model's context.
    """

    name: str
    version: str
    question: str
    source: str
    reader: str
    layout: str
    get: str
    ethics: str
    parts: tuple[Part, ...]
    readings: tuple[Reading, ...]
    utility: tuple[tuple[str, str], ...] = ()
    policy: Policy | None = None
    tasks: tuple[str, ...] = ()
    across: tuple[str, ...] = ()
    on_long: Literal["error", "truncate"] = "error"

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        read = [r.part for r in self.readings] + [r.known for r in self.readings] + [part for part, _ in self.utility]
        for name in (*read, *(part for r in self.readings for part in r.roles.values())):
            if name and whole(name) not in names:
                raise UnknownName(f"part in the suite {self.name}", name, names)
        rows = [reading.name for reading in self.readings]
        criteria = [criterion.attack for criterion in self.policy.criteria] if self.policy else []
        for name in (*criteria, *self.across):
            if name not in rows:
                raise UnknownName(f"reading in the suite {self.name}", name, rows)

    def part(self, name: str) -> Part:
        """The part of that name, or that a subset is of."""
        return next(part for part in self.parts if part.name == whole(name))

    def reading(self, name: str) -> Reading:
        """The reading of that name."""
        return next(reading for reading in self.readings if reading.name == name)
