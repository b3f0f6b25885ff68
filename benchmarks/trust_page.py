"""What the trust table prints, what its page says and what the package keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.results import MEASURED_CODE
from benchmarks.trust_judging import CAUGHT, DRAWS, WRONG, Row, as_kept, reads_original
from benchmarks.trust_splits import PART, SPLITS, Share
from expunge.core.registry import policies
from expunge.workflow.stages import code_digest

TITLES = ("caught", "missed", "false alarm", "earned, never")


def _cell(share: Share) -> str:
    return f"{share[0]:.2f} [{share[1]:.2f}, {share[2]:.2f}]"


def table_of(rows: Sequence[Row]) -> str:
    """One line a name, then the reasons for the margins and what policies list without its being trusted."""
    head = f"{'name':<28}{'margin':>7}{'pairs':>6}" + "".join(f"{title:>20}" for title in TITLES) + "  trust"
    lines = [head, "-" * len(head)]
    for row in rows:
        named = row.name + ("*" if reads_original(row.name) else "")
        start = f"{named:<28}{row.margin.size:>7g}{row.pairs:>6}"
        if not row.pairs:
            lines.append(f"{start}  not measured: {row.gone[0]}")
            continue
        cells = (row.caught, row.missed, row.false_alarm, row.earned_never)
        lines.append(start + "".join(f"{_cell(c):>20}" for c in cells) + f"  {row.trust}")
        if row.gone:
            lines.append(f"  {len(row.gone)} pairs not measured, the first: {row.gone[0]}")
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(f"{row.margin.size:g} {row.margin.side}: {row.margin.why}", []).append(row.name)
    lines += ["", "margins:", *(f"  {why}: {', '.join(names)}" for why, names in reasons.items())]
    return "\n".join([*lines, "", *doubted(rows)])


def doubted(rows: Sequence[Row]) -> list[str]:
    """What the policies of the package list although it is not trusted here, a line a policy."""
    trust = {row.name: row.trust for row in rows}
    found: list[str] = []
    for name, policy in policies.items():
        listed = [(c.attack, trust[c.attack]) for c in policy.criteria if trust.get(c.attack, "yes") != "yes"]
        if listed:
            found.append(f"{name} lists, without a yes: " + ", ".join(f"{attack} ({said})" for attack, said in listed))
    return found


def packaged(rows: Sequence[Row]) -> dict[str, Any]:
    """What the package keeps: every name with its trust, its shares, and the code that was measured."""
    return {
        "code": code_digest(*MEASURED_CODE),
        "code_of": list(MEASURED_CODE),
        "splits": SPLITS,
        "names": {row.name: as_kept(row) for row in rows},
    }


NOTES = """Models: the demo's shape, {pairs} pairs. Each pair has fictitious people of its own and five models that
were trained on them, so that pairs are independent: `trained` learned the records, `never` did not and has another
seed, `retrained` is the trained one after the method `retrain`; the control and the second reference never saw them
either, with seeds of their own. Each metric, but those by shadow models and of special records, is read on all
{pairs} pairs, each attack, at its {budget} budget, on the first {attacked}: one seed of the models and of the attack
each. Each is read {splits} times a pair, on seeded splits of its people: {part:g} of those of each role, drawn anew.
Splits of a pair share models and most of their people; so they are averaged first, and every interval is Wilson's 90 %
interval of the mean of the pairs' shares with the number of pairs as n. By simulation it holds the true share in 90 %
on average over shares if all splits of a pair agree (in about 80 % for some shares near 0 and 1), and in more than 92 %
for each share if they agree half.

The verdict is that of a policy at the name's default threshold: the 90 % interval, of {draws} resamples of people, of
the difference to the control against the margin, on the policy's side of it. The positive control, which keeps a blind
attack from earning anything, is left out here, for blindness is what is looked for. Caught: the trained model fails.
Missed: the trained model earns it, which is the error that matters most. False alarm: a model that never saw the
records fails; of `never` and `retrained`, the kind with more alarms is shown. Earned, never: such a model earns it, the
kind with fewer; what is missing to 1 is inconclusive or an alarm. Three quarters of the people leave more inconclusive
than all would.

Trust is `no` where the mean itself is on the wrong side: {caught:g} or fewer are caught, or more than {wrong:g} missed,
or more than {wrong:g} are false alarms. It is `yes` where every pair was measured, more than {caught:g} are caught, and
fewer than {wrong:g} missed and fewer than {wrong:g} false, at the worse ends of the intervals; else `unclear`: right on
average, with too wide an interval. A name with `no` earns nothing, whatever the policy that lists it, signed ones
included: its finding is `uninformative`, for that reason. `unclear` and `not measured` do not block, for nothing was
shown against them: there the positive control of each run is all that stands for the attack.

A name with * compares with the model before unlearning. That is the trained model itself: its cells for `trained` say
what it makes of a model to which nothing was done, and nothing of one that was changed; three names of retention, on
special records, are read otherwise, as is said below. It is all about small models that learned from scratch: a `no`
may be a `yes` on larger ones, which this page does not claim, and the other way round. Below the table stand the reason
for each margin, and what policies of this package list without a `yes`.

CPU minutes: {training:.0f} for the training of the models, {work:.0f} for all else ({parts}), half of it, {wall:.0f}
minutes, on two cores."""


SHADOW_NOTES = """

Shadow models: {pairs} pairs have {count} each, trained by the pair's recipe on what is kept and on half of the people
who are forgotten or never seen, and as many that were retrained. `lira`, `lira_offline` and `rmia_shadows` read the
first on all three truths. U-LiRA attacks the method that made a model: `never` and `retrained` are read beside those
that were retrained; `trained` as what a method makes that does nothing, whose shadow models are the first ones as they
are: `u_lira` catches there what `lira` does, by definition. An evaluation trains eight by default; of fewer an attack
sees less. With fewer than 11 pairs none of these names can have a `yes`."""


SUBSET_NOTES = """

Special records: {names} are read on
{pairs} pairs of their own, each with 40 fictitious people who are forgotten, 40 who are kept, and five smaller models.
A triggered question has one planted answer. A chain's answer follows from two facts, of which one is kept; it was
taught as well, for models this small do not put facts together. A personal string is a telephone number: addresses do
not survive these models' tokenizer. For `answered`, `rouge_l_alternative` and `unsaid` the models that never saw the
records were taught the answer that is wished for in their place, as references of such a wish are; `trained` was not.
What a name of retention has to find is damage: for `neighbour_retention`, `near_trigger_retention` and
`same_template_retention` the model that must fail is not `trained`, which is the model before, but one that was taught
all that it was but the neighbours.
A pair counts for a name only where the models say {learned:g} or more of the words that they were taught for it. With
fewer than 11 pairs none of these names can have a `yes`."""


def notes(facts: dict[str, Any], minutes: dict[str, float]) -> str:
    """How to read the page.

    Args:
        facts: ``pairs``, ``attacked`` and ``budget``.
        minutes: CPU minutes by stage, of all runs that it took.
    """
    work = {stage: spent for stage, spent in minutes.items() if stage != "models"}
    total = sum(work.values())
    return NOTES.format(
        **facts,
        splits=SPLITS,
        part=PART,
        draws=DRAWS,
        caught=CAUGHT,
        wrong=WRONG,
        training=minutes["models"],
        work=total,
        wall=total / 2,
        parts=", ".join(f"{stage} {spent:.1f}" for stage, spent in work.items()),
    )
