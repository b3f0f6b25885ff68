"""Dated result pages that record what they measured, so that a stale one is seen."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from expunge.core.files import write_text
from expunge.workflow.stages import TRAINING_CODE, code_digest, threads, versions

MEASURED_CODE = (*TRAINING_CODE, "evaluation")
ROW = re.compile(r"^\| code \| (?P<digest>sha256:[0-9a-f]{64}) of (?P<folders>[a-z, ]+) \|$", re.MULTILINE)


def stands(page: Path) -> bool | None:
    """Whether a page measured this code; None if it does not say which code it measured."""
    found = ROW.search(page.read_text()) if page.is_file() else None
    return found and found["digest"] == code_digest(*found["folders"].split(", "))


def heading(*, title: str, command: str, data: str, measured: Sequence[str] = MEASURED_CODE) -> str:
    """Title of a page, and what was measured when, by which command, with which code and data.

    Args:
        title: of the page.
        command: that made it, to be run from the project's root.
        data: digest of the data that went in.
        measured: folders of the package whose code decides what is measured.
    """
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"""# {title}

| | |
|---|---|
| date | {datetime.datetime.now(datetime.UTC).date().isoformat()} |
| command | `{command}` |
| code | {code_digest(*measured)} of {", ".join(measured)} |
| data | {data} |
| made with | {made}, {threads()} threads |
"""


def write_result(
    path: Path, *, title: str, command: str, data: str, body: str, notes: str, measured: Sequence[str] = MEASURED_CODE
) -> None:
    """Write one page of docs/results.

    Args:
        path: of the page.
        title: heading.
        command: that made it, to be run from the project's root.
        data: digest of the data that went in.
        body: as printed.
        notes: how to read it.
        measured: folders of the package whose code decides what is measured.
    """
    head = heading(title=title, command=command, data=data, measured=measured)
    write_text(path, f"{head}\n{notes}\n\n```\n{body.rstrip()}\n```\n")
