"""Sums of clipped gradients, by opacus: from gradients of each row, or from their norms alone (ghost clipping).

Ghost clipping (arXiv 2110.05679) finds the norm of each sequence's gradient from products of activations, and lets a
second pass backward sum the gradients with their factors; no gradient of a single sequence is ever held. Both clip by
min(1, C / (norm + 1e-6)).
"""

from __future__ import annotations

import hashlib
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


def require_rows_apart(module: Any, rows_RD: Tensor) -> None:
    """Raise where what a module says of a row depends on the others of the batch: no clipping of rows bounds it then.

    In evaluation rows are answered together and one by one. In training, where there may be dropout, batches have one
    size and one seed: each row beside the others, and beside copies of itself.

    Args:
        module: that takes a table. What it keeps of the rows is in it afterwards.
        rows_RD: (R, D) different rows that it will meet.

    Raises:
        TargetError: it does; it keeps something of the rows that it met; or it does not take such rows.
    """
    was, before = module.training, untrained(module)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module.eval()
            together, apart = module(rows_RD), torch.cat([module(row[None]) for row in rows_RD])
            module.train()
            beside, copies = _seeded(module, rows_RD), [_seeded(module, row.repeat(len(rows_RD), 1)) for row in rows_RD]
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise TargetError(
            f"this module does not take rows of {rows_RD.shape[1]} columns",
            why=str(error).partition("\n")[0],
            next="Give the factory settings that fit the columns of the data",
        ) from error
    module.train(was)
    require_untouched(module, before)
    alone = torch.stack([rows[at] for at, rows in enumerate(copies)])
    if not torch.allclose(together, apart, rtol=1e-4, atol=1e-5, equal_nan=True) or not torch.allclose(
        beside, alone, rtol=0.0, atol=0.0, equal_nan=True
    ):
        raise TargetError(
            "this module mixes the rows of a batch",
            why="what a record adds to a step would not be bounded",
            next="Let each row be computed by itself",
        )


def _seeded(module: Any, rows_RD: Tensor) -> Tensor:
    torch.default_generator.manual_seed(4)
    return module(rows_RD)


def untrained(module: Any) -> dict[str, str]:
    """Name -> digest of each tensor that no step changes: buffers, the unsaved as well, and frozen weights."""
    frozen = {name: value for name, value in module.named_parameters() if not value.requires_grad}
    held: dict[str, Tensor] = {**frozen, **dict(module.named_buffers())}
    return {name: hashlib.sha256(_bytes(value)).hexdigest() for name, value in held.items()}


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def require_untouched(module: Any, before: dict[str, str]) -> None:
    """Raise where something of a module that is not trained changed: it went around clipping and noise.

    Args:
        module: after it met records.
        before: what ``untrained`` told of it.

    Raises:
        TargetError: names a tensor.
    """
    after = untrained(module)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise TargetError(
            "this module keeps what it met outside of its trained weights",
            why=f"{changed[0]} changed in training, and no noise hides what it took from the records",
            next="Take the buffer out, or let training leave it as it is",
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

        Raises:
            TargetError: a parameter has no gradients of single rows.
        """
        losses_B.sum().backward()
        _require_told(self.trained, self.wrapped, "grad_sample")
        size = int(groups_B.max()) + 1
        grouped: list[Tensor] = []
        for parameter in self.trained:
            rows = parameter.grad_sample
            empty = torch.zeros(size, *parameter.shape, dtype=parameter.dtype, device=parameter.device)
            grouped.append(empty.index_add_(0, groups_B.to(rows.device), rows))
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
            TargetError: a parameter has no norms of single rows.
        """
        if groups_B.unique().numel() != len(losses_B):
            raise ConfigError("ghost clipping clips each row by itself", next="Clip gradients of rows for subjects")
        for parameter in self.trained:
            vars(parameter).pop("_norm_sample", None)  # of the pass before
        losses_B.sum().backward(retain_graph=True)
        _require_told(self.trained, self.wrapped, "_norm_sample")
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


def _require_told(trained: list[Any], wrapped: Any, kept: str) -> None:
    """Raise where opacus told no rows of a parameter apart: its layer was not called, so that it would get noise alone.

    Raises:
        TargetError: names it.
    """
    lost = {id(parameter) for parameter in trained if getattr(parameter, kept, None) is None}
    if lost:
        name = next(name for name, parameter in wrapped.named_parameters() if id(parameter) in lost)
        raise TargetError(
            f"{name.removeprefix('_module.')} has no gradients of single rows",
            why="its layer is not called, or is passed by, so that it would be given noise and nothing else",
            next="Freeze it, take it out, or call the layer that holds it",
        )


def _add(parameter: Any, more: Tensor) -> None:
    held = getattr(parameter, "summed_grad", None)
    parameter.summed_grad = more.detach().clone() if held is None else held + more.detach()
