"""Dated result pages that record what they measured, so that a stale one is seen."""

from __future__ import annotations

import datetime
from pathlib import Path

from expunge.core.files import write_text
from expunge.workflow.stages import TRAINING_CODE, code_digest, threads, versions

MEASURED_CODE = (*TRAINING_CODE, "evaluation")


def write_result(path: Path, *, title: str, command: str, data: str, body: str, notes: str) -> None:
    """Write one page of docs/results.

    Args:
        path: of the page.
        title: heading.
        command: that made it, to be run from the project's root.
        data: digest of the data that went in.
        body: as printed.
        notes: how to read it.
    """
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    page = f"""# {title}

| | |
|---|---|
| date | {datetime.datetime.now(datetime.UTC).date().isoformat()} |
| command | `{command}` |
| code | {code_digest(*MEASURED_CODE)} |
| data | {data} |
| made with | {made}, {threads()} threads |

{notes}

```
{body.rstrip()}
```
"""
    write_text(path, page)
