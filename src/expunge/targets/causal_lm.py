"""A causal language model with its tokenizer and template."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import torch

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, read_json
from expunge.core.errors import TargetError
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Plain, Provenance
from expunge.data.collate import OnLong, Template
from expunge.targets.model_facts import ModelFacts, facts_of

CARD = "target.json"
UNTOLD = ("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
Weights = Literal["float32", "bfloat16"]
HELD = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")


def weights_digest(model: Any) -> str:
    """Digest over names, types, shapes and bytes of all parameters, tied ones once, and of buffers that are saved."""
    hasher, saved = hashlib.sha256(), model.state_dict().keys()
    buffers = [(name, value) for name, value in model.named_buffers() if name in saved]
    for name, value in sorted([*model.named_parameters(), *buffers], key=itemgetter(0)):
        tensor = value.detach().cpu().contiguous().reshape(-1 if value.dim() == 0 else value.shape)
        hasher.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        hasher.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return "sha256:" + hasher.hexdigest()


def config_digest(model: Any) -> str:
    """Digest over the architecture's settings, less what says only who wrote them."""
    settings = json.loads(json.dumps(model.config.to_dict(), default=str))
    return digest({key: value for key, value in settings.items() if key not in UNTOLD and not key.startswith("_")})


def tokenizer_digest(tokenizer: Any) -> str:
    """Digest over how text becomes tokens: the rules, the vocabulary, the end token and the chat template."""
    rules = {}
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        # Set by each call that pads or truncates; the library does neither through the tokenizer.
        rules = {key: value for key, value in rules.items() if key not in ("padding", "truncation")}
    vocabulary = sorted(tokenizer.get_vocab().items())
    return digest([rules, vocabulary, tokenizer.eos_token_id, tokenizer.chat_template or ""])


@dataclass(frozen=True)
class CausalLM:
    """A language model that forgets.

    Args:
        model: a transformers causal LM.
        tokenizer: its tokenizer.
        provenance: what is known of its making.
        on_long: what happens to a sequence beyond the context.
    """

    model: Any
    tokenizer: Any
    provenance: Provenance = field(default_factory=Plain)
    on_long: OnLong = "error"
    kind: Literal["causal_lm"] = "causal_lm"

    @property
    def facts(self) -> ModelFacts:
        """Facts of the architecture."""
        return facts_of(self.model)

    @property
    def template(self) -> Template:
        """How text becomes tokens."""
        return Template(self.tokenizer, self.facts.context_limit(self.model), self.on_long)

    @property
    def parameters(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def weights(self) -> str:
        """In which numbers the weights are held, ``float32`` for instance; ``digest`` covers it."""
        return str(self.model.dtype).removeprefix("torch.")

    def digest(self) -> str:
        """Digest over the weights and over everything else that decides what the model says."""
        return digest([weights_digest(self.model), config_digest(self.model), tokenizer_digest(self.tokenizer)])

    def oracle(self, access: Access) -> Oracle:
        """A handle; open weights grant every flag but those of a store."""
        return Oracle(self, access & Access.all())

    def clone(self) -> CausalLM:
        """A copy whose weights can change without touching these."""
        return CausalLM(copy.deepcopy(self.model), self.tokenizer, self.provenance, self.on_long)

    def save(self, path: Path) -> Manifest:
        """Write safetensors, config and tokenizer; the folder appears whole or not at all."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        with replace_folder(Path(path)) as folder:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            card = {"kind": self.kind, "digest": self.digest(), "provenance": type(self.provenance).__name__}
            write_json(folder / CARD, {**card, "on_long": self.on_long, "weights": self.weights})
        files = sorted(p for p in Path(path).rglob("*") if p.is_file())
        return Manifest(tuple(entry(Path(path), p, personal=p.suffix == ".safetensors") for p in files))


def refuse_pickles(path: Path) -> None:
    """Raise where weights would have to be unpickled, which runs whatever code they carry.

    Raises:
        TargetError: the folder holds pickles and no safetensors.
    """
    if path.is_file() and path.suffix in PICKLES:
        raise TargetError(f"{path.name} is a pickle", why="loading one runs code", next="Convert it to safetensors")
    if path.is_dir() and not list(path.glob("*.safetensors")):
        pickles = sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)
        if pickles:
            raise TargetError(
                f"{path} holds only pickled weights",
                why=f"{pickles[0]} would run code when it is loaded",
                next="Convert them to safetensors",
            )


def _tokenizer_class(path: Path) -> Any:
    """``AutoTokenizer``, but where a folder says that it holds a plain one: some families' own would take its place."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file = path / "tokenizer_config.json"
    plain = file.is_file() and read_json(file).get("tokenizer_class") == PreTrainedTokenizerFast.__name__
    return PreTrainedTokenizerFast if plain else AutoTokenizer


def load_causal_lm(source: str | Path, *, on_long: OnLong = "error", weights: Weights = "float32") -> CausalLM:
    """Load a folder or a hub name from safetensors only.

    Args:
        source: a folder, or a name on a hub.
        on_long: what happens to a sequence beyond the context; a folder that ``save`` wrote says it itself.
        weights: in which numbers the weights are held; a folder that ``save`` wrote says it itself. Steps of an
            unlearning's usual size vanish when bfloat16 weights are rounded: train an adapter over them.

    Raises:
        TargetError: missing, pickled, damaged, or changed since it was saved.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = Path(source)
    if path.exists():
        refuse_pickles(path)
    elif path.is_absolute() or str(source).startswith(".") or str(source).count("/") != 1:
        raise TargetError(f"no model at {source}", why="the folder does not exist", next="Check the path")
    card = read_json(path / CARD) if (path / CARD).exists() else {}
    try:
        held = HELD[card.get("weights", "float32") if card else weights]
        model = AutoModelForCausalLM.from_pretrained(source, dtype=held, use_safetensors=True)
        tokenizer = _tokenizer_class(path).from_pretrained(source)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise TargetError(f"cannot load a causal LM from {source}", why=first or type(error).__name__) from error
    # Where it was loaded from is no part of a tokenizer, and would make another file of the same one.
    for name in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(name, None)
    model.eval()
    target = CausalLM(model, tokenizer, on_long=card.get("on_long", on_long))
    if card and card.get("digest") != target.digest():
        raise TargetError(f"the model in {path} changed since it was saved", why="its digest differs from its card's")
    return target
