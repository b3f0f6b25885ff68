"""Make what check.py reads: FOLDER/run with a signed certificate, and FOLDER/home, which trusts its signer.

Usage: make_certificate.py FOLDER
"""

import importlib.util
import sys
from pathlib import Path

BUILDERS = Path(__file__).resolve().parent.parent / "ledger" / "conftest.py"


def main(folder: Path) -> None:
    """Build the run with the builders of the ledger's own tests."""
    spec = importlib.util.spec_from_file_location("ledger_builders", BUILDERS)
    assert spec is not None and spec.loader is not None
    builders = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builders)
    print(builders.make_run(folder).path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
