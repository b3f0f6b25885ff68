"""The page on exact deletion, from what its measurements left in one folder. What is not there is said to be missing.

python -m benchmarks.exact_sisa --out runs/exact
python -m benchmarks.exact_lm --out runs/exact/lm
python -m benchmarks.exact_replay --out runs/exact
python -m benchmarks.exact_page --out runs/exact --ratios --page docs/results/exact.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.exact_sisa_page import charts as sisa_charts
from benchmarks.exact_sisa_page import notes as sisa_notes
from benchmarks.exact_sisa_page import sentences, table
from benchmarks.page import MISSED
from benchmarks.results import MEASURED_CODE, heading
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.core.canonical import digest, read_json
from expunge.core.files import write_json, write_text
from expunge.workflow.stages import code_digest

RATIOS, LM = "ratios.json", "lm/result.json"
SISA_COMMAND, LM_COMMAND = "benchmarks.exact_sisa --out runs/exact", "benchmarks.exact_lm --out runs/exact/lm"
REPLAY, REPLAY_COMMAND = "replay.json", "benchmarks.exact_replay --out runs/exact"
TASKS = ("mnist", "adult")
OTHER = "\nMeasured with other code than the digest above names: run it again.\n"


def ratios(out: Path) -> int:
    """Run ``benchmarks.exact --growth`` and keep what it printed and found; returns its exit code."""
    from benchmarks import exact

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = exact.main(["--growth", "--json"])
    print(printed.getvalue(), end="")
    if code in (0, MISSED):
        *lines, last = printed.getvalue().rstrip().splitlines()
        found = {"text": "\n".join(lines), "found": json.loads(last), "code": code_digest(*MEASURED_CODE)}
        write_json(out / RATIOS, found)
    return code


def fenced(text: str) -> str:
    """A block that is shown as it is."""
    return f"```\n{text.strip()}\n```\n"


def missing(command: str) -> str:
    """What stands in place of a section that was not measured."""
    return f"Not measured yet: `python -m {command}`.\n"


def pictures(drawn: Mapping[str, Markup], titles: Sequence[str]) -> str:
    """Lines that show the charts that stand beside the page."""
    return "\n".join(f"![{title}]({name})\n" for name, title in zip(drawn, titles, strict=True))


def sisa_section(out: Path) -> tuple[str, dict[str, Markup]]:
    """SISA: the sentences, the tables, the charts."""
    held = [out / f"sisa-{name}.json" for name in TASKS]
    each = [read_json(file) for file in held if file.exists()]
    if not each:
        return missing(SISA_COMMAND), {}
    drawn = sisa_charts(each)
    titles = [f"What a request costs on {found['name']}" for found in each]
    minutes = sum(found["cpu"] for found in each) / 60
    asked = dict.fromkeys(found.get("command", SISA_COMMAND) for found in each)
    parts = [
        "; ".join(f"`python -m {command}`" for command in asked) + "\n",
        "\n".join(line for f in each for line in sentences(f)) + "\n",
    ]
    parts.append(pictures(drawn, [*titles, "What shards cost in accuracy"]))
    parts += [fenced(table(found)) for found in each]
    parts.append(f"{sisa_notes()} All of it took {minutes:.1f} CPU minutes, on one thread.\n")
    from benchmarks.exact_sisa import GRID

    if len(each) < len(TASKS) or any(len(found["ways"]) < len(GRID) for found in each):
        parts.append("Ways (1, 5, 10, 20 shards by 1, 4 slices) that are not in a table: n" + missing(SISA_COMMAND)[1:])
    from benchmarks.exact_sisa import MEASURED

    parts += [OTHER] if any(found["code"] != code_digest(*MEASURED) for found in each) else []
    return "\n".join(parts), drawn


def lm_section(out: Path) -> tuple[str, dict[str, Markup]]:
    """Language models in parts: the sentences, the chart, the tables."""
    if not (out / LM).exists():
        return missing(LM_COMMAND), {}
    from benchmarks import exact_lm_page

    kept = read_json(out / LM)
    stale = OTHER if kept["code"] != code_digest(*MEASURED_CODE) else ""
    drawn = {"exact-lm.svg": exact_lm_page.chart(kept["found"])}
    parts = [
        f"`python -m {kept['command']}`\n",
        "\n".join(exact_lm_page.sentences(kept["found"])) + "\n",
        pictures(drawn, ["Utility and the cost of a deletion over the number of shards"]),
        fenced(exact_lm_page.table(kept["found"])),
        exact_lm_page.NOTES.format(**kept["facts"]) + f"\n{stale}",
    ]
    return "\n".join(parts), drawn


def replay_section(out: Path) -> tuple[str, dict[str, Markup]]:
    """Replay of an ordinary fine-tune: what is taken again, counted and expected."""
    if not (out / REPLAY).exists():
        return missing(REPLAY_COMMAND), {}
    from benchmarks import exact_replay

    kept = read_json(out / REPLAY)
    found, stale = kept["found"], OTHER if kept["code"] != code_digest(*MEASURED_CODE) else ""
    drawn = {"exact-replay.svg": exact_replay.chart(found)}
    said = f"`python -m {REPLAY_COMMAND}`\n\n{exact_replay.NOTES.format(**found)}\n"
    return f"{said}\n{pictures(drawn, ['What a replay costs'])}\n{fenced(exact_replay.table(found))}{stale}", drawn


def ratio_section(out: Path) -> tuple[str, dict[str, Markup]]:
    """Ridge regression and forests beside a refit, and how both grow."""
    if not (out / RATIOS).exists():
        return missing("benchmarks.exact_page --out runs/exact --ratios"), {}
    kept = read_json(out / RATIOS)
    growth = kept["found"]["growth"]
    drawn = {"exact-forest.svg": forest_chart(growth["forest"])}
    if "ridge" in growth:
        drawn["exact-ridge.svg"] = ridge_chart(growth["ridge"])
    from benchmarks.exact import FLOOR

    short = {name: kept["found"][name] for name in FLOOR}
    lines = [f"* {name}: **{value:,.1f}x**, goal {FLOOR[name]:,.0f}x" for name, value in short.items()]
    stale = OTHER if kept["code"] != code_digest(*MEASURED_CODE) else ""
    titles = ["How forests grow", "How ridge regression grows"][: len(drawn)]
    said = "A refit's time over a deletion's, both in one run on one machine:\n\n" + "\n".join(lines)
    return f"{said}\n\n{pictures(drawn, titles)}\n{fenced(kept['text'])}{stale}", drawn


def _logarithms(points: Sequence[tuple[float, float]]) -> list[tuple[float, Span]]:
    """Powers of ten of a number and of milliseconds, from a number and seconds."""
    return [(math.log10(at), Span(math.log10(1000 * seconds))) for at, seconds in sorted(points)]


def _growth(panels: Sequence[Curve], context: Sequence[Curve], who: str, refit: str) -> Markup:
    return curves(
        panels,
        [Curve(refit, curve.points, "square", curve.quantity) for curve in context],
        title=f"{who}: how deleting and refitting grow",
        description="Time of a deletion and of a refit over the number of rows, of columns and of deleted rows; both "
        "axes are powers of ten.",
        x_label="power of ten of the number that the panel names: 3 is 1,000",
        y_label="Power of ten of milliseconds, 0 is 1 ms; lower is faster",
        own="deletion",
    )


def ridge_chart(growth: Mapping[str, Any]) -> Markup:
    """Processor seconds of a deletion and of a refit over n, d and m."""
    names = {"n": "rows", "d": "columns"}
    panels, context = list[Curve](), list[Curve]()
    for key, what in (("n", (1, 100)), ("d", (1, 100)), ("m", (None,))):
        for deleted in what:
            cells = [cell for cell in growth[key] if deleted in (None, cell["m"])]
            label = f"{names[key]}; {deleted} deleted" if deleted else "rows deleted at once"
            for kind, curves_ in (("deletion_s", panels), ("refit_s", context)):
                points = [(float(cell[key]), cell[kind]["work"]) for cell in cells]
                curves_.append(Curve(label, _logarithms(points), quantity=label))
    return _growth(panels, context, "Ridge regression", "refit")


def forest_chart(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Processor seconds of a request and of scikit-learn's refit over rows, attributes and the size of a request."""
    panels, context = list[Curve](), list[Curve]()
    for what in dict.fromkeys(row["what"] for row in rows):
        cells = {row["value"]: row for row in rows if row["what"] == what}
        for kind, curves_ in (("request_s", panels), ("refit_s", context)):
            points = [(float(value), row[kind]) for value, row in cells.items()]
            curves_.append(
                Curve("rows deleted at once" if what == "at once" else what, _logarithms(points), quantity=what)
            )
    return _growth(panels, context, "Forests", "scikit-learn's refit")


INTRO = """What comes out of these deletions is what the same training gives without the records. This page says what
that costs, beside doing that training. [How it works](../exact.md)."""


def page(out: Path, command: str) -> tuple[str, dict[str, Markup]]:
    """The page and its charts by file name."""
    sisa, sisa_drawn = sisa_section(out)
    language, language_drawn = lm_section(out)
    replayed, replay_drawn = replay_section(out)
    fits, fit_drawn = ratio_section(out)
    known = [out / name for name in (*(f"sisa-{task}.json" for task in TASKS), LM, RATIOS) if (out / name).exists()]
    data = [f"{found['name']} {found['digest']}" for found in map(read_json, known) if "digest" in found]
    parts = [heading(title="Exact deletion", command=command, data="; ".join(data) or digest([]))]
    parts += [INTRO + "\n", "## SISA on MNIST and Adult\n", sisa, "## Language models in parts\n", language]
    parts += ["## Replay of a fine-tune\n", replayed]
    parts += ["## Statistics and trees beside a refit\n", fits]
    return "\n".join(parts), {**sisa_drawn, **language_drawn, **replay_drawn, **fit_drawn}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, and the charts beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exact"))
    parser.add_argument("--ratios", action="store_true", help="first measure ridge regression and forests")
    parser.add_argument("--page", type=Path, default=Path("docs/results/exact.md"))
    given = parser.parse_args(arguments)
    code = ratios(given.out) if given.ratios else 0
    if code not in (0, MISSED):
        return code
    command = "python -m benchmarks.exact_page " + " ".join(sys.argv[1:] if arguments is None else arguments)
    text, drawn = page(given.out, command.strip())
    for name, chart in drawn.items():
        write_text(given.page.with_name(name), f"{chart}\n")
    write_text(given.page, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
