"""expunge accounting"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import present
from expunge.cli.showing import Json, add, say, say_json, tell
from expunge.core.errors import ConfigError

accounting = typer.Typer(
    help="What an epsilon is: of a mechanism, after many releases, for an attacker, over time.", rich_markup_mode=None
)
Epsilon = Annotated[float, typer.Option("--epsilon", "--alpha", help="Nats; some papers call it alpha.")]
Delta = Annotated[float, typer.Option("--delta", "--beta", help="Probability; some papers call it beta.")]
Sigma = Annotated[float, typer.Option(help="Deviation of the noise over how far a record moves it.")]
Q = Annotated[float, typer.Option(help="Probability that a record is in a step's sample; 1 for all.")]
Steps = Annotated[int, typer.Option(help="How many steps.", min=1)]
Records = Annotated[int, typer.Option(help="How many records are deleted together.", min=1)]
Alarms = Annotated[float, typer.Option(help="Share of strangers that the attacker takes for members.")]
Prior = Annotated[float, typer.Option(help="Probability of membership before the model is seen.")]


@accounting.callback(epilog="Example: expunge accounting epsilon --sigma 1.1 --q 0.01 --steps 1000 --delta 1e-5")
def group() -> None:
    """What an epsilon is: of a mechanism, after many releases, for an attacker, over time."""


def _told(epsilon: float, delta: float, alarms: float, prior: float) -> tuple[list[str], dict[str, Any]]:
    """Both notations and what an attacker can do, for people and for programs."""
    from dataclasses import asdict

    from expunge.accounting.attacker import reading

    found = reading(epsilon, delta, false_positive_rate=alarms, prior=prior)
    pair = f"({epsilon:.6g}, {delta:g})"
    lines = [f"(epsilon, delta) = {pair}, which some papers write (alpha, beta) = {pair}", str(found)]
    return lines, {"epsilon": epsilon, "delta": delta, "alpha": epsilon, "beta": delta, "attacker": asdict(found)}


def epsilon(
    sigma: Sigma,
    delta: Delta,
    q: Q = 1.0,
    steps: Steps = 1,
    records: Records = 1,
    false_positives: Alarms = 0.01,
    prior: Prior = 0.5,
    as_json: Json = False,
) -> None:
    """Print the epsilon of Gaussian noise, and what the best attacker makes of it.

    With --q below 1 each record is in a step's sample with that probability, by itself, as in DP-SGD. Two accountants
    are asked; where they contradict one another nothing is stated.

    Example: expunge accounting epsilon --sigma 1.1 --q 0.01 --steps 1000 --records 4 --delta 1e-5
    """
    from expunge.accounting.subsampled import sampled_epsilon

    found = sampled_epsilon(delta, sigma=sigma, q=q, steps=steps, records=records)
    lines, facts = _told(found.epsilon, delta, false_positives, prior)
    more = {"accountant": found.accountant, "renyi": found.renyi, "records": records}
    named = "one record" if records == 1 else f"{records} records together"
    text = [*lines, f"for {named}, by {found.accountant}; by Renyi divergence {found.renyi:.6g}"]
    tell(as_json, "\n".join(text), {**facts, **more})


def reading(
    epsilon: Epsilon, delta: Delta, false_positives: Alarms = 0.01, prior: Prior = 0.5, as_json: Json = False
) -> None:
    """Print what the best attacker makes of an epsilon and a delta, in both notations.

    Example: expunge accounting reading --alpha 2 --beta 1e-6 --false-positives 0.001
    """
    lines, facts = _told(epsilon, delta, false_positives, prior)
    tell(as_json, "\n".join(lines), facts)


def sigma(
    epsilon: Epsilon, delta: Delta, q: Q = 1.0, steps: Steps = 1, records: Records = 1, as_json: Json = False
) -> None:
    """Print the least noise that keeps the deletion of some records within an epsilon and a delta.

    Example: expunge accounting sigma --epsilon 4 --delta 1e-5 --q 0.01 --steps 1000 --records 8
    """
    from expunge.accounting.subsampled import sampled_sigma

    found = sampled_sigma(epsilon, delta, q=q, steps=steps, records=records)
    tell(as_json, f"{found!r}", {"sigma": found, "epsilon": epsilon, "delta": delta, "records": records})


def growth(
    sigma: Sigma,
    delta: Delta,
    requests: Annotated[str, typer.Option(help="Numbers of requests, with commas between them.")] = "1,10,100,1000",
    chart: Annotated[Path | None, typer.Option(help="SVG file to draw it into.")] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write no chart.")] = False,
) -> None:
    """Print epsilon after many requests, each answered by a model with fresh noise, by four bounds at one delta.

    Basic adds what each tells. Advanced counts mean and spread. Optimal is the least that epsilon and delta of each
    allow. The last one composes the privacy loss itself, and for Gaussian noise is exact.

    Example: expunge accounting growth --sigma 20 --delta 1e-5 --requests 1,10,100 --chart growth.svg
    """
    from dataclasses import asdict

    from expunge.workflow.composition_chart import drawn, grown, rows_of

    try:
        wanted = [int(number) for number in requests.split(",")]
    except ValueError as error:
        raise ConfigError(f"--requests is {requests!r:.40}", why="it is not numbers with commas between") from error
    found = grown(wanted, delta, sigma=sigma)
    picture = drawn(found) if chart else ""
    facts = asdict(found)
    if chart is not None:
        from expunge.core.files import write_text

        facts |= {"chart": str(chart), "written": not dry_run}
        if not dry_run:
            write_text(chart, str(picture) + "\n")
    told = [] if chart is None else [f"would write {chart}" if dry_run else f"{chart}"]
    tell(as_json, "\n".join([*rows_of(found), *told]), facts)


def plan(
    probabilities: Annotated[Path, typer.Option(help="JSON: a list, or an object from record id to probability.")],
    model: Annotated[
        Path | None, typer.Option(help="A privately trained model, whose account has the numbers.")
    ] = None,
    sigma: Annotated[float | None, typer.Option(help="Noise over how far a record moves it, without --model.")] = None,
    epsilon: Annotated[float | None, typer.Option("--epsilon", "--alpha", help="The limit, without --model.")] = None,
    delta: Annotated[float | None, typer.Option("--delta", "--beta", help="Probability, without --model.")] = None,
    q: Q = 1.0,
    steps: Steps = 1,
    gamma: Annotated[float, typer.Option(help="Probability that may be left to chance.")] = 0.05,
    as_json: Json = False,
) -> None:
    """Print how many deletions a period may bring, what they take, and the odds that the budget lasts.

    Each record's probability of being asked for was declared before the training and does not follow from the data's
    content. A subject is asked for where one of its records is.

    Example: expunge accounting plan --probabilities odds.json --sigma 4 --q 0.01 --steps 1000 --epsilon 4 --delta 1e-5
    """
    from dataclasses import asdict

    from expunge.workflow.budget_plan import Mechanism, held_in, lines_of, plan_budget, read_probabilities

    declared = read_probabilities(present(probabilities, "probabilities"))
    if model is not None:
        given = {"--sigma": sigma, "--epsilon": epsilon, "--delta": delta}
        if found := [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"--model and {found[0]} were given", why="the model's account has the numbers")
        mechanism, chances = held_in(present(model, "model"), declared)
    elif sigma is None or delta is None:
        raise ConfigError("the mechanism is not known", next="Give --model, or --sigma and --delta")
    else:
        mechanism, chances = Mechanism(sigma, q, steps, delta, epsilon), declared
    planned = plan_budget(mechanism, chances, gamma=gamma)
    if as_json:
        say_json(asdict(planned))
        return
    for line in lines_of(planned):
        say(line)


VERBS = {"epsilon": epsilon, "reading": reading, "sigma": sigma, "growth": growth, "plan": plan}
for called, verb in VERBS.items():
    add(accounting, called, verb)
