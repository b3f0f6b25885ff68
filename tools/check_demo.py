"""What the demo must show, read from the summary that it wrote. Run after ``make demo``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GRADIENT = ("grad_ascent", "grad_diff", "npo", "calibrated_ascent")


def offences(summary: dict[str, Any]) -> Iterator[str]:
    """One line a sentence that does not hold."""
    rows, second = summary["methods"], summary["second_reference"]
    original, broken = rows["original"], rows["grad_ascent"]
    if not (
        original["guarantee"] == "Unproven" and original["forget_quality_p"] < 1e-3 and original["min_k_auc"] >= 0.9
    ):
        yield "the original does not fail"
    if not (second["guarantee"] == "Empirical" and second["forget_quality_p"] >= 0.05):
        yield "the second reference does not earn Empirical"
    if rows["retrained"]["guarantee"] != "Exact":
        yield "retraining is not Exact"
    if rows["prompt_filter"]["guarantee"] != "Suppressed":
        yield "the prompt filter is not Suppressed"
    if not (broken["forget_quality_p"] < 1e-3 or broken["model_utility"] < 0.5 * original["model_utility"]):
        yield "gradient ascent looks as if it worked"
    earned = [k for k in GRADIENT if rows[k]["guarantee"] == "Empirical" and rows[k]["forget_quality_p"] >= 0.05]
    if not earned:
        yield "no gradient method earns Empirical"
    if summary["ridge"]["largest_coefficient_difference"] > 1e-10:
        yield "the ridge deletion is not a refit"


def main() -> int:
    """Check runs/demo, its certificates included."""
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    found = list(offences(json.loads((run / "summary.json").read_text())))
    expunge = Path(sys.executable).with_name("expunge")
    for certificate in sorted((run / "certificates").glob("*.certificate.json")):
        done = subprocess.run([expunge, "verify", certificate], capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(f"{certificate.name}: {done.stdout.strip()} {done.stderr.strip()}")
    for line in found:
        print(f"{run}: {line}")
    print("demo: broken" if found else "demo: kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
