"""Make what check.py reads: FOLDER/run with a signed, logged certificate, and FOLDER/home, which trusts its signer.

Usage: make_certificate.py FOLDER
"""

import importlib.util
import os
import sys
from pathlib import Path

from expunge.workflow.logged import certified

BUILDERS = Path(__file__).resolve().parent.parent / "ledger" / "conftest.py"


def main(folder: Path) -> None:
    """Build the run with the builders of the ledger's own tests."""
    spec = importlib.util.spec_from_file_location("ledger_builders", BUILDERS)
    assert spec is not None and spec.loader is not None
    builders = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builders)
    run = builders.make_run(folder)
    os.environ["EXPUNGE_HOME"] = str(run.home)
    print(run.path, certified(run.certificate, run.path, run.root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
