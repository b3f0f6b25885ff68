"""The level of never-seen answers. Source: this project; where calibrated ascent stops."""

from __future__ import annotations

from typing import Any

from expunge.core.errors import ConfigError


def never_seen_level(context: Any, *, scale: float = 1.0) -> float:
    """Mean negative log-likelihood per token that the model before unlearning gives to the holdout's answers.

    level = scale * mean_i (nll_i / n_i)

    Args:
        context: offers ``token_logp(role)``, one (n_i,) array of nats an example.
        scale: multiplies the mean.

    Returns:
        nats per token.

    Raises:
        ConfigError: the selection has no holdout.

    >>> class Two:
    ...     def token_logp(self, role): return [[-1.0, -3.0], [-4.0]]
    >>> never_seen_level(Two(), scale=0.5)  # 0.5 * (2 + 4) / 2
    1.5
    """
    rows = context.token_logp("holdout")
    if not rows:
        raise ConfigError(
            "calibrated ascent needs holdout examples",
            why="its level is that of answers that were never seen",
            next="Give holdout records (--holdout), or set level to a number",
        )
    return scale * sum(-float(sum(row)) / len(row) for row in rows) / len(rows)
