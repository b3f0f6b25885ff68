"""Score tables on disk: arrays as safetensors, texts and ids as JSON. Everything is judged from these files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import read_json
from expunge.core.errors import EvidenceError
from expunge.core.files import replace_folder, write_json

Table = dict[str, Any]
KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
KINDS |= {"U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?"}
"""What safetensors calls a kind of number -> what numpy calls it."""


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
    tables: dict[str, Table] = {}
    for file in sorted(path.glob("*.safetensors")):
        try:
            tables[file.stem] = {**_arrays(file.read_bytes()), **read_json(file.with_suffix(".json"))}
            tables[file.stem].pop("salt", None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EvidenceError(f"the score table {file} is damaged", why=str(error) or type(error).__name__) from error
    if not tables:
        raise EvidenceError(f"no score tables in {path}", next="Run the evaluation again")
    return tables


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    """What a safetensors file holds, read with numpy alone, so that whoever judges needs no extra.

    The format: length of the header (8 bytes, little-endian), header in JSON, then the values of all arrays end to end.

    Raises:
        ValueError: the file is not of that form, or an array reaches beyond it.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        raise ValueError("it is cut short")
    header = json.loads(data[8:start].decode())
    found: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        (first, last), kind, shape = entry["data_offsets"], np.dtype(KINDS[entry["dtype"]]), tuple(entry["shape"])
        if not 0 <= first <= last <= len(data) - start or last - first != math.prod(shape) * kind.itemsize:
            raise ValueError(f"the array {name!r:.80} does not fit into it")
        found[name] = np.frombuffer(data[start + first : start + last], kind).reshape(shape).copy()
    return found
