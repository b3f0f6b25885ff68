"""The command line: one file a verb, thin over workflow."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from expunge.cli.app import run

    sys.exit(run(sys.argv[1:]))
