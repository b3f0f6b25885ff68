"""Copies of a model with coarser weights. Sources: LLM.int8 (2208.07339), 2.1; QLoRA (2305.14314), 3 and appendix E."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.record import record
from expunge.targets.causal_lm import HELD, CausalLM

NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The levels of NormalFloat4, as appendix E lists them."""


class Grid(Protocol):
    """Where the weights of a linear layer may lie."""

    def coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The code of each weight, int8, and the value that it stands for, float64; both (out, in)."""
        ...


def _in_blocks(weight_OI: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Rows cut into blocks, the last filled up with zeros, and the largest magnitude of each; 1 where all are 0."""
    # In float64 the largest weight of a block stays what it is, so that the same grid is found again.
    wide_OI = functional.pad(weight_OI.double(), (0, -weight_OI.shape[1] % size))
    blocks_ONK = wide_OI.reshape(len(weight_OI), -1, size)
    top_ON1 = blocks_ONK.abs().amax(-1, keepdim=True)
    return blocks_ONK, torch.where(top_ON1 > 0, top_ON1, 1.0)


def _rows(blocks_ONK: Tensor, like_OI: Tensor) -> Tensor:
    return blocks_ONK.flatten(1)[:, : like_OI.shape[1]]


@record
class RoundToNearest:
    """Symmetric rounding to equal steps: code = round(w / s), value = s code, s = max|w| / (2^(bits-1) - 1).

    Args:
        bits: of a code, 2 to 8.
        group: neighbouring inputs of an output that share a step; 0 for all of them (one step a channel).
    """

    bits: int
    group: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8 or self.group < 0:
            raise ConfigError(f"cannot round to {self.bits} bits in groups of {self.group}", next="Give 2 to 8 bits")

    def coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The code of each weight and the value that it stands for.

        Args:
            weight: (out, in) of a linear layer.

        Returns:
            (out, in) int8, and (out, in) float64.

        >>> codes, values = RoundToNearest(bits=3).coded(torch.tensor([[0.6, -0.25, 0.35]]))  # steps of 0.6 / 3
        >>> codes.tolist(), [round(v, 6) for v in values[0].tolist()]
        ([[3, -1, 2]], [0.6, -0.2, 0.4])
        """
        blocks_ONK, top_ON1 = _in_blocks(weight, self.group or weight.shape[1])
        step_ON1 = top_ON1 / (2 ** (self.bits - 1) - 1)
        codes_ONK = (blocks_ONK / step_ON1).round()
        return _rows(codes_ONK.to(torch.int8), weight), _rows(codes_ONK * step_ON1, weight)


@record
class NormalFloat4:
    """Rounding to the 16 levels ``NF4``, quantiles of a normal distribution, times the largest weight of a block.

    Blocks run over the weights row by row. The scales are kept as they are: QLoRA's second quantisation, of the
    scales, is left out. A weight half-way between two levels goes to the lower one.

    Args:
        block: weights that share a scale.
    """

    block: int = 64

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ConfigError(f"a block of {self.block} weights is none", next="Give 64, as QLoRA does")

    def coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The code of each weight and the value that it stands for.

        Args:
            weight: (out, in) of a linear layer.

        Returns:
            (out, in) int8, and (out, in) float64.

        >>> codes, values = NormalFloat4().coded(torch.tensor([[2.0, -1.0], [0.3, 0.0]]))  # 1, -0.5, 0.15, 0 of 2
        >>> codes.tolist(), [round(v, 4) for v in values.flatten().tolist()]
        ([[15, 2], [9, 7]], [2.0, -1.0501, 0.3219, 0.0])
        """
        row_1I = weight.reshape(1, -1)
        blocks_1NK, top_1N1 = _in_blocks(row_1I, self.block)
        levels = torch.tensor(NF4, dtype=torch.float64, device=weight.device)
        codes_1NK = torch.bucketize(blocks_1NK / top_1N1, (levels[1:] + levels[:-1]) / 2)
        values_1NK = levels[codes_1NK] * top_1N1
        codes, values = (_rows(blocks, row_1I).reshape(weight.shape) for blocks in (codes_1NK, values_1NK))
        return codes.to(torch.int8), values


def linear_weights(model: Any) -> dict[str, Tensor]:
    """The weights that quantisation touches, by name, each (out, in) and sharing memory with the model.

    Those of the linear layers; not the embeddings, the head (tied to them or not), norms or biases, which every
    common tool leaves as they are.

    Args:
        model: a transformers causal LM.

    Raises:
        EvidenceError: it has no such layer.
    """
    from transformers.pytorch_utils import Conv1D

    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    kept = {id(module.weight) for module in ends if module is not None}
    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in kept:
            weight = module.weight.detach()
            found[f"{name}.weight"] = weight.T if isinstance(module, Conv1D) else weight
    if not found:
        raise EvidenceError(f"a {type(model).__name__} has no linear layer to quantise")
    return found


def quantised(target: CausalLM, grid: Grid) -> CausalLM:
    """A copy of a target whose linear weights lie on a grid; they are held and computed with as before.

    Args:
        target: stays as it is.
        grid: where weights may lie.
    """
    copy = target.clone()
    for weight in linear_weights(copy.model).values():
        weight.copy_(grid.coded(weight)[1])
    return copy


def rounded(target: CausalLM, numbers: str) -> CausalLM:
    """A copy of a target with every weight as a file in other numbers would give it back; computed with as before.

    Args:
        target: stays as it is.
        numbers: ``bfloat16`` or ``float16``, for instance.

    Raises:
        EvidenceError: a weight is too large for these numbers.
    """
    copy = target.clone()
    for name, weight in copy.model.named_parameters():
        weight.detach().copy_(weight.detach().to(HELD[numbers]))
        if not bool(weight.isfinite().all()):
            raise EvidenceError(f"{name} does not fit into {numbers}", why="a weight is too large")
    return copy
