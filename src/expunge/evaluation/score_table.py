"""Score tables on disk: arrays as safetensors, texts and ids as JSON. Everything is judged from these files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import read_json
from expunge.core.errors import EvidenceError
from expunge.core.files import replace_folder, write_json

Table = dict[str, Any]


def save_tables(path: Path, tables: Mapping[str, Table], *, salt: str) -> None:
    """Write one model's tables, one pair of files a role; the folder appears whole or not at all.

    Args:
        path: folder.
        tables: role -> column -> (B, ...) array or list of B texts.
        salt: secret; goes into every file.
    """
    from safetensors.numpy import save_file

    with replace_folder(path) as folder:
        for role, table in tables.items():
            arrays = {k: np.ascontiguousarray(v) for k, v in table.items() if isinstance(v, np.ndarray)}
            # Certificates publish the digests of these files; the salt keeps a guess from being confirmed by them.
            save_file(arrays, folder / f"{role}.safetensors", metadata={"salt": salt})
            texts = {k: list(v) for k, v in table.items() if k not in arrays}
            write_json(folder / f"{role}.json", {**texts, "salt": salt})


def load_tables(path: Path) -> dict[str, Table]:
    """Read what ``save_tables`` wrote.

    Raises:
        EvidenceError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    tables: dict[str, Table] = {}
    for file in sorted(path.glob("*.safetensors")):
        try:
            tables[file.stem] = {**load_file(file), **read_json(file.with_suffix(".json"))}
            tables[file.stem].pop("salt", None)
        except SafetensorError as error:
            raise EvidenceError(f"the score table {file} is damaged", why=str(error)) from error
    if not tables:
        raise EvidenceError(f"no score tables in {path}", next="Run the evaluation again")
    return tables
