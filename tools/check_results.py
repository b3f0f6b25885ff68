"""List result pages that measured other code than this. Listing is not failing: a page may be old and still true."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| code \| (sha256:[0-9a-f]{64}) \|$", re.MULTILINE)


def stale(folder: Path, current: str) -> list[str]:
    """One line a page that names other code, or none at all."""
    found: list[str] = []
    for page in sorted(folder.glob("*.md")):
        known = ROW.search(page.read_text())
        if known is None:
            found.append(f"{page.name}: says not which code it measured")
        elif known[1] != current:
            found.append(f"{page.name}: measured other code")
    return found


def main() -> int:
    """Print what is stale."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.results import MEASURED_CODE

    from expunge.workflow.stages import code_digest

    for line in stale(ROOT / "docs" / "results", code_digest(*MEASURED_CODE)):
        print(f"stale result: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
