"""What the log was told of a training before its first step, and whether a record of a training says the same now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, read_json
from expunge.core.errors import LedgerError, StoreError
from expunge.core.example import Examples
from expunge.data.vault import Vault
from expunge.ledger.home import home_path
from expunge.ledger.leaf import Kind, read
from expunge.ledger.log import Log, log_path
from expunge.workflow.recipe_file import recipe_of
from expunge.workflow.training_record import Trained, has_record

OUTCOME = "outcome.json"
"""What a run keeps of a deletion, beside the model that came out."""


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
        refuted: whether what was committed to is something else than what was trained by.
        data: salted digest of all data, as the log has it.
        config: salted digest of recipe and seed, as the log has it; empty where it was not found there.
    """

    known: bool | None
    why: str = ""
    refuted: bool = False
    data: str = ""
    config: str = ""

    def told(self) -> str:
        """What a certificate says of it."""
        if not self.known:
            return f"not shown by the log: {self.why}"
        return f"the log was told of data {self.data}, recipe and seed {self.config} before the training"


def committed(trained: Trained, whole: str, before: str, *, kept: Examples, original: Path) -> Committed:
    """Look a training up in the log of ``EXPUNGE_HOME``.

    Args:
        trained: how the result of a deletion can be trained.
        whole: digest of all data at hand, what is forgotten included.
        before: digest of the target that the deletion was from.
        kept: what the result was trained on.
        original: folder of the target that the deletion was from, whose recipe still names what is gone.

    Raises:
        StoreError: the salts were destroyed.
        LedgerError: the log cannot be read.
    """
    missing = _other_recipe(trained, kept, original)
    if missing is not None and missing.refuted:
        return missing
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
    return missing or Committed(True, data=wanted["data"], config=wanted["config"])


def looked_up(trained: Trained, before: str, *, kept: Examples, original: Path) -> Committed:
    """``committed`` with all data as it lies where the training found it; what cannot be read is not shown."""
    try:
        if trained.source is None:
            return Committed(None, "nothing says where the data is")
        whole = trained.source.open().digest()
        return committed(trained, whole, before, kept=kept, original=original)
    except (StoreError, LedgerError) as error:
        return Committed(None, error.what)


def _other_recipe(trained: Trained, kept: Examples, original: Path) -> Committed | None:
    """What keeps a recipe from being the one that was committed to; None where it is that one, or says the same of all
    that is kept and only names fewer records."""
    from expunge.workflow.exact import BY_RECORD, naming

    if trained.began in ("", trained.recipe_digest):
        return None
    recipe, first = recipe_of(trained.recipe), _began(trained, original)
    if first is not None and naming(first, kept).digest() == trained.recipe_digest:
        return None
    names = any(getattr(recipe, name, None) is not None for name in (*BY_RECORD, "last"))
    if first is not None or not names:
        return Committed(False, "it was trained by another recipe than the one that was committed to", refuted=True)
    why = "the recipe named records that are gone, and no model is left at hand that has it whole"
    return Committed(False, why)


def _began(trained: Trained, original: Path) -> Any:
    """The recipe that a history of deletions began with, from the models before them; None where none is at hand."""
    seen: set[Path] = set()
    while has_record(str(original)) and original not in seen:
        seen.add(original)
        told = Trained.read(original)
        if told.recipe_digest == trained.began:
            recipe = recipe_of(told.recipe)
            return recipe if recipe.digest() == trained.began else None
        card = original.parent / OUTCOME
        original = Path(read_json(card)["original"]) if card.is_file() else original
    return None


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
