"""What an auditor fixes before a model is handed over, and how the operator's log comes to know of it.

Everything that is chosen is in the commitment: inputs, metric, settings, reference, access, seed. What is known later,
by the operator or by the auditor, can therefore change neither the inputs nor how they are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from expunge.core.access import Access
from expunge.core.attack import Budget
from expunge.core.errors import ConfigError, LedgerError, StoreError, UnknownName
from expunge.core.example import ROLES, with_role
from expunge.core.files import replace_folder, write_bytes
from expunge.core.manifest import NAME, Manifest, entry
from expunge.ledger.certify import read_small
from expunge.ledger.home import home, home_path
from expunge.ledger.home_log import append
from expunge.ledger.keys import PublicKey, ensure_key
from expunge.ledger.log import Log, log_path
from expunge.ledger.probe import (
    MOST_DRAWS,
    Commitment,
    ProbeSet,
    Signed,
    entry_of,
    read_commitment,
    read_set,
    sign,
)
from expunge.ledger.receipt import receipt_of, receipt_path
from expunge.ledger.trust import trust
from expunge.ledger.verify import signer_of
from expunge.workflow.probe_rows import access_for, check_inputs, reads_reference, settings_of

SET, COMMITMENT, ROWS = "set.json", "commitment.json", "rows.json"
PRIVATE = (SET, ROWS)
"""Files that stay with the auditor until he reveals them; whoever has both can compute the result again."""


@dataclass(frozen=True)
class Asked:
    """How an auditor measures.

    Args:
        metric: score, statistic or attack.
        access: flags that the auditor uses; None for those that the metric needs.
        budget: of an attack.
        level: of the interval.
        draws: resamples of subjects.
        seed: of attack and resampling.
        reference: folder of a model that never knew; None for no reference.
    """

    metric: str
    access: tuple[str, ...] | None = None
    budget: Budget = "quick"
    level: float = 0.9
    draws: int = 2000
    seed: int = 0
    reference: str | None = None


def now() -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def prepare_commitment(inputs: Path, out: Path, asked: Asked) -> tuple[ProbeSet, Commitment]:
    """Read the inputs, check what is asked, and draw the salt. Writes nothing.

    Args:
        inputs: file of records; those without a role are ``forget``.
        out: folder, new or empty.
        asked: how they are measured.

    Returns:
        What stays with the auditor, and what he commits to.

    Raises:
        ExpungeError: whatever is wrong with file, folder, metric or access.
    """
    from expunge.workflow.verbs import adopt, load_data

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        why = "what was committed to is never overwritten"
        raise ConfigError(
            f"{out} holds other files", why=why, next="Choose an empty folder, or a name that is not taken"
        )
    if asked.reference is None and reads_reference(asked.metric):
        raise ConfigError(f"{asked.metric} reads a reference", why="none is given", next="Give one with --reference")
    needed = access_for(asked.metric)
    granted = needed if asked.access is None else flags_of(asked.access)
    if missing := needed & ~granted:
        next = "Add it to --access, or choose another --metric"
        raise ConfigError(f"{asked.metric} needs access {'+'.join(missing.names)}", next=next)
    if not (0.5 < asked.level < 1 and 1 <= asked.draws <= MOST_DRAWS):
        why = f"its level lies between 0.5 and 1, its draws between 1 and {MOST_DRAWS}"
        raise ConfigError("the interval cannot be computed", why=why)
    probes = ProbeSet.draw([with_role(e, e.role or ROLES[0]) for e in load_data(inputs).all()])
    check_inputs(asked.metric, probes.inputs, asked.budget)
    said = Commitment(
        inputs=probes.digest,
        items=len(probes.inputs),
        metric=asked.metric,
        settings=settings_of(asked.metric, asked.budget),
        reference=adopt(asked.reference).digest() if asked.reference else "",
        budget=asked.budget,
        access=granted.names,
        level=asked.level,
        draws=asked.draws,
        seed=asked.seed,
        time=now(),
    )
    return probes, said


def flags_of(names: tuple[str, ...]) -> Access:
    """Flags by their names.

    Raises:
        UnknownName: there is no such flag.
    """
    found = Access.NONE
    for name in names:
        if name not in Access.__members__:
            raise UnknownName("access", name, Access.__members__)
        found |= Access[name]
    return found


def commit(inputs: Path, out: Path, asked: Asked) -> Signed[Commitment]:
    """Write the private set and the signed public commitment to it.

    Args:
        inputs: as for ``prepare_commitment``.
        out: as for ``prepare_commitment``.
        asked: as for ``prepare_commitment``.

    Returns:
        The commitment; its file is to be handed over, or put in a log, before the model is.

    Raises:
        ExpungeError: as ``prepare_commitment``.
    """
    probes, said = prepare_commitment(inputs, out, asked)
    signer = ensure_key(home())
    data = sign(said, signer)
    trust(home(), signer.public, "this installation")
    with replace_folder(out) as fresh:
        write_bytes(fresh / SET, probes.body(), mode=0o600)
        write_bytes(fresh / COMMITMENT, data)
        list_files(fresh)
    return read_commitment(data)


def list_files(folder: Path) -> None:
    """Say in a manifest what the folder holds, and what of it is personal."""
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name != NAME and not p.name.startswith(".")]
    Manifest(tuple(entry(folder, path, personal=path.name in PRIVATE) for path in files)).write(folder)


def trusted_commitment(path: Path, key: PublicKey | None = None) -> Signed[Commitment]:
    """A commitment that a trusted key signed.

    Args:
        path: of its file.
        key: the only key to accept; None for those that are trusted here.

    Raises:
        LedgerError: it is malformed, or nobody trusted signed it.
    """
    found = read_commitment(read_small(path, "commitment"))
    held, _ = signer_of(found.keyid, key, home_path(), False)
    if held is None or not found.verifies(held):
        raise LedgerError(
            f"the commitment {path} is not verified",
            why="its signature is invalid" if held else f"its signer {found.keyid} is not trusted here",
            next="Give the auditor's public key with --key, or trust it with: expunge keys trust",
        )
    return found


def log_commitment(path: Path, key: PublicKey | None = None) -> tuple[Path, int]:
    """Put a commitment into the log of ``EXPUNGE_HOME`` and write the receipt beside it: the operator's part.

    Args:
        path: of the commitment's file.
        key: as for ``trusted_commitment``.

    Returns:
        The path of the receipt, which goes back to the auditor, and the place of the leaf.

    Raises:
        LedgerError: the commitment or the log cannot be used.
        ConfigError: a receipt of another log is there.
    """
    found, beside = trusted_commitment(path, key), receipt_path(path)
    if beside.exists() and not _ours(found, beside):
        raise ConfigError(f"{beside} is there and is not of the log here", next="Move it away first")
    place = home()
    [seq] = append(place, [entry_of(found)], once=True)
    with Log(log_path(place)) as log:
        write_bytes(beside, receipt_of(log, seq).body())
    return beside, seq


def _ours(commitment: Signed[Commitment], receipt: Path) -> bool:
    """Whether a receipt is the one that the log here gave for a commitment."""
    path = log_path(home_path())
    if not path.exists():
        return False
    with Log(path) as log:
        seq = log.find(entry_of(commitment))
        return seq is not None and read_small(receipt, "receipt") == receipt_of(log, seq).body()


def opened(folder: Path) -> tuple[ProbeSet, Signed[Commitment]]:
    """The set of a folder and the commitment that it opens.

    Raises:
        StoreError: the folder holds none.
        LedgerError: the set was changed, or what is asked is no longer what was committed to.
    """
    for name in (SET, COMMITMENT):
        if not (folder / name).is_file():
            raise StoreError(
                f"{folder} holds no probe", why=f"there is no {name}", next="Make one: expunge audit probe commit"
            )
    probes, found = read_set(read_small(folder / SET)), read_commitment(read_small(folder / COMMITMENT))
    if probes.digest != found.said.inputs or len(probes.inputs) != found.said.items:
        raise LedgerError(
            f"the set in {folder} does not open its commitment",
            why="an input, their order or the salt is not what was committed to",
            next="Restore the set; another one needs a commitment of its own, before the model is handed over",
        )
    return probes, found
