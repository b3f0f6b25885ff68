"""A language model with an adapter that is not merged: the weights below are untouched, and it can be taken off."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from expunge.core.access import Access, Oracle
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_bytes, read_json
from expunge.core.errors import ConfigError, TargetError
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Guarded, Provenance
from expunge.targets.adapter import set_in, set_weights, weights_of
from expunge.targets.causal_lm import CARD, CausalLM

WEIGHTS = "adapter.safetensors"
OWN_START = ("True", "False", "gaussian", "orthogonal")


def beside(base: CausalLM) -> CausalLM:
    """A model of new modules on the very tensors of another: an adapter set into it leaves the other bare.

    Args:
        base: keeps its weights, which both share.
    """
    shared = {id(t): copy.copy(t) for t in (*base.model.parameters(), *base.model.buffers())}
    return CausalLM(copy.deepcopy(base.model, shared), base.tokenizer, base.provenance, base.on_long)


def require_removable(adapter: Adapter) -> None:
    """Raise where an adapter's start rewrites the weights below it, which then would not be those of the base.

    Raises:
        ConfigError: says which setting does.
    """
    for name, value in adapter.settings:
        if name.startswith("init_") and str(value) not in OWN_START:
            raise ConfigError(
                f"an adapter that starts with {name}={value} cannot stay an overlay",
                why="it rewrites the weights that it stands on",
                next="Let it be merged, or leave the setting out",
            )


@dataclass(frozen=True)
class AdaptedLM:
    """A target seen through an adapter. It grants text and log-probabilities, not the weights: those still know.

    Args:
        base: the target below, unchanged.
        adapted: a model on the same tensors, with the adapter in its layers.
        adapter: its description.
        handle: peft's handle on the adapted model.
    """

    base: CausalLM
    adapted: CausalLM
    adapter: Adapter
    handle: Any
    kind: Literal["overlay"] = "overlay"

    @property
    def provenance(self) -> Provenance:
        """Guarded: what lies below, and the adapter with its tensors."""
        tensors = {name: _tensor_digest(value) for name, value in weights_of(self.handle).items()}
        return Guarded(inner=self.base.digest(), policy=digest([self.adapter, tensors]))

    def digest(self) -> str:
        """Digest of the target below and of the adapter."""
        return digest(self.provenance)

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants at most text and log-probabilities, both through the adapter."""
        return Oracle(self.adapted, access & (Access.TEXT | Access.LOGPROBS))

    def save(self, path: Path) -> Manifest:
        """Write the adapter alone; the target below is saved where it always was."""
        from safetensors.torch import save_file

        with replace_folder(Path(path)) as folder:
            save_file(weights_of(self.handle), folder / WEIGHTS)
            described = TypeAdapter(Adapter).dump_python(self.adapter, mode="json")
            write_json(folder / CARD, {"kind": self.kind, "digest": self.digest(), "adapter": described})
        files = sorted(p for p in Path(path).rglob("*") if p.is_file())
        return Manifest(tuple(entry(Path(path), p, personal=p.suffix == ".safetensors") for p in files))


def _tensor_digest(tensor: Any) -> str:
    import torch

    return digest([str(tensor.dtype), list(tensor.shape), digest_bytes(tensor.view(torch.uint8).numpy().tobytes())])


def load_adapted(path: Path, base: CausalLM) -> AdaptedLM:
    """The adapter that a folder holds, on the target that it was trained on.

    Args:
        path: folder that ``save`` wrote.
        base: the target below.

    Raises:
        TargetError: the folder is damaged, it or the base changed since it was saved, or it is no adapter's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_json(path / CARD)
    try:
        adapter = TypeAdapter(Adapter).validate_python(card["adapter"])
        weights = load_file(path / WEIGHTS)
        adapted = beside(base)
        handle = set_in(adapted.model, adapter, seed=0)
        set_weights(handle, weights)
    except (KeyError, ValidationError, OSError, SafetensorError, ConfigError) as error:
        raise TargetError(f"cannot load an adapter from {path}", why=str(error).partition("\n")[0]) from error
    found = AdaptedLM(base, adapted, adapter, handle)
    adapted.model.eval()
    if found.digest() != card["digest"]:
        raise TargetError(f"the adapter in {path} changed since it was saved", why="its digest differs from its card's")
    return found
