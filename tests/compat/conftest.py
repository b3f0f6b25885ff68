"""The reference implementations' tiny models, batches and expected values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM


@pytest.fixture(scope="session")
def close():
    """Assert agreement within 1e-5, relative above 1 and absolute below."""

    def check(value, expected) -> None:
        value, expected = np.asarray(value, dtype=float), np.asarray(expected, dtype=float)
        assert value.shape == expected.shape
        error = np.abs(value - expected) / np.maximum(np.abs(expected), 1.0)
        assert error.max() < 1e-5, (value, expected)

    return check


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden"


@pytest.fixture(scope="session")
def expected(golden):
    return json.loads((golden / "llm" / "loss_expected.json").read_text())["cases"]


@pytest.fixture(scope="session")
def batches(golden):
    """{"A" | "B": {"pad": id, "forget" | "retain": {"input_ids", "labels", "attention_mask"}}}, as tensors."""

    def tensors(batch):
        return {name: torch.tensor(rows) for name, rows in batch.items()}

    read = json.loads((golden / "llm" / "loss_batches.json").read_text())
    return {
        name: {
            "pad": case["pad_token_id"],
            "forget": tensors(case["forget"]["original"]),
            "alternate": tensors(case["forget"]["alternate"]),
            "retain": tensors(case["retain"]),
        }
        for name, case in read.items()
    }


@pytest.fixture(scope="session")
def models(golden):
    """The policy (in training) and the reference (as it was), float32."""
    folder = golden / "llm" / "model_reference"
    found = {}
    for name in ("policy", "reference"):
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if name == "policy":
            model.load_state_dict(load_file(golden / "llm" / "policy_overrides.safetensors"), strict=False)
        found[name] = model.eval()
    return found


@pytest.fixture(scope="session")
def tiny(golden):
    """Load one of the two random models of the concept cases, float64."""
    config = json.loads((golden / "concept" / "tiny_llama.json").read_text())["config"]

    def load(name: str) -> LlamaForCausalLM:
        model = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="eager")).double().eval()
        with np.load(golden / "concept" / f"tiny_llama_{name}.npz") as arrays:
            model.load_state_dict({key: torch.from_numpy(arrays[key]).double() for key in arrays.files})
        return model

    return load


@pytest.fixture(scope="session")
def logits_of():
    """Logits (B, S, V) of a model on a batch."""

    @torch.no_grad()
    def run(model, batch, mask=None):
        mask = batch["attention_mask"] if mask is None else mask
        return model(input_ids=batch["input_ids"], attention_mask=mask).logits

    return run
