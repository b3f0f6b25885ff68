"""Random inputs that a formula or a score may be given: views of a ragged batch, columns of a score table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core.columns import COLUMNS, split
from expunge.core.views import VIEWS, Need

if TYPE_CHECKING:
    from torch import Tensor

B, T, V, D, K = 4, 5, 7, 3, 3
WORDS = ("a", "red", "cat", "sat", "on", "my", "mat")


def random_views(needs: Sequence[Need], *, seed: int, scale: float = 1.0, extra: int = 0) -> dict[str, Tensor]:
    """One tensor a need, as the engine would give them: 0 on padding, the model's own views with a gradient.

    Args:
        needs: of an objective.
        seed: of the draw; ``extra`` does not change what is drawn.
        scale: nats. typical size of a token's negative log-probability.
        extra: columns of padding beyond the longest answer.

    Returns:
        Name of the need -> (B, ...) tensor.
    """
    import torch

    counts = {
        a: torch.tensor(np.random.default_rng([seed, i]).permutation([T, 1, 3, 2])) for i, a in enumerate(("", "alt"))
    }
    views: dict[str, Tensor] = {}
    for number, need in enumerate(needs):
        draw = torch.Generator().manual_seed(1000 * seed + number)
        counts_B = counts[need.answer]
        mask_BT = torch.arange(T)[None, :] < counts_B[:, None]
        token_logp_BT = -scale * torch.rand((B, T), generator=draw) * mask_BT
        value = {
            "token_logp": lambda x=token_logp_BT: x,
            "logp": lambda x=token_logp_BT: x.sum(1),
            "logits": lambda m=mask_BT, g=draw: torch.randn((B, T, V), generator=g) * m[..., None],
            "hidden": lambda m=mask_BT, g=draw: torch.randn((B, T, D), generator=g) * m[..., None],
            "labels": lambda m=mask_BT, g=draw: torch.randint(1, V, (B, T), generator=g) * m,
            "n_tokens": lambda n=counts_B: n.clone(),
            "mask": lambda m=mask_BT: m.float(),
        }[need.view]()
        if extra and "T" in VIEWS[need.view].shape:
            value = torch.cat([value, value.new_zeros((B, extra, *value.shape[2:]))], dim=1)
        live = VIEWS[need.view].differentiable and not need.model
        views[need.name] = value.requires_grad_(live)
    return views


def mask_of(*, seed: int, answer: str, extra: int = 0) -> Tensor:
    """(B, T) the mask that belongs to ``random_views`` of the same seed."""
    return random_views([Need("mask", answer=answer)], seed=seed, extra=extra)[Need("mask", answer=answer).name]


def random_columns(needs: Sequence[str], *, seed: int, extra: int = 0) -> dict[str, Any]:
    """One column a need: ragged rows, 0 on padding.

    Args:
        needs: names of columns.
        seed: of the draw; ``extra`` does not change what is drawn.
        extra: columns of padding beyond the longest answer.

    Returns:
        Name of the column -> (B, ...) array, or a list of B texts.
    """
    columns: dict[str, Any] = {}
    for number, name in enumerate(needs):
        stem, variant = split(name)
        draw = np.random.default_rng([seed, number])
        if COLUMNS[stem].source == "scorer":
            columns[name] = draw.uniform(0.05, 0.95, B)
            continue
        if COLUMNS[stem].source != "score":
            columns[name] = [" ".join(draw.choice(WORDS, size=draw.integers(1, 6))) for _ in range(B)]
            continue
        shape = (B, K) if variant == "perturbed" else (B,)
        lengths = np.random.default_rng([seed, len(variant)]).integers(1, T + 1, size=shape)
        mask = (np.arange(T + extra) < lengths[..., None]).astype(np.float32)
        noise = draw.exponential(1.5, size=(*shape, T)).astype(np.float32)
        wide = np.pad(noise, [(0, 0)] * len(shape) + [(0, extra)])
        columns[name] = {
            "token_logp": -wide * mask,
            "token_mu": -(wide + 0.5) * mask,
            "token_sigma": (wide + 0.1) * mask,
            "token_hit": (wide > 1) * mask,
            "mask": mask,
            "n_tokens": lengths,
        }[stem]
    return columns
