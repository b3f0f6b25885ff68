"""List result pages, and the trust table of the package, that measured other code than this or are missing.

Listing is not failing: a page may be old and still true.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def stale(folder: Path) -> list[str]:
    """One line a page that names other code, or none at all."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.results import stands

    said = {None: "says not which code it measured", False: "measured other code"}
    pages = sorted(page for page in folder.glob("*.md") if page.name != "index.md")
    return [f"{page.name}: {said[state]}" for page in pages if (state := stands(page)) is not True]


def stale_trust(file: Path) -> list[str]:
    """A line if the trust table is missing, or measured other code."""
    from expunge.core.canonical import read_json
    from expunge.workflow.stages import code_digest

    if not file.is_file():
        return [f"{file.name}: missing, so that no policy knows what can tell and what cannot"]
    kept = read_json(file)
    same = kept["code"] == code_digest(*kept["code_of"])
    return [] if same else [f"{file.name}: measured other code"]


def main() -> int:
    """Print what is stale."""
    trust = ROOT / "src" / "expunge" / "evaluation" / "trust.json"
    for line in [*stale(ROOT / "docs" / "results"), *stale_trust(trust)]:
        print(f"stale result: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
