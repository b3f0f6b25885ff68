"""Sums of clipped gradients, by opacus: from gradients of each row, or from their norms alone (ghost clipping).

Ghost clipping (arXiv 2110.05679) finds the norm of each sequence's gradient from products of activations, and lets a
second pass backward sum the gradients with their factors; no gradient of a single sequence is ever held. Both clip by
min(1, C / (norm + 1e-6)).
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from expunge.accounting.given import need
from expunge.core.errors import ConfigError, TargetError

FITS = (torch.float32, torch.float64)
TO = "training with differential privacy"


@contextmanager
def without_hook_notes() -> Generator[None]:
    """Torch tells of each hook of a module whose inputs need no gradient; opacus means them so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield


def require_private(module: Any) -> None:
    """Raise unless a module's gradients of single rows can be told apart, and held precisely.

    Raises:
        TargetError: a layer mixes the rows of a batch, as BatchNorm does; nothing is trained; or half precision.
        MissingExtra: without the extra ``dp``.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    if not trained:
        raise TargetError("nothing of this model is trained", next="Name modules that the model has")
    rough = next((p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype not in FITS), None)
    if rough is not None:
        raise TargetError(
            f"a model in {str(rough).removeprefix('torch.')} cannot be trained with differential privacy",
            why="norms that are rounded so far do not bound what a record adds, nor is such noise Gaussian",
            next="Load it in float32",
        )
    validator = need("opacus.validators", to=TO).ModuleValidator
    was = module.training
    module.train()
    wrong = validator.validate(module, strict=False)
    module.train(was)
    if wrong:
        raise TargetError(
            "this model cannot be trained with differential privacy",
            why=str(wrong[0]).partition("\n")[0],
            next="Take the layer out; GroupNorm may stand for BatchNorm",
        )


def require_rows_apart(module: Any, columns: int) -> None:
    """Raise where what a module says of a row depends on the others of the batch: no clipping of rows bounds it then.

    Args:
        module: that takes a table.
        columns: of the table.

    Raises:
        TargetError: it does, on rows that are drawn for this.
    """
    rows_RD = torch.randn(4, columns, generator=torch.Generator().manual_seed(4))
    was = module.training
    module.eval()
    with torch.no_grad():
        together, apart = module(rows_RD), torch.cat([module(row[None]) for row in rows_RD])
    module.train(was)
    if not torch.allclose(together, apart, rtol=1e-4, atol=1e-5):
        raise TargetError(
            "this module mixes the rows of a batch",
            why="what a record adds to a step would not be bounded",
            next="Let each row be computed by itself",
        )


class Rows:
    """Clips gradients that are held for each row; rows of one group are summed before they are clipped.

    Args:
        module: that is trained; wrapped until ``close``.
        clip: C.
    """

    def __init__(self, module: Any, clip: float) -> None:
        self.wrapped = _wrapped(need("opacus", to=TO).GradSampleModule, module)
        self.clip = clip
        self.trained = [p for p in module.parameters() if p.requires_grad]

    def add(self, losses_B: Tensor, groups_B: Tensor) -> Tensor:
        """Add the clipped gradients of a pass to ``summed_grad`` of each parameter.

        Args:
            losses_B: (B,) loss of each row.
            groups_B: (B,) number of its group, from 0 without a gap.

        Returns:
            (G,) norms before clipping.
        """
        losses_B.sum().backward()
        size = int(groups_B.max()) + 1
        grouped: list[Tensor] = []
        for parameter in self.trained:
            rows = parameter.grad_sample
            empty = torch.zeros(size, *parameter.shape, dtype=parameter.dtype, device=parameter.device)
            grouped.append(empty if rows is None else empty.index_add_(0, groups_B.to(rows.device), rows))
            parameter.grad_sample, parameter.grad = None, None
        norms_G = torch.stack([part.flatten(1).norm(dim=1) for part in grouped]).norm(dim=0)
        factors_G = (self.clip / (norms_G + 1e-6)).clamp(max=1.0)
        for parameter, part in zip(self.trained, grouped, strict=True):
            _add(parameter, torch.einsum("g,g...->...", factors_G, part))
        return norms_G

    def close(self) -> None:
        """Take the hooks off the module."""
        self.wrapped.to_standard_module()


class Ghost:
    """Clips by norms that are found without holding a gradient of a single row; every row is its own group.

    Args:
        module: that is trained; wrapped until ``close``.
        clip: C.
    """

    def __init__(self, module: Any, clip: float) -> None:
        made = need("opacus.grad_sample", to=TO).GradSampleModuleFastGradientClipping
        self.wrapped = _wrapped(made, module, max_grad_norm=clip, use_ghost_clipping=True)
        self.trained = [p for p in module.parameters() if p.requires_grad]

    def add(self, losses_B: Tensor, groups_B: Tensor) -> Tensor:
        """Add the clipped gradients of a pass to ``summed_grad`` of each parameter.

        Args:
            losses_B: (B,) loss of each row.
            groups_B: (B,) number of its group: its own.

        Returns:
            (B,) norms before clipping.

        Raises:
            ConfigError: two rows are in one group.
        """
        if groups_B.unique().numel() != len(losses_B):
            raise ConfigError("ghost clipping clips each row by itself", next="Clip gradients of rows for subjects")
        losses_B.sum().backward(retain_graph=True)
        factors_B = self.wrapped.get_clipping_coef()
        norms_B = self.wrapped.per_sample_gradient_norms
        for parameter in self.trained:
            parameter.grad = None
        self.wrapped.disable_hooks()
        (factors_B * losses_B).sum().backward()
        self.wrapped.enable_hooks()
        for parameter in self.trained:
            if parameter.grad is not None:
                _add(parameter, parameter.grad)
            parameter.grad = None
        return norms_B

    def close(self) -> None:
        """Take the hooks off the module."""
        self.wrapped.to_standard_module()


def _wrapped(kind: Any, module: Any, **settings: Any) -> Any:
    try:
        return kind(module, loss_reduction="sum", **settings)
    except NotImplementedError as error:
        raise TargetError("a layer has no gradients of single rows", why=str(error).partition("\n")[0]) from error


def _add(parameter: Any, more: Tensor) -> None:
    held = getattr(parameter, "summed_grad", None)
    parameter.summed_grad = more.detach().clone() if held is None else held + more.detach()
