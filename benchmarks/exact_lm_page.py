"""What language models in parts came to: tables, a chart, and whether scaling forbids shards, from the numbers.

Utility is resampled over authors. The request's authors are fewer than an interval takes; what is measured on them is
resampled over questions, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.exact_lm import BASE, RETRAINED
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.core.evidence import Estimate
from expunge.core.measure import Key
from expunge.evaluation.bootstrap import estimate
from expunge.evaluation.report_cells import fixed
from expunge.metrics.forget_quality import forget_quality
from expunge.metrics.model_utility import model_utility

PARTS = {"probability": "p", "rouge_l": "ROUGE-L", "truth_score": "truth"}
Row = Mapping[str, Any]


class Judged:
    """Rows of a run with their intervals.

    Args:
        found: by the run.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.rows: list[Row] = found["rows"]
        self.groups, self.whole = found["groups"], found["retrained"]
        self.retrained = next(row for row in self.rows if row["way"] == RETRAINED and row["when"] == "after")
        self.base = next(row for row in self.rows if row["way"] == BASE)

    def _scores(self, row: Row, role: str, names: Sequence[str], who: str = "model") -> dict[Key, Any]:
        return {(who, role, name): row["items"][role][name] for name in names}

    def utility(self, row: Row) -> Estimate:
        """Harmonic mean of the three parts on kept records, over authors."""
        scores = self._scores(row, "retain", list(PARTS))
        return estimate(model_utility, scores, self._by("retain", "author"), seed=0, bounds=(0.0, 1.0))

    def beside(self, row: Row) -> Estimate:
        """Utility less that of the monolithic adapter retrained, on the same draws."""
        scores = {
            **self._scores(row, "retain", list(PARTS)),
            **self._scores(self.retrained, "retain", list(PARTS), "reference"),
        }
        return estimate(_gap, scores, self._by("retain", "author"), seed=0, bounds=(-1.0, 1.0))

    def mean(self, row: Row, role: str, name: str, by: str) -> Estimate:
        """Mean of a score."""
        key: Key = ("model", role, name)
        scores: dict[Key, Any] = {key: row["items"][role][name]}
        return estimate(lambda s: s[key].mean(), scores, self._by(role, by), seed=0, bounds=(0.0, 1.0))

    def apart(self, row: Row) -> Estimate:
        """Distance of the truth ratios on the request from those of the monolithic adapter retrained."""
        names = ["truth_ratio"]
        scores = {
            **self._scores(row, "forget", names),
            **self._scores(self.retrained, "forget", names, "reference"),
        }
        return estimate(forget_quality, scores, self._by("forget", "record"), seed=0, bounds=(0.0, 1.0))

    def _by(self, role: str, kind: str) -> dict[str, list[str]]:
        return {role: self.groups[role][kind]}

    def sharded(self) -> dict[int, Row]:
        """Number of shards -> the row after the request that has the highest utility."""
        found: dict[int, Row] = {}
        for row in self.rows:
            if "one" in row and row["shards"] > 1:
                known = found.get(row["shards"])
                found[row["shards"]] = max(
                    (row, *([known] if known else [])), key=lambda each: self.utility(each).value
                )
        return found

    def ways(self) -> dict[str, dict[int, Estimate]]:
        """Way of answering -> number of shards -> utility after the request beside the retrained single adapter's."""
        found: dict[str, dict[int, Estimate]] = {}
        for row in self.rows:
            if "one" in row and row["shards"] > 1:
                found.setdefault(row["way"], {})[row["shards"]] = self.beside(row)
        return found

    def kept(self, row: Row) -> float:
        """Share of what the monolithic adapter's utility is above the base's that a row's is above it."""
        base, whole = self.utility(self.base).value, self.utility(self.retrained).value
        return (self.utility(row).value - base) / (whole - base) if whole != base else 0.0


def _gap(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    utility: Any = model_utility.function

    def of(who: str) -> Any:
        own = {("model", *key[1:]): value for key, value in scores.items() if key[0] == who}
        more = weights and {("model", *key[1:]): value for key, value in weights.items() if key[0] == who}
        return utility(own, more)

    return of("model") - of("reference")


def interval(found: Estimate, *, signed: bool = False) -> str:
    """A number with its interval.

    >>> interval(Estimate(0.314, 0.29, 0.352)), interval(Estimate(-0.02, -0.05, 0.01), signed=True)
    ('0.31 [0.29, 0.35]', '-0.02 [-0.05, +0.01]')
    """
    value, low, high = (f"{x:+.2f}" if signed else fixed(x, 2) for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _named(row: Row) -> str:
    return f"{row['shards'] or '':>6}  {row['way']:<23}{row['when']:<8}"


def table(found: Mapping[str, Any]) -> str:
    """Utility and cost, then what is left of the request, then the digests."""
    judged = Judged(found)
    parts = [list(_kept(judged)), list(_gone(judged))]
    if checked := found["checked"]:
        same = "equal to" if checked["after"] == checked["fresh"] else "NOT EQUAL to"
        parts.append([checked["after"], f"is {same} the digest of a run from scratch without the authors."])
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def _size(judged: Judged, role: str) -> str:
    own = judged.groups[role]
    return f"{len(own['record'])} records of {len(set(own['author']))} authors"


def _kept(judged: Judged) -> Iterator[str]:
    yield f"utility, on {_size(judged, 'retain')} that stay; 90 % intervals over authors"
    titles = ("utility", "beside retrained", *PARTS.values())
    yield (
        f"{'shards':>6}  {'answers by':<31}"
        + "".join(f"{title:>22}" for title in titles)
        + (f"{'tokens':>12}{'CPU s':>8}{'of mono':>9}{'one author':>12}")
    )
    for row in judged.rows:
        cells = [interval(judged.utility(row)), interval(judged.beside(row), signed=True)]
        cells += [interval(judged.mean(row, "retain", name, "author")) for name in PARTS]
        line = _named(row) + "".join(f"{cell:>22}" for cell in cells)
        if "cost" in row:
            cost = row["cost"]
            line += f"{cost['tokens']:>12,}{fixed(cost['cpu'], 1):>8}{fixed(cost['tokens'] / judged.whole, 3):>9}"
            line += f"{fixed(row['one'], 3):>12}" if "one" in row else ""
        yield line


def _gone(judged: Judged) -> Iterator[str]:
    yield f"memory, on {_size(judged, 'forget')} of the request, and on {_size(judged, 'holdout')} that nobody learned"
    yield "90 % intervals over questions of these authors, too few to resample; for never-learned ones over authors"
    titles = ("gone p", "gone ROUGE-L", "gone KS D", "never p")
    yield f"{'shards':>6}  {'answers by':<31}" + "".join(f"{title:>22}" for title in titles)
    for row in judged.rows:
        cells = [judged.mean(row, "forget", name, "record") for name in ("probability", "rouge_l")]
        cells += [judged.apart(row), judged.mean(row, "holdout", "probability", "author")]
        yield _named(row) + "".join(f"{interval(cell):>22}" for cell in cells)


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Each number of shards and each method beside the monolithic adapter, and what follows from that."""
    judged = Judged(found)
    whole = judged.utility(judged.retrained)
    lines = [
        f"* one adapter, retrained without the request: utility {interval(whole)}; the base without any"
        f" {interval(judged.utility(judged.base))}"
    ]
    for shards, row in judged.sharded().items():
        lines.append(
            f"* {shards} shards, {row['way']}: utility {_beside(judged, row)}, {judged.kept(row):.0%} of what training"
            f" adds; deleting the request takes {row['cost']['tokens'] / judged.whole:.1%} of retraining's tokens,"
            f" deleting one author {row['one']:.1%}"
        )
    for row in judged.rows:
        if row["when"] == "after" and "one" not in row:
            share = row["cost"]["tokens"] / judged.whole
            lines.append(f"* {row['way']}: utility {_beside(judged, row)}; {share:.2f} times retraining's tokens")
    chosen = "Above stands the way of answering that has the highest utility on these records."
    lines += ["", f"{chosen} Whether scaling forbids shards here, for each way:", ""]
    return [*lines, *(f"* {verdict(way, beside)}" for way, beside in judged.ways().items())]


def _beside(judged: Judged, row: Row) -> str:
    return f"{interval(judged.utility(row))}, {interval(judged.beside(row), signed=True)} beside it"


def verdict(way: str, beside: Mapping[int, Estimate]) -> str:
    """Whether scaling forbids shards, by the intervals of utility beside the single adapter retrained.

    >>> lost, open_ = Estimate(-0.2, -0.3, -0.1), Estimate(-0.02, -0.06, 0.02)
    >>> verdict("merge", {2: lost}), verdict("route", {2: open_}).partition(":")[0]
    ('**merge: it does**, if no utility may be lost: 2 (-0.20 [-0.30, -0.10])', '**route')
    >>> verdict("route", {2: open_, 6: lost}).partition(";")[0]
    '**route: from some number on**: utility is lost at 6 (-0.20 [-0.30, -0.10])'
    """
    worse = [shards for shards, found in beside.items() if found.high < 0]
    open_ = [shards for shards in beside if shards not in worse]

    def listed(which: Sequence[int]) -> str:
        return ", ".join(f"{shards} ({interval(beside[shards], signed=True)})" for shards in which)

    if any(found.high - found.low >= 2 for found in beside.values()):
        return f"**{way}: it cannot be told** from so few authors: {listed(list(beside))}"
    if not open_:
        return f"**{way}: it does**, if no utility may be lost: {listed(worse)}"
    spared = f"a loss of {max(-beside[shards].low for shards in open_):.2f} is not excluded"
    if not worse:
        return f"**{way}: no loss is shown**, though {spared}: {listed(open_)}"
    lost = f"utility is lost at {listed(worse)}"
    return f"**{way}: from some number on**: {lost}; no loss is shown at {listed(open_)}, though {spared}"


def chart(found: Mapping[str, Any]) -> Markup:
    """Utility after the request and the cost of an author over the number of shards, a panel a way of answering."""
    judged = Judged(found)
    own = [row for row in judged.rows if "one" in row]
    single, ways = [row for row in own if row["shards"] == 1], dict.fromkeys(r["way"] for r in own if r["shards"] > 1)
    panels = [
        Curve(way, [_point(judged, row) for row in (*single, *(r for r in own if r["shards"] > 1 and r["way"] == way))])
        for way in ways
    ]
    costs = {float(row["shards"]): Span(row["one"]) for row in own}
    level = Span(judged.utility(judged.base).value)
    context = [
        Curve("tokens of deleting one author, as a share of retraining one adapter", sorted(costs.items()), "star"),
        Curve("utility of the base without an adapter", [(at, level) for at in sorted(costs)], "square"),
    ]
    return curves(
        panels,
        context,
        title="Language models in parts: utility and the cost of a deletion",
        description="Utility on kept authors after the request over the number of shards, one panel for each way of "
        "answering; behind it the tokens of deleting one author, as a share of retraining a single adapter.",
        x_label="shards; 1 is the monolithic adapter",
        y_label="Utility, higher is better; cost as a share, lower is cheaper",
        own="utility after the request, 90 % interval over authors",
    )


def _point(judged: Judged, row: Row) -> tuple[float, Span]:
    found = judged.utility(row)
    return float(row["shards"]), Span(found.value, found.low, found.high)


NOTES = """stories260K, which never saw TOFU's invented authors, with LoRA adapters (r 16 on every projection, {epochs}
epochs) on the last {authors} authors of TOFU; the request is for the last {forget}. One shard is the monolithic
adapter; its deletion is the retraining that `of mono` and `one author` (the mean over all authors, in tokens) are
shares of. `before` and `after` are the request. Answers by `merge mean` and `merge sum`: exact merge of all adapters
into the weights; `average`: mean of the parts' probabilities; `route`: the part whose questions are nearest, told by
the base's states at each token. Utility is the harmonic mean of probability, ROUGE-L recall and truth score on kept
records. KS D is of the truth ratios on the request, from the monolithic adapter that was retrained without it; so its
own is 0 by construction, and `retrained, other seed` says how far apart two are that never saw it. Gradient methods
run on the merged monolithic adapter with their settings for small models, and train on kept records as well, after
all epochs of the adapter. {seeds} seed(s): with one, intervals do not hold what another training would change;
`retrained, other seed` gives an idea of it. {statement}; that is what its page says, and nothing here checks it. One
thread each, {workers} at a time; CPU seconds are of the process that deleted, files included; tokens do not depend on
the machine. These are 260,000 parameters and {authors} authors; what
holds for large models is not shown here."""
