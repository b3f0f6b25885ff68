"""What a run has written, and which of it holds personal data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from expunge.core.canonical import digest_file, read_json
from expunge.core.errors import StoreError
from expunge.core.files import write_json
from expunge.core.record import record

NAME, DONE = "manifest.json", "done.json"
PUBLIC = frozenset(
    (
        *("assessment.json", "certificates", "conclusion.json", "evidence.json", "outcome.json", "plan.json"),
        *("privacy.json", "purge.json", "report.html", "request.json", "suite.json", "summary.json", "table.txt"),
    )
)
"""What a run writes at its top without text of records, or numbers from which one could be told."""


@record
class Entry:
    """One file.

    Args:
        path: relative to the folder of the manifest.
        digest: of its bytes.
        bytes: its size.
        contains_personal_data: whether it holds text of records, or numbers from which they could be told.
    """

    path: str
    digest: str
    bytes: int
    contains_personal_data: bool


@record
class Manifest:
    """Every file of a folder, sorted by path."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, run: Path, *, skipping: Collection[str] = ()) -> Manifest:
        """Every file below a run but the manifest and the note about it. What is not public is personal.

        Args:
            run: folder.
            skipping: names at its top that are left out.
        """
        out = {NAME, DONE, *skipping}
        tops = ((path, path.relative_to(run).parts[0]) for path in sorted(run.rglob("*")) if path.is_file())
        return cls(tuple(entry(run, path, personal=top not in PUBLIC) for path, top in tops if top not in out))

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, atomically."""
        rows = [
            {"path": e.path, "digest": e.digest, "bytes": e.bytes, "contains_personal_data": e.contains_personal_data}
            for e in self.entries
        ]
        write_json(folder / NAME, {"files": rows})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            StoreError: missing or not a manifest.
        """
        value = read_json(folder / NAME)
        try:
            return cls(tuple(Entry(**row) for row in value["files"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{folder / NAME} is not a manifest", why=str(error)) from error

    def changed(self, folder: Path) -> list[str]:
        """Paths that are missing or whose bytes differ."""
        return [
            e.path for e in self.entries if not (folder / e.path).is_file() or digest_file(folder / e.path) != e.digest
        ]


def entry(folder: Path, path: Path, *, personal: bool) -> Entry:
    """The entry of one file below a folder."""
    return Entry(path.relative_to(folder).as_posix(), digest_file(path), path.stat().st_size, personal)
