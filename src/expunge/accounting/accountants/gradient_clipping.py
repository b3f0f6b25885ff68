"""Noisy steps on whatever loss, their gradients clipped. Source: Koloskova et al., arXiv 2506.06985."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.accounting.shifted import clipped_rho, rho_epsilon


def gradient_clipping(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of fine-tuning that begins within a ball and adds noise to each clipped step.

    D_alpha <= alpha rho, rho of ``clipped_rho``, and the least epsilon that this gives over the orders alpha.

    Args:
        delta: () probability.
        numbers: ``start_clip`` C0, ``gradient_clip`` C1, ``lr`` eta, ``decay`` lam, ``sigma`` s, ``steps`` T, all of
            a block, and ``blocks``.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> one = {"start_clip": "1.5", "gradient_clip": "0.5", "lr": "0.5", "decay": "0.0", "sigma": "2.0", "steps": "4"}
    >>> found = gradient_clipping(0.01, {**one, "blocks": "1"})  # rho = 0.78125
    >>> 3 * 0.78125 < found < 0.78125 + 2 * (0.78125 * 4.60517) ** 0.5  # rho + 2 sqrt(rho ln(1 / delta)) is larger
    True
    """
    sizes = {name: float(numbers[name]) for name in ("start_clip", "gradient_clip", "lr", "decay", "sigma")}
    rho = clipped_rho(**sizes, steps=int(numbers["steps"]), blocks=int(numbers["blocks"]))
    return rho_epsilon(rho, delta)
