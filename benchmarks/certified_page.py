"""The page on certified deletion, from what its measurements left in one folder. What is missing is said to be.

python -m benchmarks.certified_utility --out runs/certified
python -m benchmarks.private_lm --out runs/certified
python -m benchmarks.certified_page --out runs/certified --page docs/results/certified.md
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import certified_tables as tables
from benchmarks.certified_tables import Found, share
from benchmarks.certified_utility import MATTERS, MEASURED
from benchmarks.exact_page import OTHER, fenced, missing, pictures
from benchmarks.results import heading
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.core.canonical import digest, read_json
from expunge.core.files import write_text
from expunge.workflow.stages import code_digest

TASKS = ("adult", "mnist")
LORA = "dp_lora.json"
COMMAND = "benchmarks.certified_utility --out runs/certified"
LORA_COMMAND = "benchmarks.private_lm --out runs/certified"
INTRO = """What a guarantee of (epsilon, delta) costs in accuracy, and how long it lasts.
[How it works](../certified.md). Delta is 0.00001, of DP-LoRA {delta}. Noise is keyed, so that the page repeats; a
certificate asks for secret noise."""


def _spans(cells: Sequence[Found]) -> list[tuple[float, Span]]:
    """Powers of two of epsilon, and accuracy in per cent."""
    told = [(cell["epsilon"], cell["accuracy"]) for cell in cells if cell["accuracy"]]
    return [(math.log2(epsilon), Span(*(100 * value for value in accuracy))) for epsilon, accuracy in told]


def accuracy_chart(found: Found) -> Markup:
    """A panel a way: accuracy over epsilon for both sizes of request, and retraining behind."""
    single, many = tables.sizes(found)[0], tables.sizes(found)[-1]
    panels, context = list[Curve](), list[Curve]()
    plain = Span(*(100 * value for value in found["yardsticks"]["retrained"]))
    names: list[str] = list(dict.fromkeys(row["way"] for row in found["ways"]))
    for name in names:
        rows = {row["m"]: _spans(row["cells"]) for row in found["ways"] if row["way"] == name}
        shown = [m for m in (single, many) if rows.get(m)]
        if not shown:
            continue
        label = tables.called(name) if single in rows else f"{name} (any rows)"
        panels.append(
            Curve(label, rows[shown[0]], "dot" if shown[0] == single or single not in rows else "square", name)
        )
        context += [Curve(f"{many} rows forgotten", rows[m], "square", name) for m in shown[1:]]
        ends = [math.log2(cell["epsilon"]) for cell in found["ways"][0]["cells"]]
        context.append(Curve("retrained without privacy", [(at, plain) for at in (ends[0], ends[-1])], "star", name))
    majority = 100 * found["yardsticks"]["majority"][0]
    return curves(
        panels,
        context,
        title=f"{found['name']}: epsilon against accuracy",
        description="Test accuracy of each mechanism over epsilon, for requests of one row and of a hundred.",
        x_label="power of two of epsilon: 0 is 1, 3 is 8",
        y_label=f"Accuracy, %; higher is better; the most common class alone gives {majority:.1f}",
        own="1 row forgotten, mean of the seeds, 90 % interval",
    )


def removals_chart(each: Sequence[Found]) -> Markup:
    """A panel a size of request: the share of the budget that each count has spent, over the rows that went."""
    panels, context = list[Curve](), list[Curve]()
    shapes: dict[str, Any] = {"bound": "square", "polished bound": "star"}
    for found in each:
        for batch in sorted({row["batch"] for row in found["removals"]["rows"]}):
            label = f"{found['name']}, {batch} at once"
            for row in (row for row in found["removals"]["rows"] if row["batch"] == batch):
                for name, told in row["counts"].items():
                    points = [(math.log10(at), Span(math.log10(spent))) for at, spent in told["curve"]]
                    if name == "residual":
                        panels.append(Curve(label, points, quantity=label))
                    elif name in shapes:
                        called = "summed bound" if name == "bound" else name
                        context.append(Curve(called, points, shapes[name], label))
    return curves(
        panels,
        context,
        title="Newton removal: what removals spend",
        description="Share of the budget that is spent by the computed residual, by the summed bound and by the bound "
        "after a further step, over the number of rows removed; both axes are powers of ten.",
        x_label="power of ten of the rows removed",
        y_label="Power of ten of the share of the budget; at 0 it is spent; lower is better",
        own="computed residual",
    )


def groups_chart(told: Found) -> Markup:
    """A panel a group: what it lost against no privacy, over epsilon."""
    panels: list[Curve] = []
    for by in dict.fromkeys(cell["by"] for cell in told["accuracy"][0]["cells"]):
        names = next(cell for cell in told["accuracy"][0]["cells"] if cell["by"] == by)["groups"]
        for name in names:
            points: list[tuple[float, Span]] = []
            for row in told["accuracy"][1:]:
                cell = next(cell for cell in row["cells"] if cell["by"] == by)["less"]["groups"][name]
                if cell["value"] is not None:
                    span = Span(*(100 * cell[part] for part in ("value", "low", "high")))
                    points.append((math.log2(row["epsilon"]), span))
            panels += [Curve(f"{by}: {name}", points)] if points else []
    return curves(
        panels,
        [],
        title="Adult: who pays for DP-SGD",
        description="Accuracy of DP-SGD less that without privacy, for each group, over epsilon.",
        x_label="power of two of epsilon: 0 is 1, 3 is 8",
        y_label="Accuracy beside no privacy, in points; higher is better",
        own="DP-SGD less no privacy, 90 % interval",
    )


NOTES = """Settings were chosen on further rows: the models that were compared for it learned the certified rows, and
that choice is not accounted for. Accuracy is the mean of {seeds} seeds of noise, with 90 % intervals of resampled rows
and seeds. `m` rows are forgotten in one request, the same for all mechanisms. Epsilon is what is stated of forgetting
them: of Newton removal against the budget of one request, of DP-SGD by its account for m rows, which does nothing. A
star stands for each seed at which the request did not fit and the model was trained again. Newton removal took the
least of the noises {least:.3g} times powers of 3 with which ten rehearsed requests, on rows drawn from those to tune
by, left less than half of the budget. Noisy fine-tuning covers any number of rows. Every model is linear in its rows;
of a language model there is [noisy fine-tuning](noisy-fine-tuning.md).

**Newton removal is certified by its worst case alone.** `residual`, `bound` and one against the rest, which goes by its
residual, look at the noise to decide whether a step or a training is published, and that makes some models likelier
than epsilon and delta allow. Their rows show what noise of that size costs; nothing is guaranteed of them."""


def utility_section(each: Sequence[Found]) -> tuple[str, dict[str, Markup]]:
    """Epsilon against accuracy: sentences, charts, tables."""
    if not each:
        return missing(COMMAND), {}
    from benchmarks.certified_ways import SIGMAS

    drawn = {f"certified-{found['name']}.svg": accuracy_chart(found) for found in each}
    parts = [f"`python -m {COMMAND}`\n", "\n".join(line for found in each for line in tables.sentences(found)) + "\n"]
    for (name, _), found in zip(drawn.items(), each, strict=True):
        parts += [
            f"### {found['name']}\n",
            pictures({name: drawn[name]}, [f"Epsilon against accuracy, {found['name']}"]),
        ]
        for m in tables.sizes(found):
            parts.append(fenced(tables.accuracy_table(found, m)))
        parts += ["What tuning chose, and the noise in each mechanism's own unit:\n"]
        parts += [fenced(tables.settings_table(found, m)) for m in tables.sizes(found)]
        parts.append(
            f"{found['rows']:,} rows were learned: {found['told']}. {found['tune']:,} rows chose the settings, "
            f"{found['test']:,} were tested. All of it took {found['cpu'] / 60:.1f} CPU minutes on one thread.\n"
        )
    parts += ["### How it was measured\n", NOTES.format(seeds=len(each[0]["seeds"]), least=SIGMAS[0]) + "\n"]
    return "\n".join(parts), drawn


VOTE = """A vote of shards is exact for requests that were fixed before, and private for those of whoever has seen its
answers: epsilon is what all answers together tell of the shards' randomness (Gupta et al.). It is another epsilon than
above, and it is used up by answers, not by requests. Accuracy is what the noise gives on average."""


def votes_section(each: Sequence[Found]) -> str:
    """The private vote."""
    if not each:
        return missing(COMMAND)
    said = "\n".join(tables.votes_sentence(found) for found in each)
    shown = (fenced(tables.votes_table(found)) for found in each)
    return "\n".join([f"{VOTE}\n\n{said}\n", *shown])


BUDGET = """A Newton removal may go on until what it leaves of the gradient is above the budget; then the model is
trained again. `worst` knows only numbers of rows and constants, `bound` sums the bounds of all requests, `residual` is
computed (one pass over the rows). `polished` takes one further step after each request. Bounds are counted on along the
removals of the model that stops at its residual. A plus: the run was ended before. Only `worst` certifies: the others
look at the noise, and tell how close it came."""


def removals_section(each: Sequence[Found]) -> tuple[str, dict[str, Markup]]:
    """Removals until the budget is spent."""
    if not each:
        return missing(COMMAND), {}
    drawn = {"certified-removals.svg": removals_chart(each)}
    said = "\n".join(tables.removals_sentence(found) for found in each)
    parts = [f"{BUDGET}\n\n{said}\n", pictures(drawn, ["What removals spend of the budget"])]
    return "\n".join([*parts, *(fenced(tables.removals_table(found)) for found in each)]), drawn


FORGETTING = """### Forgetting by group

A member is told by a smaller loss than that of never-seen rows of its own group; 0.5 is guessing. Each model
stands for all of its seeds. Newton removal went by its residual, which guarantees nothing, with sigma {sigma:g},
penalty {lam:g} and one further step, and was trained again at {again} of them."""


def groups_section(each: Sequence[Found]) -> tuple[str, dict[str, Markup]]:
    """Who pays, and who is forgotten how well."""
    told = next((found["groups"] for found in each if found["groups"].get("accuracy")), None)
    if not told:
        return missing(f"{COMMAND} --tasks adult"), {}
    drawn = {"certified-groups.svg": groups_chart(told)}
    by = list(dict.fromkeys(cell["by"] for cell in told["accuracy"][0]["cells"]))
    parts = [
        "DP-SGD for one row on Adult, at a learning rate of "
        f"{told['private']['lr']:g}, beside no privacy ([1905.12101](https://arxiv.org/abs/1905.12101)).\n",
        "\n".join(tables.groups_sentences(told)) + "\n",
        pictures(drawn, ["What each group loses under DP-SGD"]),
        *(fenced(tables.groups_table(told, name)) for name in by),
        "The largest gap is of any two groups, with a simultaneous interval; groups of fewer than 20 are left out.\n",
        f"{FORGETTING.format(**told['settings'], again=told['again'])}\n\n{tables.forgetting_sentence(told)}\n",
        *(fenced(tables.forgetting_table(told, name)) for name in by),
    ]
    return "\n".join(parts), drawn


def lora_section(out: Path) -> str:
    """DP-LoRA: utility, and attacks beside the bound of each row's epsilon."""
    if not (out / LORA).exists():
        return missing(LORA_COMMAND)
    kept = read_json(out / LORA)
    rows = kept["rows"]
    names = list(rows[0]["attacks"])
    body: list[list[str]] = []
    above: list[str] = []
    for row in rows:
        epsilon = "none" if row["epsilon"] is None else f"{row['epsilon']:g}"
        cells = [f"{row['unit']}, {epsilon}", share(row["utility"])]
        for name in names:
            value, low, high = row["attacks"][name]
            cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}] / {row['bound'][name]:.3f}")
        above += [f"{row['unit']} at {epsilon}: {', '.join(row['above'])}" for _ in (1,) if row.get("above")]
        body.append([*cells, f"{row['seconds']:.0f}"])
    said = f"**Above what was promised: {'; '.join(above)}.**" if above else "No attack came out above its bound."
    before = f" The base before: {share(kept['base_utility'])} %."
    head = ["unit, epsilon", "use, %", *(f"{name} / bound" for name in names), "s"]
    about = "Fine-tuning of a small language model by DP-LoRA; each attack beside the most that its epsilon allows."
    return f"`python -m {LORA_COMMAND}`\n\n{about}{before} {said}\n\n{fenced(tables.grid(head, body))}"


def page(out: Path, command: str) -> tuple[str, dict[str, Markup]]:
    """The page and its charts by file name."""
    each = [read_json(file) for name in TASKS if (file := out / f"certified-{name}.json").exists()]
    utility, drawn = utility_section(each)
    spent, spent_drawn = removals_section(each)
    told, told_drawn = groups_section(each)
    data = "; ".join(f"{found['name']} {found['digest']}" for found in each) or digest([])
    kept = read_json(out / LORA) if (out / LORA).exists() else {"rows": []}
    lora = next((f"{row['delta']:g}" for row in kept["rows"] if row["delta"]), "not measured yet")
    intro = INTRO.format(delta=lora)
    parts = [heading(title="Certified deletion", command=command, data=data, measured=MEASURED), intro + "\n"]
    parts += [OTHER] if any(found["code"] != code_digest(*MATTERS) for found in each) else []
    parts += ["## Epsilon against accuracy\n", utility, "## A private vote of shards\n", votes_section(each)]
    parts += ["## Removals until the budget is spent\n", spent, "## By group\n", told]
    parts += ["## DP-LoRA\n", lora_section(out)]
    return "\n".join(parts), {**drawn, **spent_drawn, **told_drawn}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, and the charts beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/certified"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/certified.md"))
    given = parser.parse_args(arguments)
    shown = [f"--{name} {path}" for name, path in (("out", given.out), ("page", given.page)) if not path.is_absolute()]
    text, drawn = page(given.out, " ".join(["python -m benchmarks.certified_page", *shown]))
    for name, chart in drawn.items():
        write_text(given.page.with_name(name), f"{chart}\n")
    write_text(given.page, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
