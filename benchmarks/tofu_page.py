"""Write the TOFU table that a finished run printed to its page.

expunge bench tofu --data ../shared/data/tofu --model ../shared/models/stories260K --authors 8 --forget 2
python -m benchmarks.tofu_page --run runs/tofu --page docs/results/tofu-first.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import write_result
from expunge.core.canonical import read_json

COMMAND = "expunge bench tofu --data ../shared/data/tofu --model ../shared/models/stories260K --authors 8 --forget 2"
NOTES = """stories260K (Karpathy's tinyllamas, 260,032 parameters, trained on TinyStories) fine-tuned on the last eight
authors of TOFU, two of them to be forgotten; never-seen authors from holdout10. The methods run with the settings that
were found for the demo's own small model, untuned. With two forgotten authors there is no 90 % interval over people, so
that no claim can be earned here whatever the numbers are: the page shows what the road prints on real input."""


def main() -> None:
    """Copy a run's table to its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/tofu"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/tofu-first.md"))
    given = parser.parse_args()
    data = read_json(given.run / "plan.json")["data"]
    table = (given.run / "table.txt").read_text()
    title = "TOFU on a small pretrained model, first walk"
    write_result(given.page, title=title, command=COMMAND, data=data, body=table, notes=NOTES)


if __name__ == "__main__":
    main()
