"""Rows of a part: tables or examples, picked by id, kept in a folder, and digested row by row."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest, read_json
from expunge.core.example import Example, Examples, records_digest
from expunge.core.files import write_json, write_text
from expunge.data.rows import to_row
from expunge.data.table import Table

Rows = Table | Examples
ARRAYS, CARD, LINES = "rows.safetensors", "rows.json", "rows.jsonl"


def rows_of(store: Any, ids: Iterable[str]) -> Rows:
    """Rows of a store by id, in the order asked: of a table as a table, of any other store as examples.

    Raises:
        StoreError: an id is not in the store.
    """
    if isinstance(store, Table):
        return store.rows(ids)
    if isinstance(store, Examples):
        return Examples(store.by_id[name] for name in ids)
    return store.get(ids)


def subjects_of(store: Any) -> dict[str, str]:
    """Record id -> subject; a record without one stands for itself."""
    if isinstance(store, Table):
        told = zip(store.ids(), store.subjects or store.ids(), strict=True)
        return {name: subject or name for name, subject in told}
    return {e.record_id: e.subject or e.record_id for shard in store.shards() for e in shard}


def joined(parts: Iterable[Rows]) -> Rows:
    """Several rows as one."""
    held = list(parts)
    if len(held) == 1:
        return held[0]
    tables = [part for part in held if isinstance(part, Table)]
    if not tables:
        return Examples(example for part in held if isinstance(part, Examples) for example in part)
    ys = [part.y for part in tables if part.y is not None]
    return Table(
        [name for part in tables for name in part.ids()],
        np.concatenate([part.X for part in tables]),
        np.concatenate(ys) if ys else None,
        _every(part.subjects for part in tables),
        _every(part.groups for part in tables),
        tables[0].encoding,
    )


def _every(columns: Iterable[tuple[str, ...] | None]) -> list[str] | None:
    """A column of all parts; None where none has it. Slices of one store all have it, or none does."""
    held = [column for column in columns if column is not None]
    return [name for column in held for name in column] if held else None


def digest_of(rows: Rows, *, salt: str) -> str:
    """Digest over every one of the rows, whatever their order.

    Args:
        rows: of a slice.
        salt: hex; without it whoever guesses the rows could confirm the guess.
    """
    return digest([salt, records_digest(rows.examples() if isinstance(rows, Table) else rows)])


def save_rows(rows: Rows, folder: Path) -> None:
    """Write rows into an empty folder: a table as safetensors and JSON, examples as lines of JSON."""
    if isinstance(rows, Examples):
        lines = (json.dumps(to_row(example), ensure_ascii=False, sort_keys=True) for example in rows)
        write_text(folder / LINES, "".join(f"{line}\n" for line in lines))
        return
    from safetensors.numpy import save_file

    arrays = {"X": np.ascontiguousarray(rows.X)}
    texts: list[str] | None = None
    if rows.y is not None and rows.y.dtype.kind == "U":
        texts = rows.y.tolist()
    elif rows.y is not None:
        arrays["y"] = np.ascontiguousarray(rows.y)
    save_file(arrays, folder / ARRAYS)
    card = {"ids": rows.ids(), "subjects": rows.subjects, "groups": rows.groups, "y": texts}
    write_json(folder / CARD, card)


def load_rows(folder: Path) -> Rows:
    """The rows that ``save_rows`` wrote.

    Raises:
        StoreError: missing or damaged.
    """
    if (folder / LINES).exists():
        # Not splitlines, which would also split at the line separators of Unicode inside a text.
        lines = (folder / LINES).read_text(encoding="utf-8").split("\n")
        found = (json.loads(line) for line in lines if line)
        return Examples(Example(**{**row, "perturbed_answer": tuple(row.get("perturbed_answer", ()))}) for row in found)
    card = read_json(folder / CARD)
    from safetensors.numpy import load_file

    arrays = load_file(folder / ARRAYS)
    y = arrays.get("y") if card["y"] is None else np.asarray(card["y"])
    return Table(card["ids"], arrays["X"], y, card["subjects"], card["groups"])
