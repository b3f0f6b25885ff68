"""Make what check.py reads: FOLDER/run with a signed, logged certificate, and FOLDER/home, which trusts its signer.

FOLDER/whole and FOLDER/sampled each hold such a run and home with a proof of epsilon, without and with sampling.

Usage: make_certificate.py FOLDER
"""

import importlib.util
import os
import sys
from pathlib import Path

from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified
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
    after = builders.Weights("after").digest()
    for name, q in (("whole", "1.0"), ("sampled", "0.5")):
        numbers = (("q", q), ("sigma", "40.0"), ("steps", "4"), ("units", "1"))
        proof = Proof("poisson_gaussian", ("Noise is secret.",), numbers, epsilon=1.0, delta=1e-5, after=after, units=1)
        nothing = {"policy": None, "assessment": None}
        claim = Certified(1.0, 1e-5, "oblivious")
        builders.make_run(folder / name, builders.make_certificate(claim=claim, evidence=(proof,), **nothing))
    print(run.path, certified(run.certificate, run.path, run.root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
