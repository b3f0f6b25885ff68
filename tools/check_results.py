"""List result pages that measured other code than this. Listing is not failing: a page may be old and still true."""

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


def main() -> int:
    """Print what is stale."""
    for line in stale(ROOT / "docs" / "results"):
        print(f"stale result: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
