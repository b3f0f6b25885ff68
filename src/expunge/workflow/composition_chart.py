"""Epsilon against the number of releases, as a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expunge.accounting.composition import Growth, growth
from expunge.accounting.gaussian import gaussian_epsilon
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.charts.scatter import Shape
from expunge.core.errors import ConfigError

MOST = 1_000_000
BOUNDS: tuple[tuple[str, Shape], ...] = (("basic", "square"), ("advanced", "star"), ("optimal", "ring"), ("pld", "dot"))
SAID = {
    "basic": "basic: all added",
    "advanced": "advanced: mean and spread",
    "optimal": "optimal for (epsilon, delta) alone",
    "pld": "exact, by the privacy loss",
}


def grown(releases: Sequence[int], delta: float, *, sigma: float) -> Growth:
    """Epsilon after each number of releases with Gaussian noise, in rising order.

    Args:
        releases: how many, each one or more.
        delta: probability, after all of them.
        sigma: noise over how far a release moves.

    Raises:
        ConfigError: a number is out of range, or the noise is so little that there is no epsilon.
    """
    wanted = sorted(set(releases))
    if not wanted or not 1 <= wanted[0] <= wanted[-1] <= MOST:
        raise ConfigError(f"releases are {wanted}", why=f"one to {MOST} can be counted", next="Give other numbers")
    if not math.isfinite(wanted[-1] * gaussian_epsilon(delta / (2 * wanted[-1]), sigma=sigma)):
        raise ConfigError(f"sigma is {sigma:g}", why="epsilon is beyond any number", next="Take more noise")
    return growth(wanted, delta, sigma=sigma)


def rows_of(found: Growth) -> list[str]:
    """The table, one line a number of releases."""
    head = f"{'releases':>9} " + " ".join(f"{name:>10}" for name, _ in BOUNDS)
    values = zip(found.releases, *(getattr(found, name) for name, _ in BOUNDS), strict=True)
    return [head, *(f"{k:>9} " + " ".join(f"{e:>10.6g}" for e in epsilons) for k, *epsilons in values)]


def drawn(found: Growth) -> Markup:
    """The four bounds in one picture, both axes in powers of ten; an epsilon of 0 has no place on it."""
    lines = {name: _points(found.releases, getattr(found, name)) for name, _ in BOUNDS}
    every = [Curve(SAID[name], lines[name], shape) for name, shape in BOUNDS if lines[name]]
    if not every:
        raise ConfigError("every epsilon is 0", why="there is nothing to be drawn", next="Take less noise")
    return curves(
        every[-1:],
        every[:-1],
        title="Epsilon against the number of releases",
        description="; ".join(rows_of(found)),
        x_label="releases of a model that depends on the record, in powers of ten",
        y_label=f"epsilon in nats at delta {found.delta:g}, in powers of ten; lower is better",
        own=every[-1].label,
    )


def _points(releases: Sequence[int], epsilons: Sequence[float]) -> list[tuple[float, Span]]:
    return [(math.log10(k), Span(math.log10(e))) for k, e in zip(releases, epsilons, strict=True) if e > 0]
