"""How many threads a model is worth. On a small one they cost more than they carry, and far more on a busy machine."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

SMALL = 5_000_000


@contextmanager
def threads_for(model: Any) -> Generator[None]:
    """Use one intra-op thread for a model of fewer than ``SMALL`` parameters, and what torch was set to for others.

    The rule depends on the model alone, so that equal runs stay equal.

    Args:
        model: a torch module.
    """
    before = torch.get_num_threads()
    if before > 1 and sum(p.numel() for p in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
