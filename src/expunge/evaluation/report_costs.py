"""What making each model took, as the report and the table show it. Nothing is shown that was not counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.evaluation.report_cells import Evidence, reason_of

COUNTED = ("steps", "tokens", "flops", "peak_bytes", "bytes_changed")
HEADS = {
    "steps": "steps",
    "tokens": "tokens",
    "flops": "FLOPs",
    "peak_bytes": "peak memory",
    "bytes_changed": "changed",
}
PEAKS = {
    "process": "Peak memory: the most that the process had ever held when the model was made. It is a high-water mark: "
    "what ran earlier in the same process counts, so that a smaller run after a larger one shows the larger one's",
    "device": "Peak memory: the most that making the model held on the GPU",
    "": "Peak memory: an earlier version noted it, and not whether the process's or the GPU's",
}
FLOPS = (
    "FLOPs: 6 for each token and weight, forward and backward (2001.08361, 2.1); what attention adds and what frozen "
    "layers save is not counted"
)
CHANGED = "Changed: bytes of parameters that are not what they were in the original"


def scaled(value: float, unit: str = "") -> str:
    """A large number to three digits with its prefix.

    >>> scaled(27_773_049_600), scaled(455_348_224, "B"), scaled(64, "B")
    ('27.8 G', '455 MB', '64 B')
    """
    size, prefix = float(value), ""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):  # noqa: B007
        if size < 999.5:
            break
        size /= 1000
    digits = 0 if not prefix or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:.{digits}f} {prefix}{unit}".rstrip()


def cost_texts(row: Mapping[str, Any]) -> list[str]:
    """What making a row's model took, in the order of ``COUNTED``; a dash for what was not counted.

    >>> cost_texts({"cost": {"seconds": 2.5, "steps": 10, "tokens": 1400, "flops": 7.2e9, "bytes_changed": 640}})
    ['10', '1,400', '7.20 G', '-', '640 B']
    """
    cost: Mapping[str, Any] = row.get("cost") or {}
    if not cost.get("tokens") and "flops" not in cost:
        # Steps and tokens were nought in records that counted none.
        cost = {name: value for name, value in cost.items() if name not in ("steps", "tokens")}

    def text(name: str) -> str:
        if name not in cost:
            return "-"
        if name in ("steps", "tokens"):
            return f"{cost[name]:,}"
        return scaled(cost[name], "" if name == "flops" else "B")

    return [text(name) for name in COUNTED]


def any_cost(evidence: Evidence) -> bool:
    """Whether of any model more than the seconds is known."""
    return any(set(cost_texts(row)) != {"-"} for row in evidence["rows"])


def cost_notes(evidence: Evidence) -> list[str]:
    """What the numbers are, as far as there are any."""
    costs = [row.get("cost") or {} for row in evidence["rows"]]
    whose = [PEAKS[of] for of in PEAKS if any("peak_bytes" in c and c.get("peak_of", "") == of for c in costs)]
    flops, changed = (any(name in cost for cost in costs) for name in ("flops", "bytes_changed"))
    return [*([FLOPS] if flops else []), *whose, *([CHANGED] if changed else [])]


def ratio_notes(evidence: Evidence) -> list[str]:
    """Why a ratio to retraining is not known, by reason."""
    known = [row for row in evidence["rows"] if row.get("cost")]
    why = dict.fromkeys(filter(None, (reason_of(row, "ratio_to_retraining") for row in known)))
    return [f"The ratio to retraining is not known: {reason}" for reason in why]
