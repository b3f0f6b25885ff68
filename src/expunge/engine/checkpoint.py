"""Step-wise checkpoints: weights and optimiser state as safetensors, the rest as JSON. Whole or absent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from expunge.core.canonical import read_json
from expunge.core.files import replace_folder, write_json

FOLDER = "checkpoint"


def save_checkpoint(workdir: Path, named: dict[str, Any], optimizer: Any, *, step: int, run: str) -> None:
    """Replace the checkpoint.

    Args:
        workdir: folder of the run.
        named: trained parameters by name.
        optimizer: AdamW over them, in the same order.
        step: steps done.
        run: digest of everything that fixes the run.
    """
    state: dict[str, torch.Tensor] = {}
    for name, parameter in named.items():
        for key, value in optimizer.state[parameter].items():
            state[f"{name}|{key}"] = value.detach().cpu().reshape(-1) if value.dim() == 0 else value.detach().cpu()
    with replace_folder(workdir / FOLDER) as folder:
        save_file({name: p.detach().cpu().contiguous() for name, p in named.items()}, folder / "weights.safetensors")
        save_file(state, folder / "optimizer.safetensors")
        write_json(folder / "state.json", {"step": step, "run": run})


def load_checkpoint(workdir: Path, named: dict[str, Any], optimizer: Any, *, run: str) -> int:
    """Restore the checkpoint of the same run, if there is one.

    Returns:
        Steps done, 0 where there is none or it belongs to another run.
    """
    folder = workdir / FOLDER
    if not (folder / "state.json").exists():
        return 0
    state = read_json(folder / "state.json")
    if state["run"] != run:
        return 0
    weights = load_file(folder / "weights.safetensors")
    moments = load_file(folder / "optimizer.safetensors")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(weights[name])
    for name, parameter in named.items():
        for key, value in moments.items():
            owner, _, field = key.rpartition("|")
            if owner == name:
                optimizer.state[parameter][field] = value.reshape(()) if field == "step" else value.to(parameter.device)
    return int(state["step"])


def drop_checkpoint(workdir: Path) -> None:
    """Remove the checkpoint once the result is saved."""
    shutil.rmtree(workdir / FOLDER, ignore_errors=True)
