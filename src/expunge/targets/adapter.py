"""Adapters set into the layers of a model in place, so that whoever calls the model's parts meets them; by peft."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, UnknownName

SCHEDULED = ("ADALORA",)
"""Kinds whose rank schedule must be called between steps; the loop does not."""


@contextmanager
def _as_told() -> Generator[None]:
    """Peft still asks transformers by names that are to go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def config_of(adapter: Adapter) -> Any:
    """The peft configuration that an adapter describes.

    Raises:
        UnknownName: peft has no such kind, or the kind no such setting.
        ConfigError: the kind cannot be set into layers in place, or a setting does not fit.
    """
    with _as_told():
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds: dict[str, Any] = {kind.value: made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = adapter.kind.upper()
    if kind not in kinds:
        raise UnknownName("kind of adapter", adapter.kind, [name.lower() for name in kinds])
    names = [f.name for f in dataclasses.fields(kinds[kind]) if f.init]
    alpha = next((name for name in ("lora_alpha", "alpha") if name in names), "alpha")
    given = {"r": adapter.r, alpha: adapter.alpha, "target_modules": list(adapter.targets)}
    given = {name: value for name, value in given.items() if value} | dict(adapter.settings)
    for name in given:
        if name not in names:
            raise UnknownName(f"setting of {adapter.kind}", name, names)
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    try:
        config = kinds[kind](task_type="CAUSAL_LM", **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a setting of {adapter.kind} does not fit", why=str(error)) from error
    if config.is_prompt_learning or config.is_adaption_prompt or kind in SCHEDULED:
        raise ConfigError(
            f"{adapter.kind} cannot be trained here",
            why="it works through virtual tokens, or needs calls of its own between steps",
            next="Choose a kind that is set into layers, such as lora",
        )
    return config


def set_in(model: Any, adapter: Adapter, *, seed: int, to_merge: bool = False) -> Any:
    """Set an adapter into a model in place; the model's own parameters stop asking for gradients.

    Args:
        model: a transformers causal LM.
        adapter: which.
        seed: of the adapter's first weights.
        to_merge: refuse an adapter that ``merge`` could not merge.

    Returns:
        Peft's handle on the model. Until ``merge`` the model's parameters go by longer names.

    Raises:
        ConfigError: the adapter fits no module of the model, or cannot be merged.
    """
    config = config_of(adapter)
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with _as_told(), torch.random.fork_rng(devices=devices):
        from peft import get_peft_model

        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        try:
            handle = get_peft_model(model, config)
        except ValueError as error:
            raise ConfigError(f"{adapter.kind} cannot be set into this model", why=str(error)) from error
    if to_merge and not _merges(handle):
        raise ConfigError(
            f"{adapter.kind} cannot be merged into the weights",
            next="Ask for an overlay (keep_overlay=True), or choose lora",
        )
    return handle


def _merges(handle: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [type(m) for m in handle.base_model.modules() if isinstance(m, BaseTunerLayer)]
    return bool(layers) and all(layer.merge is not BaseTunerLayer.merge for layer in layers)


def merge(handle: Any) -> Any:
    """Make an adapter a part of the weights and take its modules out.

    Returns:
        The model that it was set into, with its parameters' names as before.
    """
    with _as_told():
        model = handle.merge_and_unload()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def weights_of(handle: Any) -> dict[str, torch.Tensor]:
    """The adapter's own tensors by name, on the CPU."""
    from peft import get_peft_model_state_dict

    with _as_told():
        state = get_peft_model_state_dict(handle, save_embedding_layers=False)
    return {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}


def set_weights(handle: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give an adapter the tensors that ``weights_of`` told.

    Raises:
        ConfigError: they belong to another adapter or another model.
    """
    from peft import set_peft_model_state_dict

    known = weights_of(handle)
    if {n: v.shape for n, v in known.items()} != {n: v.shape for n, v in weights.items()}:
        raise ConfigError("the adapter's tensors do not fit the model", next="Give the model that it was trained on")
    with _as_told():
        set_peft_model_state_dict(handle, weights)
