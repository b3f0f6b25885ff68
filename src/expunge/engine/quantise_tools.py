"""Where bitsandbytes and torchao put weights. Sources: QLoRA (2305.14314); LLM.int8 (2208.07339).

Each stands in the place of a ``Grid``. Weights go through the tool and back: what is measured is what they still say,
computed as before, not the tool's arithmetic, which rounds activations too (LLM.int8's outlier columns among them).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from expunge.core.errors import ConfigError, MissingExtra
from expunge.core.record import record


def _tool(module: str) -> Any:
    """A module of a tool.

    Raises:
        MissingExtra: it is not installed.
    """
    import importlib

    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"quantising with {name}", name, name) from error


@record
class BitsAndBytes:
    """As bitsandbytes holds a linear layer that is loaded in 4 or in 8 bits.

    Args:
        numbers: ``nf4``, in blocks that run over the rows, or ``int8``, one scale an output.
        block: weights that share a scale in NF4.
    """

    numbers: Literal["nf4", "int8"]
    block: int = 64

    def coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The code of each weight and the value that it stands for.

        Args:
            weight: (out, in) of a linear layer.

        Returns:
            (out, in) int8, and (out, in) float64.

        Raises:
            MissingExtra: bitsandbytes is not installed.
        """
        tool = _tool("bitsandbytes.functional")
        plain = weight.detach().float().contiguous().clone()
        if self.numbers == "int8":
            codes, scales, _ = tool.int8_vectorwise_quant(plain)
            return codes, tool.int8_vectorwise_dequant(codes, scales).double()
        # As one row: on a CPU the tool (0.50.2) gives matrices back wrongly whose blocks do not end where rows end.
        packed, state = tool.quantize_4bit(plain.reshape(1, -1), blocksize=self.block, quant_type="nf4")
        pairs = packed.flatten().to(torch.int16)
        codes = torch.stack((pairs >> 4, pairs & 15), dim=-1).flatten()[: plain.numel()]
        values = tool.dequantize_4bit(packed, state).double()
        return codes.to(torch.int8).reshape(plain.shape), values.reshape(plain.shape)


@record
class TorchAO:
    """As torchao holds a linear layer in whole numbers, weights only, symmetric.

    Its steps are max|w| / (2^(bits - 1) - 1/2): the lowest code is used too, and the largest weights are cut off by
    half a step, so that other weights change than under ``RoundToNearest``.

    Args:
        bits: 4 or 8.
        group: neighbouring inputs of an output that share a step; 0 for all of them.
    """

    bits: Literal[4, 8]
    group: int = 0

    def coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The code of each weight and the value that it stands for.

        Args:
            weight: (out, in) of a linear layer.

        Returns:
            (out, in) int8, and (out, in) float64.

        Raises:
            MissingExtra: torchao is not installed.
            ConfigError: the inputs of the layer are no multiple of the group.
        """
        tool = _tool("torchao.quantization")
        out, into = weight.shape
        if self.group and into % self.group:
            raise ConfigError(f"{into} inputs do not divide into groups of {self.group}", next="Give a divisor")
        layer = torch.nn.Linear(into, out, bias=False, device=weight.device)
        layer.weight = torch.nn.Parameter(weight.detach().float().clone(), requires_grad=False)
        held = torch.nn.Sequential(layer)
        numbers = getattr(torch, f"int{self.bits}")
        steps = tool.PerGroup(self.group) if self.group else tool.PerAxis(0)
        tool.quantize_(held, tool.IntxWeightOnlyConfig(weight_dtype=numbers, granularity=steps))
        found: Any = layer.weight
        return found.qdata.to(torch.int8), found.dequantize().double()
