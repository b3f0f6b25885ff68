"""What trains one part: the protocol of ``engine.trainers``, and a trainer as JSON, so that a worker rebuilds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import TypeAdapter, ValidationError

from expunge.core.errors import ConfigError, UnknownName
from expunge.core.registry import Registry
from expunge.engine.parts.rows import Rows

trainers = Registry("trainer", "expunge.engine.trainers")


@runtime_checkable
class Trainer(Protocol):
    """How a part learns: a frozen ``record`` whose fields are JSON; ``name`` is the file's in ``engine.trainers``.

    A *model* is whatever the trainer makes of itself: weights, the optimiser's state, counters. Only the trainer looks
    into it. All that a trainer draws at random comes from ``seed`` and ``names``, in a step also from epoch and step;
    all order of rows from ``keyed_order(ids, seed, *names, "epoch", e)``, so that a record which is gone changes the
    order of no others, and equal rows, seed and names give equal bytes on one machine.

    ``kind`` is the kind of target that the parts make: ``learner``, ``classifier`` or ``causal_lm``.

    Two methods may be left out. ``silent(model) -> str`` says why a model does not vote, as where its rows were too
    few, and is empty where it does. ``rehearse(rows, *, seed, strict)`` raises beforehand what training would come to.
    """

    name: str
    kind: str

    def digest(self) -> str:
        """Digest of all settings; of a folder that it starts from, over what is in it."""
        ...

    def start(self, *, seed: int) -> Any:
        """The model before any row: drawn from the seed, or public. It must never have seen a row."""
        ...

    def train(
        self,
        model: Any,
        rows: Rows,
        *,
        epochs: int,
        seed: int,
        names: tuple[str | int, ...],
        workdir: Path | None = None,
    ) -> Any:
        """The model after further epochs over rows. The given one need not stay valid.

        Args:
            model: of ``start``, ``load`` or an earlier ``train``: the optimiser goes on where it was.
            rows: all that this slice trains on, those of the slices before it included; never empty.
            epochs: passes over them.
            seed: of the whole run.
            names: of this slice, such as ``("shard", 3, "slice", 1)``.
            workdir: a folder of this slice alone, for steps on the way; removed once the slice is on file.
        """
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Write all of a model into an empty folder: safetensors and JSON, equal bytes for equal models."""
        ...

    def load(self, folder: Path) -> Any:
        """The model that ``save`` wrote; training it further gives what training the first one would have."""
        ...

    def outputs(self, model: Any, inputs: Any) -> Any:
        """Numbers to vote with (n, K): probabilities of the trainer's own classes, or predicted values.

        Args:
            model: trained on one row at least.
            inputs: X (n, d) where rows are tables, examples where they are examples.
        """
        ...


def told(trainer: Trainer) -> dict[str, Any]:
    """A trainer as JSON: its name and its settings."""
    return {"name": trainer.name, "settings": TypeAdapter(type(trainer)).dump_python(trainer, mode="json")}


def trainer_of(told: Mapping[str, Any]) -> Trainer:
    """The trainer that ``told`` described.

    Raises:
        UnknownName: no trainer has this name, or something stands beside name and settings.
        ConfigError: name or settings are missing, or a setting does not fit.
    """
    if strange := set(told) - {"name", "settings"}:
        raise UnknownName("part of a trainer", min(map(str, strange)), ["name", "settings"])
    if not isinstance(told.get("name"), str) or not isinstance(told.get("settings"), Mapping):
        raise ConfigError(
            "the trainer does not fit",
            why=f"it is a name and settings, and there is {', '.join(told) or 'nothing'}",
            next="Write name: and settings: below trainer:",
        )
    kind = trainers.get(told["name"])
    try:
        return TypeAdapter(kind).validate_python(dict(told["settings"]))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"a setting of the trainer {told['name']} does not fit: {where}", why=first["msg"]) from error
