"""What a training writes down of itself, so that it can be run again: recipe, data, seed, versions and threads."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import read_json
from expunge.core.certificate import Residue
from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples, examples_of
from expunge.core.files import write_json
from expunge.core.manifest import NAME
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.data.memory import MemoryStore
from expunge.data.rows import named_after
from expunge.data.table import Table, open_table
from expunge.methods.exact._kept import require_unchanged
from expunge.targets.replay_record import commitments
from expunge.workflow.saved import CARD
from expunge.workflow.stages import code_digest, threads, versions

RECORD = "training.json"
NEVER_LEARNED = ("holdout", "validation")
MORE = ("scikit-learn", "safetensors", "peft", "expunge")
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".npz")
EITHER = (".parquet", ".pq")
PARTS = {
    RECORD: "how to train it again: salted digests, and where the data is",
    "state.safetensors": "sums over the records, or the records themselves",
    "state.json": "their ids and counts over them",
    "shards": "the rows of each shard, and checkpoints",
    "parts": "the rows of each shard, checkpoints, and the secret of the placement",
    "members.json": "their ids",
    "training": "order log and checkpoints",
    "coef.safetensors": "parameters, with noise in them",
    "secret.safetensors": "the records as rows, the noise, and the Hessian",
    "secret.json": "their ids, and what deletions spent",
    "model.safetensors": "weights that were trained on them",
    "rows.safetensors": "the rows themselves",
    "unpublished.safetensors": "what was trained on them, before the noise",
    "weights.safetensors": "weights that were trained on them, as published",
    "model": "weights that were trained on them",
    "account.json": "who was in the training, by record id",
}
"""What a trained target's folder holds, by its first folder or file."""


@record
class Source:
    """Where the records of a training are.

    Args:
        path: of the file.
        label: column of a table that is to be told; empty for none.
        id: column of the record ids; empty where the form has a usual one, or rows are named after their place.
        part: of a file of several arrays, such as ``train``.
        subject: column of a table that says whom a row is about; empty where each row stands for itself.
        categories: column of a table -> its values, fixed when it was trained on: a row that is gone changes no column.
        fitted: columns whose values were then read off the data, and not given.
    """

    path: str
    label: str = ""
    id: str = ""
    part: str = ""
    subject: str = ""
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    fitted: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether the file holds rows of numbers: by its ending; Parquet does where a label or a part is named."""
        name = self.path.lower()
        return name.endswith(TABLES) or (name.endswith(EITHER) and bool(self.label))

    def open(self) -> Store:
        """The records that are learned from: those with a role that no model may see are left out.

        Raises:
            StoreError: the file is missing or malformed.
        """
        if self.is_table:
            told: dict[str, Any] = {"label": self.label, "id": self.id, "part": self.part, "subject": self.subject}
            return open_table(self.path, **told, categories=self.categories)
        from expunge.workflow.verbs import load_data

        if self.label or self.part or self.subject:
            raise StoreError(
                f"{self.path} is no table",
                why="only tables have a label, parts and a column of subjects",
                next="Leave them out",
            )
        store = load_data(self.path, id=self.id) if self.id else load_data(self.path)
        learned = [e for shard in store.shards() for e in shard if e.role not in NEVER_LEARNED]
        return MemoryStore(learned)

    def pinned(self, store: Store) -> Source:
        """The same place as an absolute path, with the categories that the records were encoded by."""
        found = replace(self, path=str(Path(self.path).resolve()))
        if not isinstance(store, Table):
            return found
        classes = {self.label: store.encoding.classes} if self.label and store.encoding.classes else {}
        return replace(found, categories={**store.encoding.categories, **classes}, fitted=store.encoding.fitted)


def named_by_place(store: Store) -> bool:
    """Whether the rows of a table are named after their places, since its file has no ids."""
    ids = store.ids() if isinstance(store, Table) else ()
    return bool(ids) and all(name.endswith(named_after("", at)) for at, name in enumerate(ids))


@record
class Trained:
    """How a target was trained.

    Args:
        recipe: as JSON.
        recipe_digest: of the recipe, what is in the folders that it starts from included.
        seed: of the training.
        records: how many it was trained on.
        data: salted digest of them; the log holds it since before the training.
        source: where they are; None where they came from memory.
        environment: versions, threads and machine.
        result: digest of the target.
        unlearned_in: environment of each deletion since, in order.
        began: digest of the recipe as the log was told it, which may have named records that are gone.
        salt: hex, of ``members``.
        members: record id -> salted commitment to the record, where the target keeps no rows of its own.
    """

    recipe: dict[str, Any]
    recipe_digest: str
    seed: int
    records: int
    data: str
    source: Source | None
    environment: dict[str, str]
    result: str
    unlearned_in: tuple[dict[str, str], ...] = ()
    began: str = ""
    salt: str = ""
    members: dict[str, str] = field(default_factory=dict[str, str])

    def naming(self, kept: Iterable[Example]) -> Trained:
        """The same with commitments to these records, under a new salt."""
        salt = secrets.token_hex(32)
        return replace(self, salt=salt, members=commitments(kept, salt))

    def require_same(self, given: Iterable[Example]) -> None:
        """Raise unless records are those of the training: under the same id there may be another row by now.

        Args:
            given: any of the records; their roles do not count.

        Raises:
            StoreError: one is another.
        """
        if self.members:
            now = commitments(given, self.salt)
            require_unchanged([name for name in now if self.members.get(name) != now[name]])

    def write(self, folder: Path) -> None:
        """Write ``training.json``, atomically."""
        write_json(folder / RECORD, TypeAdapter(Trained).dump_python(self, mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Trained:
        """Read ``training.json``.

        Raises:
            StoreError: missing or malformed.
        """
        try:
            return TypeAdapter(Trained).validate_python(read_json(folder / RECORD))
        except ValidationError as error:
            raise StoreError(f"{folder / RECORD} is no record of a training", why=error.errors()[0]["msg"]) from error

    @property
    def threads(self) -> int:
        """Of the process that trained."""
        return int(self.environment.get("threads", "1"))

    def differing(self, now: Mapping[str, str]) -> list[str]:
        """What of an environment is not as where it was trained and unlearned, in words, the code itself left out."""
        found: dict[str, str] = {}
        for then in (self.environment, *self.unlearned_in):
            for name in sorted(now.keys() | then.keys()):
                if name != "code" and now.get(name) != then.get(name):
                    found.setdefault(name, f"{name} was {then.get(name, 'absent')}, is {now.get(name, 'absent')}")
        return list(found.values())

    @property
    def same_code(self) -> bool:
        """Whether this very code trained and unlearned it."""
        return {then.get("code") for then in (self.environment, *self.unlearned_in)} == {code_digest()}


def environment() -> dict[str, str]:
    """What decides the bytes of a training beside recipe, data and seed."""
    found = {**versions(), "python": platform.python_version(), "machine": platform.machine()}
    for name in MORE:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, "threads": str(threads()), "code": code_digest()}


def only(store: Store, ids: Collection[str]) -> Store:
    """A store of some of the records, in the store's order.

    Raises:
        StoreError: an id is not in the store.
    """
    wanted = set(ids)
    order = [name for name in store.ids() if name in wanted]
    if len(order) < len(wanted):
        missing = sorted(wanted.difference(order))
        raise StoreError(f"{len(missing)} records are not in the data", why=f"for example {', '.join(missing[:3])}")
    return store.rows(order) if isinstance(store, Table) else MemoryStore(store.get(order))


def in_role(examples: Examples, role: str) -> Examples:
    """The same records with a role; an empty one leaves what a file says of a record apart from what it is."""
    return Examples(examples_of({**vars(example), "role": role} for example in examples))


def has_record(model: str) -> bool:
    """Whether a folder says how it was trained."""
    return (Path(model) / RECORD).is_file()


def learned(target: Any, store: Store) -> tuple[str, ...]:
    """Ids of the records that a target holds, in the order of the data.

    Raises:
        StoreError: it holds records that the data lacks.
    """
    held = set[str](getattr(target, "ids", store.ids()))
    found = tuple(name for name in store.ids() if name in held)
    if len(found) < len(held):
        missing = sorted(held.difference(found))
        raise StoreError(
            f"{len(missing)} records that the model learned are not in the data",
            why=f"for example {', '.join(missing[:3])}",
            next="Give the data that it was trained on",
        )
    return found


def parts_left(model: Path) -> tuple[Residue, ...]:
    """What of a target that was trained so that it can forget still holds the records, by its first folder or file."""
    if not has_record(str(model)):
        return ()
    found = sorted({path.relative_to(model).parts[0] for path in model.rglob("*") if path.is_file()})
    names = [name for name in found if name not in (CARD, NAME)]
    parts = (Residue(f"the original model: {name}", PARTS.get(name, "a part of it")) for name in names)
    return (*parts, Residue("the data that it was trained on", "it was left as it is"))
