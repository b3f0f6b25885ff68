"""Machine unlearning that people can rely on. Importing this costs little and loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "Behaviour": "core.request",
    "Concept": "core.request",
    "ExpungeError": "core.errors",
    "Gradient": "methods.gradient._gradient",
    "LearnerRecipe": "engine.recipes.learner",
    "Records": "core.request",
    "Request": "core.request",
    "Replayable": "engine.recipes.replayable",
    "SISA": "engine.recipes.sisa",
    "Selection": "core.selection",
    "ShardedAdapters": "engine.recipes.sharded_adapters",
    "Soup": "engine.recipes.soup",
    "Subject": "core.request",
    "Table": "data.table",
    "adopt": "workflow.verbs",
    "certify": "workflow.verbs",
    "evaluate": "workflow.verbs",
    "forget": "workflow.forget",
    "ingest": "data.ingest",
    "load_data": "workflow.verbs",
    "open_table": "data.table",
    "train": "workflow.train",
    "unlearn": "workflow.verbs",
    "unlearn_batch": "workflow.requests",
    "unlearn_in_sequence": "workflow.requests",
    "verify": "workflow.verified",
}
__all__ = [*_PLACES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from expunge.core.errors import ExpungeError as ExpungeError
    from expunge.core.request import Behaviour as Behaviour
    from expunge.core.request import Concept as Concept
    from expunge.core.request import Records as Records
    from expunge.core.request import Request as Request
    from expunge.core.request import Subject as Subject
    from expunge.core.selection import Selection as Selection
    from expunge.data.ingest import ingest as ingest
    from expunge.data.table import Table as Table
    from expunge.data.table import open_table as open_table
    from expunge.engine.recipes.learner import LearnerRecipe as LearnerRecipe
    from expunge.engine.recipes.replayable import Replayable as Replayable
    from expunge.engine.recipes.sharded_adapters import ShardedAdapters as ShardedAdapters
    from expunge.engine.recipes.sisa import SISA as SISA
    from expunge.engine.recipes.soup import Soup as Soup
    from expunge.methods.gradient._gradient import Gradient as Gradient
    from expunge.workflow.forget import forget as forget
    from expunge.workflow.requests import unlearn_batch as unlearn_batch
    from expunge.workflow.requests import unlearn_in_sequence as unlearn_in_sequence
    from expunge.workflow.train import train as train
    from expunge.workflow.verbs import adopt as adopt
    from expunge.workflow.verbs import certify as certify
    from expunge.workflow.verbs import evaluate as evaluate
    from expunge.workflow.verbs import load_data as load_data
    from expunge.workflow.verbs import unlearn as unlearn
    from expunge.workflow.verified import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"expunge has no {name!r}")
    module = importlib.import_module(f"expunge.{_PLACES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
