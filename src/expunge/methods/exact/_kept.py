"""What an exact deletion was run on, and that it is what was trained on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from expunge.core.canonical import digest
from expunge.core.errors import StoreError
from expunge.core.example import Examples, with_role
from expunge.core.selection import Selection
from expunge.data.table import Table

READ = ("forget", "neighbour", "general", "retain")
"""Roles whose records a model may have been trained on."""


def kept_digest(selection: Selection, ids: Collection[str], *, salt: str) -> str:
    """Digest of the records that are left, or of their ids where the selection does not hold them all.

    Args:
        selection: its retain role holds what is kept.
        ids: records that the target still holds.
        salt: hex, of the target; without it whoever reads the certificate could confirm a guess at what is kept.
    """
    kept = Examples(e for e in selection.retain if e.record_id in ids)
    return salted(kept.digest() if len(kept) == len(ids) else digest(sorted(ids)), salt)


def salt_of(target: Any) -> str:
    """The salt of a target's digests: of the record of its training, of its card, or its own; empty for none."""
    if hasattr(target, "record"):
        return target.record.written.salt
    return str(getattr(target, "card", {}).get("salt", "") or getattr(target, "salt", ""))


def salted(data: str, salt: str) -> str:
    """A digest of records under a target's salt; as it is where the target has none.

    >>> salted("sha256:kept", "5a17").startswith("sha256:"), salted("sha256:kept", "")
    (True, 'sha256:kept')
    """
    return digest([salt, data]) if salt else data


def require_as_filed(target: Any, selection: Selection) -> None:
    """Raise unless the given records are those that a model of parts was trained on: another row may be meant.

    Args:
        target: in a folder that keeps the rows of each slice.
        selection: records that the target does not hold are passed over.

    Raises:
        StoreError: a record has another content on file, or the rows on file are not those of the manifest.
    """
    from expunge.engine.parts.rows import digest_of, load_rows
    from expunge.targets.shard_manifest import rows_folder, shard_folder

    given = {e.record_id: with_role(e, "") for role in READ for e in selection.role(role)}
    changed: set[str] = set()
    for manifest in target.manifests:
        for part, ids in enumerate(manifest.slices):
            asked = [name for name in ids if name in given]
            if not asked:
                continue
            rows = load_rows(rows_folder(shard_folder(target.folder, manifest.shard), part))
            if digest_of(rows, salt=target.card["salt"]) != manifest.digests[part]:
                raise StoreError(
                    f"the rows of slice {part} of shard {manifest.shard} are not those of its manifest",
                    why="their digest is another",
                    next="Restore the folder, or train the model again",
                )
            filed = rows.get(asked) if isinstance(rows, Table) else (rows.by_id[name] for name in asked)
            changed.update(e.record_id for e in filed if with_role(e, "") != given[e.record_id])
    require_unchanged(changed)


def require_unchanged(changed: Collection[str]) -> None:
    """Raise where records have changed since they were trained on.

    Raises:
        StoreError: names the first of them.
    """
    if changed:
        raise StoreError(
            f"record {min(changed)!r} is not what was trained on",
            why=f"{len(changed)} such records; ids that are places move when a row is taken out of a file",
            next="Give the data as it was",
        )
