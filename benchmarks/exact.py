"""What exact deletion costs beside fitting again: ridge regression and forests.

python -m benchmarks.exact --json

``benchmarks.exact_ridge`` and ``benchmarks.exact_forest`` say what is timed: both ways in turn, in one run. Exits 1
where what was deleted from is not what is fitted without the rows, or accuracies are not equal, and as
``benchmarks.page.MISSED`` below ``FLOOR``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import exact_forest, exact_ridge
from benchmarks.page import MISSED

FLOOR = {**exact_ridge.GOALS, "forest": 30.0}
NEAR = 1e-9
"""How far, as a share of the largest, coefficients may be from those of a refit."""


def say(line: str) -> None:
    """Print at once: a run takes minutes."""
    print(line, flush=True)


def ridge(*, quick: bool) -> dict[str, Any]:
    """Ratios of ridge regression."""
    if quick:
        data = exact_ridge.Data(3000, 20, seed=0)
        measured = exact_ridge.measure(data, exact_ridge.DELETED, repeats=1)
        return {f"ridge_{k}": ratio for k, ratio in measured["ratio"].items()}
    found = exact_ridge.ratios(0)
    refit, in_place = found["refit_s"]["clock"], found["in_place_s"]["clock"]
    say(f"ridge regression in float64, penalty {exact_ridge.PENALTY:g}, no intercept. A refit is told which rows go,")
    say("copies out the rows that stay, forms X'X and X'y and solves once by Cholesky: in memory, without checks")
    say(f"{found['rows']} rows x {found['features']}; a refit takes {refit:.3f} s,")
    say(f"of rows that need not be left out {in_place:.3f} s; clock and processor, the smaller ratio")
    for k, taken in found["deletion_s"].items():
        least = 1000 * found["floor"][f"deletion_{k}"]["seconds"]
        say(
            f"deletion of {k:>4} {1000 * taken['clock']:8.3f} ms, floor {least:8.3f} ms; refit over it"
            f" {found[f'ridge_{k}']:9.1f}, in place {found['in_place_ratio'][k]:9.1f}; off by {found['off'][k]:.1e}"
        )
    held = found["megabytes"]
    say(f"held: rows {held['rows']:.1f} MB, sums {held['sums']:.1f} MB; on disk {held['saved']:.1f} MB")
    if (worst := max(found["off"].values())) > NEAR:
        sys.exit(f"coefficients after a deletion are {worst:.1e} off")
    return {f"ridge_{k}": found[f"ridge_{k}"] for k in exact_ridge.DELETED}


def forest(*, quick: bool) -> dict[str, Any]:
    """Ratios of the plain forest, and how far its accuracy is from the random forest's."""
    size = (400, 5, 8, 2) if quick else (20_000, 100, 200, 5)
    found = exact_forest.headline(*size, say)
    apart = found["accuracy"] - found["accuracy random forest"]
    if abs(apart) > exact_forest.NEAR and not quick:
        sys.exit(f"the forest's accuracy is {apart:+.4f} from scikit-learn's")
    return {
        "forest": found["plain over random forest"],
        "forest_over_extra_trees": found["plain over extra trees"],
        "forest_accuracy_apart": apart,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, compare with the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", action="store_true", help="also how times grow with n, d and deletions")
    parser.add_argument("--quick", action="store_true", help="few rows: whether it runs, not how fast")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    ratios = ridge(quick=given.quick) | forest(quick=given.quick)
    found = dict(ratios)
    if given.growth:
        trees, largest = (3, 800) if given.quick else (20, 20_000)
        found["growth"] = {
            "forest": exact_forest.growth(trees, largest, say),
            **({} if given.quick else {"ridge": exact_ridge.growth(0)}),
        }
    low = [] if given.quick else [name for name, least in FLOOR.items() if ratios[name] < least]
    for name in low:
        say(f"missed: {name} {ratios[name]:.2f}, bound {FLOOR[name]}")
    if given.json:
        print(json.dumps(found))
    return MISSED if low else 0


if __name__ == "__main__":
    sys.exit(main())
