"""What the measurements of certified deletion say: sentences and tables, from the numbers alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]
ONE = 1.0
"""The epsilon that the sentences are about."""
NEAR = 0.01
"""Of accuracy: what counts as close to retraining, in shares."""
PLAIN = "fine-tuning, then plain steps"
RETRAINED = "retrained"
SEEN = 0.01
"""Of an area: an attack that gains less on the original tells nothing, however sure the gain is."""
UNPROVEN = ("Newton removal, residual", "Newton removal, one against the rest", "Newton removal, bound")
"""What is counted looks at the noise and decides by it what is published: that certifies nothing."""


def share(found: Sequence[float] | None) -> str:
    """A share with its interval, in per cent.

    >>> share([0.8421, 0.8, 0.9]), share(None)
    ('84.2 [80.0, 90.0]', '-')
    """
    return "-" if found is None else f"{100 * found[0]:.1f} [{100 * found[1]:.1f}, {100 * found[2]:.1f}]"


def number(value: float) -> str:
    """Short, whatever its size.

    >>> number(0.00042), number(3.0), number(12345.6)
    ('0.00042', '3', '1.2e+04')
    """
    return f"{value:.2g}" if abs(value) < 100 or abs(value) >= 1e4 else f"{value:.0f}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need, the first to the left.

    >>> print(grid(["way", "e"], [["a", "0.5"], ["bcde", "1"]]))
    way     e
    a     0.5
    bcde    1
    """
    lines = [list(head), *map(list, rows)]
    wide = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if at == 0 else cell.rjust(w) for at, (cell, w) in enumerate(zip(line, wide, strict=True))
        )
        for line in lines
    )


def at(row: Found, epsilon: float) -> Sequence[float] | None:
    """Accuracy of a way at an epsilon."""
    return next((cell["accuracy"] for cell in row["cells"] if cell["epsilon"] == epsilon), None)


def of_size(found: Found, m: int) -> list[Found]:
    """The ways for a size of request."""
    return [row for row in found["ways"] if row["m"] == m]


def sizes(found: Found) -> list[int]:
    """Of requests."""
    return sorted({row["m"] for row in found["ways"]})


def called(way: str) -> str:
    """The name of a way, and whether nothing is guaranteed of it."""
    return f"{way} (no guarantee)" if way in UNPROVEN else way


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names) if names else "none"


def sentences(found: Found) -> list[str]:
    """What is near retraining, what is no better than the most common class, and the best, at one epsilon."""
    yard = found["yardsticks"]
    lines = [
        f"* {found['name']}: retrained without privacy {share(yard['retrained'])} %; "
        f"always the most common class {share(yard['majority'])} %."
    ]
    for m in sizes(found):
        told = {row["way"]: value for row in of_size(found, m) if (value := at(row, ONE))}
        none = [row["way"] for row in of_size(found, m) if at(row, ONE) is None]
        near = [way for way, value in told.items() if value[0] >= yard["retrained"][0] - NEAR]
        sure, unsure = ([way for way in near if (way in UNPROVEN) is side] for side in (False, True))
        lost = [way for way, value in told.items() if value[1] <= yard["majority"][2]]
        rows = "1 row" if m == 1 else f"{m} rows"
        best = max((way for way in told if way not in UNPROVEN), key=lambda way: told[way][0], default=None)
        line = f"* {found['name']}, {rows} forgotten at epsilon {ONE:g}. Best with a guarantee: "
        line += f"**{best}, {share(told[best])} %**. " if best else "none. "
        line += f"Within a point of retraining: {_listed(sure)}; without a guarantee: {_listed(unsure)}. "
        line += f"No better than the most common class, as far as intervals tell: {_listed(lost)}."
        lines.append(line + (f" No noise that was tried is enough: {_listed(none)}." if none else ""))
    lines += _fine_tuning(found)
    return lines


def _fine_tuning(found: Found) -> list[str]:
    row = next((row for row in found["ways"] if row["way"] == PLAIN), None)
    if row is None:
        return []
    zero = found["yardsticks"]["from zero"]
    better = [cell["epsilon"] for cell in row["cells"] if cell["accuracy"] and cell["accuracy"][1] > zero[2]]
    word = f"beats that at epsilon {', '.join(f'{e:g}' for e in better)}" if better else "beats that at no epsilon"
    return [
        f"* {found['name']}: as many plain steps from weights of zero, which never met the forgotten rows, reach "
        f"{share(zero)} %; noisy fine-tuning of the old model followed by them {word}."
    ]


def accuracy_table(found: Found, m: int) -> str:
    """A line a way: accuracy at every epsilon; stars say at how many seeds the request did not fit."""
    epsilons = [cell["epsilon"] for cell in of_size(found, m)[0]["cells"]]
    head = [f"m = {m}; epsilon", *(f"{e:g}" for e in epsilons)]
    rows = [
        [called(row["way"]), *(share(cell["accuracy"]) + "*" * cell.get("again", 0) for cell in row["cells"])]
        for row in of_size(found, m)
    ]
    return grid(head, rows)


def settings_table(found: Found, m: int) -> str:
    """A line a way: the setting that tuning chose and the noise, at every epsilon."""
    epsilons = [cell["epsilon"] for cell in of_size(found, m)[0]["cells"]]

    def cell_of(cell: Found) -> str:
        if cell["accuracy"] is None:
            return "-"
        first = next(iter(cell["setting"].values()))
        return f"{number(first)}, {number(cell['sigma'])}"

    rows = [[called(row["way"]), *(cell_of(cell) for cell in row["cells"])] for row in of_size(found, m)]
    return grid([f"m = {m}; penalty, rate or clip, noise", *(f"{e:g}" for e in epsilons)], rows)


def votes_table(found: Found) -> str:
    """Accuracy of the private vote, by epsilon and the number of answers that share it."""
    told = found["votes"]
    answers = sorted({cell["answers"] for cell in told["cells"]})
    epsilons = sorted({cell["epsilon"] for cell in told["cells"]})
    by = {(cell["epsilon"], cell["answers"]): share(cell["accuracy"]) for cell in told["cells"]}
    rows = [[f"{found['name']}, {k} answer{'s'[: k > 1]}", *(by[e, k] for e in epsilons)] for k in answers]
    return grid(["epsilon of all answers together", *(f"{e:g}" for e in epsilons)], rows)


def votes_sentence(found: Found) -> str:
    """What the vote costs, and for how many answers it is of use."""
    told, majority = found["votes"], found["yardsticks"]["majority"][2]
    useful = [
        f"{k} at {min(fit):g}"
        for k in sorted({cell["answers"] for cell in told["cells"]})
        if (fit := [c["epsilon"] for c in told["cells"] if c["answers"] == k and c["accuracy"][1] > majority])
    ]
    return (
        f"* {found['name']}: {told['shards']} shards vote to {share(told['without'])} % without noise. Better than the "
        f"most common class from (answers at epsilon): {_listed(useful)}."
    )


COUNTS = ("worst", "bound", "residual", "polished bound", "polished residual")


def removals_table(found: Found) -> str:
    """Rows until the budget is spent, a line a size of request; a plus where the run ended before the budget."""
    spent = found["removals"]
    rows: list[list[str]] = []
    for batch in sorted({row["batch"] for row in spent["rows"]}):
        counts: dict[str, Found] = {}
        for row in spent["rows"]:
            counts |= row["counts"] if row["batch"] == batch else {}
        told = [f"{counts[name]['fits']:,}{'' if counts[name]['ended'] else '+'}" for name in COUNTS]
        rows.append([f"{found['name']}, {batch} at once", *told])
    return grid(["rows removed within the budget", *COUNTS], rows)


def removals_sentence(found: Found) -> str:
    """How far apart bound and residual are, and what the capacity formulas say."""
    spent = found["removals"]
    single = {name: told for row in spent["rows"] if row["batch"] == 1 for name, told in row["counts"].items()}
    bound, residual = single["bound"]["fits"], single["residual"]["fits"]
    times = f"{residual / bound:.0f} times as many" if bound else "the bound allowed none"
    more = "" if single["residual"]["ended"] else ", where the run was ended"
    known, capacity = spent["settings"], spent["capacity"]
    return (
        f"* {found['name']}, sigma {known['sigma']:g}, penalty {known['penalty']:g}, which make accuracy "
        f"{100 * spent['rows'][0]['accuracy']:.1f} %, at epsilon {known['epsilon']:g}: the worst case allows "
        f"**{single['worst']['fits']:,}** single rows, the summed bound **{bound:,}**, the computed residual "
        f"**{residual:,}**{more}: {times}. Up to "
        f"constants, formulas for {spent['parameters']:,} parameters give {capacity['private']:,} by differential "
        f"privacy and {capacity['newton']:,} by a Newton step."
    )


def group_cell(cell: Found, *, sign: bool = False, factor: float = 100.0, digits: int = 1) -> str:
    """A group's number with its interval, or why there is none."""
    if cell["value"] is None:
        return "too few"
    mark = "+" if sign else ""
    value, low, high = (f"{factor * cell[name]:{mark}.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _by(cells: Sequence[Found], by: str) -> Found:
    return next(cell for cell in cells if cell["by"] == by)


def groups_table(told: Found, by: str) -> str:
    """Accuracy of each group, a line a model, and the largest gap; then what each lost against no privacy."""
    first = _by(told["accuracy"][0]["cells"], by)
    names = list(first["groups"])

    def label(row: Found) -> str:
        return row["model"] if row["epsilon"] is None else f"{row['model']}, epsilon {row['epsilon']:g}"

    rows: list[list[str]] = []
    less: list[list[str]] = []
    for row in told["accuracy"]:
        cell = _by(row["cells"], by)
        gap = cell["gap"]
        rows.append([label(row), *(group_cell(cell["groups"][name]) for name in names), group_cell(gap)])
        if row["epsilon"] is not None:
            own = cell["less"]
            each = (group_cell(own["groups"][name], sign=True) for name in names)
            less.append([label(row), *each, group_cell(own["gap"])])
    people = [str(first["groups"][name]["groups"]) for name in names]
    head = [f"accuracy by {by}, %", *names, "largest gap"]
    beside = ["points beside no privacy", *names, "largest gap"]
    return grid(head, [["test rows", *people, ""], *rows]) + "\n\n" + grid(beside, less)


def groups_sentences(told: Found) -> list[str]:
    """Whether a gap grew, and which group paid most, at the smallest and the middle epsilon."""
    lines: list[str] = []
    for by in dict.fromkeys(cell["by"] for cell in told["accuracy"][0]["cells"]):
        for row in told["accuracy"][1:]:
            less = _by(row["cells"], by)["less"]
            if row["epsilon"] not in (told["accuracy"][1]["epsilon"], ONE):
                continue
            clear = {n: c for n, c in less["groups"].items() if c["value"] is not None and c["high"] < 0}
            paid = "; ".join(f"{n} {group_cell(c, sign=True)}" for n, c in clear.items()) or "no group shown to lose"
            uneven = less["gap"]["low"] is not None and less["gap"]["low"] > 0
            word = "unevenly" if uneven else "not shown to be uneven"
            lines.append(f"* by {by}, epsilon {row['epsilon']:g}: {paid} points against no privacy ({word}).")
    return lines


def forgetting_table(told: Found, by: str) -> str:
    """How well the loss tells forgotten rows from never-seen ones of their group; then beside the retrained model."""
    first = _by(told["forgetting"][0]["cells"], by)
    names = [name for name, cell in first["groups"].items() if cell["value"] is not None]
    few = [name for name in first["groups"] if name not in names]
    shown: list[str] = []
    for title, less in ((f"AUC of the loss by {by}", False), ("beside the retrained model", True)):
        rows: list[list[str]] = []
        for row in told["forgetting"]:
            cell = _by(row["cells"], by)
            groups = (cell["less"] if less else cell)["groups"]
            cells = (group_cell(groups[name], sign=less, factor=1.0, digits=3) for name in names)
            rows += [] if less and row["model"] == RETRAINED else [[row["model"], *cells]]
        shown.append(grid([title, *names], rows))
    return "\n\n".join(shown) + (f"\n\ntoo few of them were forgotten: {_listed(few)}" if few else "")


def _given_away(row: Found) -> list[str]:
    """Groups of which a model gives its rows away by ``SEEN`` more than the retrained one, and by how much."""
    return [
        f"{name} ({cell['by']}, {group['value']:.4f})"
        for cell in row["cells"]
        for name, group in cell["less"]["groups"].items()
        if group["value"] is not None and group["low"] > 0 and group["value"] >= SEEN
    ]


def forgetting_sentence(told: Found) -> str:
    """Whether the attack saw anything in the first place, and whether it still does."""
    start = f"* {told['forgotten']:,} rows were forgotten at once."
    first, *others = told["forgetting"]
    if not (seen := _given_away(first)):
        return (
            f"{start} **The attack is uninformative here**: of no group is the original's area shown to be above a "
            f"retrained model's by {SEEN:g} or more. So these numbers show no harm, and no forgetting either."
        )
    still = {row["model"]: _given_away(row) for row in others if row["model"] != RETRAINED}
    told_still = "; ".join(f"{model}: {_listed(names)}" for model, names in still.items())
    start += f" The original gives away more than a retrained model does of {_listed(seen)}."
    return f"{start} The others: {told_still}."
