"""LoRA adapters of several shards, merged exactly into the weights that they were trained on.

    W = W_0 + c sum_k s B_k A_k,   c = 1 (sum) or 1 / S (mean),   s = alpha / r (alpha / sqrt r for rsLoRA)

The sum is taken in float64, shard by shard in the order given, and rounded once, when it is put into the weights. It is
always taken anew from the base: subtracting a product again would leave its rounding behind. What peft calls a linear
combination multiplies a sum of the A with a sum of the B, which adds the products of one shard's B with another's A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError
from expunge.targets.adapted import beside, require_removable
from expunge.targets.adapter import config_of
from expunge.targets.causal_lm import CausalLM

Combine = Literal["mean", "sum"]
A, B = ".lora_A.default.weight", ".lora_B.default.weight"
SUMMABLE = ("init_lora_weights", "layers_to_transform", "lora_dropout", "use_rslora")


def require_summable(adapter: Adapter) -> None:
    """Raise where an adapter is more than a product that is added to the weights.

    Raises:
        ConfigError: it is no LoRA, or a setting adds something that a sum of products does not hold.

    >>> require_summable(Adapter(kind="lora", r=4, settings={"lora_dropout": 0.1}))
    """
    other = next((name for name, _ in adapter.settings if name not in SUMMABLE), "")
    if adapter.kind.lower() != "lora" or other:
        raise ConfigError(
            f"an adapter of kind {adapter.kind}{other and f' with {other}'} cannot be summed over shards",
            why="the sum is exact only for products that are added to the weights",
            next=f"Use lora, with no settings but {', '.join(SUMMABLE)}",
        )
    require_removable(adapter)


def scale_of(adapter: Adapter) -> float:
    """What an adapter's product is multiplied by.

    >>> scale_of(Adapter(r=4, alpha=6)), scale_of(Adapter(r=4, alpha=6, settings={"use_rslora": True}))
    (1.5, 3.0)
    """
    config = config_of(adapter)
    return float(config.lora_alpha) / (math.sqrt(config.r) if config.use_rslora else config.r)


def products(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """What one adapter adds to each module's weight.

    Args:
        weights: name -> A (r, in) and B (out, r), as the model names its parameters.
        scale: of the products.

    Returns:
        Module -> (out, in) float64, sorted by name.

    >>> A_, B_ = torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0], [7.0]])
    >>> products({"q.lora_A.default.weight": A_, "q.lora_B.default.weight": B_}, 0.5)["q"].tolist()
    [[5.0, 7.5], [7.0, 10.5]]
    """
    modules = sorted(name.removesuffix(A) for name in weights if name.endswith(A))
    if not modules or {f"{m}{end}" for m in modules for end in (A, B)} != set(weights):
        raise TargetError("these are not the tensors of a LoRA adapter", why=", ".join(sorted(weights)[:2]))
    return {m: scale * (weights[f"{m}{B}"].double() @ weights[f"{m}{A}"].double()) for m in modules}


def summed(shards: Sequence[Mapping[str, Tensor]], scale: float, *, combine: Combine = "mean") -> dict[str, Tensor]:
    """The exact sum, or mean, of the products of several adapters.

    Args:
        shards: tensors of each, in the order of the shards' numbers; modules may differ.
        scale: of every product.
        combine: whether the sum is divided by the number of adapters.

    Returns:
        Module -> (out, in) float64.

    >>> one = {"q.lora_A.default.weight": torch.tensor([[2.0]]), "q.lora_B.default.weight": torch.tensor([[5.0]])}
    >>> two = {"q.lora_A.default.weight": torch.tensor([[3.0]]), "q.lora_B.default.weight": torch.tensor([[4.0]])}
    >>> summed([one, two], 0.5)["q"].item()  # peft's linear: 0.25 * (2 + 3) * (5 + 4) = 11.25
    5.5
    """
    found: dict[str, Tensor] = {}
    for weights in shards:
        for module, product in products(weights, scale).items():
            found[module] = found[module] + product if module in found else product
    return {m: total / len(shards) if combine == "mean" else total for m, total in sorted(found.items())}


def merged(
    base: CausalLM, shards: Sequence[Mapping[str, Tensor]], adapter: Adapter, *, combine: Combine = "mean"
) -> CausalLM:
    """A base with the adapters of all shards in its weights. What no adapter touches is shared with the base.

    Args:
        base: keeps its weights.
        shards: tensors of each adapter, in the order of the shards' numbers; none gives the base's weights.
        adapter: what all of them are.
        combine: whether products are summed or averaged.

    Raises:
        ConfigError: the adapter cannot be summed, or stands in weights that two modules share.
        TargetError: the tensors do not fit the base.
    """
    require_summable(adapter)
    target = beside(base)
    uses = [id(p) for _, p in target.model.named_parameters(remove_duplicate=False)]
    for module, added in summed(shards, scale_of(adapter), combine=combine).items():
        layer = _module(target.model, module)
        if uses.count(id(layer.weight)) > 1:
            raise ConfigError(f"{module} shares its weights with another module", next="Leave it out of the targets")
        # transformers' Conv1D keeps (in, out).
        own = added.T if type(layer).__name__ == "Conv1D" else added
        if own.shape != layer.weight.shape:
            raise TargetError(f"the adapter does not fit {module}", next="Give the base that it was trained on")
        whole = (layer.weight.detach().double() + own).to(layer.weight.dtype).contiguous()
        layer.weight = torch.nn.Parameter(whole)
    target.model.eval()
    return target


def _module(model: Any, name: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise TargetError(f"the base has no {name}", next="Give the base that the adapter was trained on") from error
