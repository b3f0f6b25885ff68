"""The packages of the extra ``stores``, imported when a store that needs them is opened."""

from __future__ import annotations

import importlib
from typing import Any

from expunge.core.errors import MissingExtra


def need(module: str, *, to: str) -> Any:
    """Import a module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(to, "stores", module.partition(".")[0]) from error
