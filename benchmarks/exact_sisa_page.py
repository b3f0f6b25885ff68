"""What SISA's measurements say: tables, charts, and the sentence that the paper has in its abstract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.trust_splits import wilson
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span

SHOWN = ("1", "8", "32")
PAPER = 8
"""The size of the request that the sentence is about."""


def _times(cost: Mapping[str, float], kind: str = "mean") -> str:
    return f"{cost['retrain'] / cost[kind]:.2f}"


def _way(way: Mapping[str, Any]) -> str:
    return f"{way['shards']:>6}{way['slices']:>7}"


def _seconds(way: Mapping[str, Any], deleted: int) -> float:
    return fmean(row["seconds"] for row in way["deletions"] if row["deleted"] == deleted)


def parted(way: Mapping[str, Any]) -> str:
    """How a model is divided, in words.

    >>> parted({"shards": 5, "slices": 1})
    '5 shards, 1 slice each'
    """
    return f"{way['shards']} shard{'s'[: way['shards'] > 1]}, {way['slices']} slice{'s'[: way['slices'] > 1]} each"


def table(found: Mapping[str, Any]) -> str:
    """Accuracy, counted costs, processor seconds, and what is kept, a line a way each."""
    about = f"{found['name']}: {found['rows']:,} rows learned by {found['told']}, {found['epochs']} epochs"
    about += f"; {found['test']:,} test rows; {found['seeds']} seeds"
    parts = [[about], _accuracy(found), _counted(found), _timed(found), _kept(found), _checked(found)]
    return "\n\n".join("\n".join(part) for part in parts)


def _accuracy(found: Mapping[str, Any]) -> list[str]:
    lines = ["accuracy, %, and points beside one model; 90 % intervals over test rows"]
    lines.append(f"shards slices{'votes':>10}{'':18}{'beside one':>14}{'':18}{'means':>8}{'beside one':>12}   by seed")
    for way in found["ways"]:
        value = way["accuracy"]["majority"]
        low, high = wilson(value, found["test"])
        line = f"{_way(way)}{100 * value:10.2f}  {f'[{100 * low:.2f}, {100 * high:.2f}]':<16}"
        apart, low, high = (100 * number for number in way["price"]["majority"])
        line += f"{apart:+14.2f}  {f'[{low:+.2f}, {high:+.2f}]':<16}"
        line += f"{100 * way['accuracy']['mean']:8.2f}{100 * way['price']['mean'][0]:+12.2f}   "
        lines.append(line + ", ".join(f"{100 * each:.2f}" for each in way["by_seed"]))
    return lines


def _counted(found: Mapping[str, Any]) -> list[str]:
    lines = [
        "rows x epochs of K deletions at once: mean with its 90 % interval, formula; retraining is so many times it"
    ]
    lines.append(
        "shards slices" + "".join(f"{f'K = {k}':>17}{'formula':>12}{'times':>8}{'(formula)':>10}" for k in SHOWN)
    )
    for way in found["ways"]:
        line = _way(way)
        for size in SHOWN:
            cost = way["costs"][size]
            measured, wanted = f"{cost['mean']:,.0f} +-{cost['error']:,.0f}", f"({_times(cost, 'formula')})"
            line += f"{measured:>17}{cost['formula']:>12,.0f}{_times(cost):>8}{wanted:>10}"
        lines.append(line)
    return lines


def _timed(found: Mapping[str, Any]) -> list[str]:
    again = found["retraining"]
    lines = ["processor seconds of deletions that were run, all checks and files included, and how many times that is"]
    lines.append(
        f"retraining one model, checks and files included, {again['whole']:.2f} s; its training alone"
        f" {again['bare']:.2f} s, in brackets; one request of each size, three of a single row"
    )
    lines.append("shards slices" + "".join(f"{f'K = {k}, s':>12}{'times':>8}{'(alone)':>9}" for k in SHOWN))
    for way in found["ways"]:
        if not way["deletions"]:
            continue
        line = _way(way)
        for size in SHOWN:
            seconds = _seconds(way, int(size))
            alone = f"({again['bare'] / seconds:.2f})"
            line += f"{seconds:12.3f}{again['whole'] / seconds:8.2f}{alone:>9}"
        lines.append(line)
    return lines


def _kept(found: Mapping[str, Any]) -> list[str]:
    lines = ["on disk and in memory"]
    lines.append(
        f"shards slices{'checkpoints':>13}{'kB each':>10}{'MB in all':>11}{'rows, MB':>10}{'MB to answer':>14}"
    )
    for way in found["ways"]:
        sizes = way["checkpoints"]
        line = f"{_way(way)}{len(sizes):13}{fmean(sizes) / 1e3:10.1f}{sum(sizes) / 1e6:11.2f}"
        lines.append(f"{line}{way['stored'] / 1e6:10.2f}{way['answering'] / 1e6:14.2f}")
    return lines


def _checked(found: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for way in found["ways"]:
        for row in (row for row in way["deletions"] if "fresh" in row):
            same = "equal to" if row["after"] == row["fresh"] else "NOT EQUAL to"
            lines.append(
                f"{_way(way)}  {row['after']} is {same} that of a run from scratch without the {row['deleted']}"
            )
    return ["digests after a deletion", *lines]


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What each way comes to in the form of the paper's abstract, a line each."""
    lines: list[str] = []
    for way in found["ways"]:
        if not way["deletions"]:
            continue
        cost, faster = way["costs"][str(PAPER)], found["retraining"]["whole"] / _seconds(way, PAPER)
        apart, low, high = (100 * number for number in way["price"]["majority"])
        lines.append(
            f"* {found['name']}, {parted(way)}: **{_times(cost)}x** against retraining one model in rows x epochs,"
            f" {faster:.2f}x in processor time, at {apart:+.2f} [{low:+.2f}, {high:+.2f}]"
            f" points of accuracy, for {PAPER} requests at once."
        )
    return lines


def cost_chart(found: Mapping[str, Any]) -> Markup:
    """The share of retraining that a request takes, over its size: measured, and by the formula."""
    panels, context = list[Curve](), list[Curve]()
    for way in (way for way in found["ways"] if way["shards"] > 1):
        label = parted(way)
        spans, wanted = list[tuple[float, Span]](), list[tuple[float, Span]]()
        for size, cost in sorted(way["costs"].items(), key=lambda item: int(item[0])):
            share, error = cost["mean"] / cost["retrain"], cost["error"] / cost["retrain"]
            spans.append((float(size), Span(share, share - error, share + error)))
            wanted.append((float(size), Span(cost["formula"] / cost["retrain"])))
        panels.append(Curve(label, spans, quantity=label))
        context.append(Curve("formula", wanted, "square", label))
    return curves(
        panels,
        context,
        title=f"SISA on {found['name']}: what a request costs",
        description="Rows times epochs of a request beside those of retraining one model, over the number of records "
        "in the request, for several numbers of shards and slices; the formula stands behind.",
        x_label="records deleted at once",
        y_label="Rows x epochs, as a share of retraining one model; lower is cheaper",
        own="counted by the plan, mean and 90 % interval",
    )


def accuracy_chart(each: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy beside one model over the number of shards, a panel for each data set and number of slices."""
    panels = list[Curve]()
    for found in each:
        for slices in sorted({way["slices"] for way in found["ways"]}):
            ways = [way for way in found["ways"] if way["slices"] == slices]
            points = [(float(w["shards"]), Span(*(100 * x for x in w["price"]["majority"]))) for w in ways]
            panels.append(Curve(f"{found['name']}, {slices} slice{'s' if slices > 1 else ''}", points))
    return curves(
        panels,
        [],
        title="SISA: what shards cost in accuracy",
        description="Test accuracy of the vote less that of one model of all rows, over the number of shards.",
        x_label="shards",
        y_label="Accuracy beside one model of all rows, in points; higher is better",
        own="votes of the parts, mean of the seeds, 90 % interval over test rows",
    )


NOTES = """Each way takes the same total of rows x epochs; one model of all rows is 1 shard of 1 slice. A record's
place follows from its id by a hash, so that shards and slices are of nearly equal size, not of equal size as the
formulas have it. Formulas: without slices the one of `engine/parts/cost.py` times the epochs; with slices
`benchmarks/exact_sisa.py` says it, and for one deletion it is that of `cost.py` again. Requests are random records;
costs are counted by the plan that the method follows, over {requests} requests of each size, on the partitions of all
seeds. Requests of {run} records were also run, on the first seed. Processor seconds hold all that the command does:
checks of every row's digest, checkpoints, digests of the result. Retraining is of one model, on what is left. The
paper's figures are 4.63x on Purchase and 2.45x on SVHN; other data, models and machines. By the formula 20 shards of
50 slices give {purchase:.2f}x and {svhn:.2f}x for 8 and 18 records at once, however many rows there are.

Accuracy is of the majority's vote; `means` is of averaged outputs. Intervals are over test rows: Wilson's for a share,
resampled rows, paired, for differences; both are of the mean over seeds, and hold for these seeds. Settings
were chosen for one model of all rows, on rows that are learned; parts take the same. Requests were not chosen by
looking at the models.

A checkpoint holds weights, the optimiser's state and counters. `MB to answer` is what
the parts' last checkpoints take, which a target that answers has loaded."""


def notes() -> str:
    """How to read the tables."""
    from benchmarks.exact_sisa import REQUESTS, RUN, expected

    def ratio(deleted: int) -> float:
        rows, shards, slices = 1_000_000, 20, 50
        return rows / expected(rows, shards, [2 / (slices + 1)] * slices, deleted)

    run = ", ".join(map(str, sorted(set(RUN))))
    return NOTES.format(requests=REQUESTS, run=run, purchase=ratio(8), svhn=ratio(18))


def charts(each: Sequence[Mapping[str, Any]]) -> dict[str, Markup]:
    """File name -> chart."""
    drawn = {f"exact-sisa-{found['name']}.svg": cost_chart(found) for found in each}
    return {**drawn, "exact-sisa-accuracy.svg": accuracy_chart(each)}
