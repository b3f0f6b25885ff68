"""At which margin, and on which side, ``benchmarks.trust`` reads each name: as a policy does, or in its own unit."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.policy import Side
from expunge.core.registry import policies


@dataclass(frozen=True)
class Margin:
    """How a comparison is read.

    Args:
        size: largest difference that counts as equivalent, in the unit of the name.
        side: on which a model may not lie.
        why: the reason for the size.
    """

    size: float
    side: Side
    why: str


SHARE = Margin(0.1, "both", "a tenth of a share, of a probability or of an AUC, the unit of all that is not named here")
EVEN = "the ratio is 1 where right and wrong, or before and after, are alike: a tenth of that"
HALF = "percent: a difference of 0.1 in AUC, where the reference's is a half"
OWN = {
    "near_trigger_retention": Margin(0.1, "both", EVEN),
    "neighbour_retention": Margin(0.1, "both", EVEN),
    "perplexity": Margin(1.0, "both", "one token more or less among which the model hesitates"),
    "privleak": Margin(20.0, "both", HALF),
    "rel_diff": Margin(20.0, "both", HALF),
    "same_template_retention": Margin(0.1, "both", EVEN),
    "truth_ratio": Margin(0.1, "both", EVEN),
    "truth_ratio_mean": Margin(0.1, "both", EVEN),
}
"""Of the names whose unit is no share and that no policy lists."""


def margin_of(name: str) -> Margin:
    """How a name is read: as in the strictest policy of the package that lists it, else in its own unit.

    Args:
        name: of a metric or an attack.
    """
    listed = [c for _, policy in policies.items() for c in policy.criteria if c.attack == name]
    if not listed:
        return OWN.get(name, SHARE)
    strictest = min(listed, key=lambda c: (c.margin, not c.why))
    side: Side = "both" if any(c.side == "both" for c in listed) else "above"
    return Margin(strictest.margin, side, strictest.why or "that of the policies")
