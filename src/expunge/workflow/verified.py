"""Verifying with all that is known above the ledger: policies that ship, and what an epsilon means and comes to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from expunge.core.certificate import printable
from expunge.ledger.keys import PublicKey
from expunge.ledger.verify import Verification
from expunge.ledger.verify import verify as check
from expunge.workflow.policy_file import disputed
from expunge.workflow.privacy_reading import misread
from expunge.workflow.proved import again


def verify(
    path: Path | str,
    *,
    key: PublicKey | Path | str | None = None,
    root: Path | None = None,
    home: Path | None = None,
    allow_demo: bool = False,
) -> Verification:
    """Verify a certificate file: all that ``ledger.verify`` checks, its policies, and each epsilon from its numbers.

    Args:
        path: of the certificate.
        key: the only key to accept: a ``PublicKey``, its file or its text. Without it, a key trusted in ``home``.
        root: folder to which the paths in the certificate are relative; by default where its files are found.
        home: where trusted keys are; ``EXPUNGE_HOME`` by default. It is only read.
        allow_demo: accept keys that ship with the library.

    Returns:
        What was found; ``ok`` only if all of it holds. An epsilon that cannot be computed here, for want of a package,
        is no problem; ``proved.again`` says which.

    Raises:
        LedgerError: the file cannot be read or is malformed, or the key is none, not the signer's, or ships.
    """
    found = check(path, key=key, root=root, home=home, allow_demo=allow_demo)
    if found.certificate is None:
        return found
    judged = ((a.name, a.policy) for a in found.certificate.artefacts if a.policy)
    wrong = [f"{name}: {reason}" for name, policy in judged for reason in disputed(policy)]
    wrong += [*misread(found.certificate), *again(found.certificate)[0]]
    return replace(found, problems=(*found.problems, *map(printable, wrong)))
