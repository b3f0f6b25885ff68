"""What the log was told of a training before its first step, and whether a record of a training says the same now."""

from __future__ import annotations

import json
from dataclasses import dataclass

from expunge.core.canonical import digest
from expunge.data.vault import Vault
from expunge.ledger.home import home_path
from expunge.ledger.leaf import Kind, read
from expunge.ledger.log import Log, log_path
from expunge.workflow.training_record import Trained


def salt_name(commitment: str) -> str:
    """The name in the vault of the salts of a training.

    >>> salt_name("sha256:" + "5f" * 32)
    'trained-5f5f5f5f5f5f'
    """
    return f"trained-{commitment.removeprefix('sha256:')[:12]}"


def salts_of(commitment: str) -> dict[str, str]:
    """``data``, the salt of a commitment, and ``target``, that of the digest of the result.

    Raises:
        StoreError: they are in another vault, or were destroyed.
    """
    return json.loads(Vault(home_path()).get(salt_name(commitment)))


def config_digest(recipe: str, seed: int, salt: str) -> str:
    """What the log is told of recipe and seed; salted, since a recipe may say where each record goes.

    Args:
        recipe: digest of the recipe.
        seed: of the training.
        salt: hex, that of the data.
    """
    return digest({"salt": salt, "recipe": recipe, "seed": seed})


@dataclass(frozen=True)
class Committed:
    """Whether the log was told of data, recipe and seed before they were trained with.

    Args:
        known: whether it was; None where the salt is not at hand, so that nobody can say.
        why: what is missing, in words; empty for nothing.
    """

    known: bool | None
    why: str = ""


def committed(trained: Trained, whole: str, before: str) -> Committed:
    """Look a training up in the log of ``EXPUNGE_HOME``.

    Args:
        trained: how the result of a deletion can be trained.
        whole: digest of all data at hand, what is forgotten included.
        before: digest of the target that the deletion was from.

    Raises:
        StoreError: the salts were destroyed.
        LedgerError: the log cannot be read.
    """
    if not Vault(home_path()).holds(salt_name(trained.data)):
        return Committed(None, "the salt of what the log was told is not in this home")
    salt = salts_of(trained.data)["data"]
    if digest([salt, whole]) != trained.data:
        return Committed(False, "the data at hand is not all that was committed to")
    wanted = {"data": trained.data, "config": config_digest(trained.began, trained.seed, salt)}
    # Of a target that was deleted from before, the log's result is an earlier one.
    result = {"after": before} if len(trained.unlearned_in) == 1 else {}
    if not _in_order(wanted, {**wanted, **result}):
        return Committed(False, "the log has no such data, recipe and seed before a training that gave this model")
    if trained.began != trained.recipe_digest:
        return Committed(True, "the recipe named records that are gone, so that what is left of it is not compared")
    return Committed(True)


def _in_order(first: dict[str, str], then: dict[str, str]) -> bool:
    """Whether a commitment with some digests stands in the log, and after it a result with others."""
    path, begun = log_path(home_path()), False
    if not path.exists():
        return False
    with Log(path) as log:
        for _, body in log.bodies():
            entry = read(body).entry
            if entry.kind == Kind.TRAIN and first.items() <= dict(entry.digests).items():
                begun = True
            if begun and entry.kind == Kind.TRAINED and then.items() <= dict(entry.digests).items():
                return True
    return False
