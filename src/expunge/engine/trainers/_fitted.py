"""Fitted estimators as arrays and JSON: what ``vars`` holds, object by object, and no pickle."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.errors import TargetError

ENOUGH = 64
"""No fitted attribute is nested deeper, unless it holds itself."""
CALLED = frozenset(
    (
        "sklearn.tree._tree:Tree",
        "sklearn.linear_model._sgd_fast:Hinge",
        "sklearn.linear_model._sgd_fast:SquaredHinge",
        "sklearn.linear_model._sgd_fast:ModifiedHuber",
        "sklearn.linear_model._sgd_fast:EpsilonInsensitive",
        "sklearn.linear_model._sgd_fast:SquaredEpsilonInsensitive",
        "sklearn._loss._loss:CyHalfBinomialLoss",
        "sklearn._loss._loss:CyHalfSquaredError",
        "sklearn._loss._loss:CyHuberLoss",
    )
)
"""Compiled classes that are called with numbers and arrays; nothing else that a file names is ever called."""
FILLED = frozenset(
    (
        "sklearn.calibration:_CalibratedClassifier",
        "sklearn.neural_network._stochastic_optimizers:AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers:SGDOptimizer",
    )
)
"""Classes beside estimators that are made without a call, and given their attributes."""


def found(path: str) -> Any:
    """What ``module:name`` says. This imports the module, and so runs its code.

    Raises:
        TargetError: there is no such module or name.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TargetError(f"there is no {path!r}", why=str(error), next="Name it as module:name") from error


def _refused(what: str) -> TargetError:
    return TargetError(
        "this estimator cannot be kept on file",
        why=f"it holds {what}, which is no number, text, array or object of its own package",
        next="Choose another estimator, or give it a state() and a from_state(); of neighbours set algorithm: brute",
    )


class Encoder:
    """Turns values into JSON, and puts their arrays aside.

    Args:
        packages: top-level packages whose objects may be taken apart.
    """

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages
        self.arrays: dict[str, np.ndarray] = {}
        self._keys: dict[int, str] = {}
        self._kept: list[Any] = []

    def encode(self, value: Any, depth: int = 0) -> Any:
        """JSON that ``decode`` turns into an equal value.

        Raises:
            TargetError: a part of it is of a kind that cannot be kept.
        """
        if depth > ENOUGH:
            raise _refused("something that holds itself")
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value), depth)}
        if isinstance(value, np.ndarray):
            return self._array(value, depth)
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [self.encode(item, depth + 1) for item in value]}
        if isinstance(value, dict):
            pairs = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]
            return {"dict": pairs}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self.encode(value.get_state(legacy=False), depth + 1)}
        if isinstance(value, np.dtype):
            return {"dtype": value.str}
        return self._object(value, depth)

    def _array(self, value: np.ndarray, depth: int) -> dict[str, Any]:
        if value.dtype.names:
            names = list(value.dtype.names)
            kinds = [value.dtype[name].str for name in names]
            # Field by field: the bytes between the fields of a node of a tree are whatever memory held.
            return {"fields": names, "kinds": kinds, "of": [self._array(value[name], depth) for name in names]}
        if value.dtype.kind == "U":
            return {"texts": value.tolist(), "shape": list(value.shape)}
        if value.dtype.kind == "O":
            return {"objects": [self.encode(v, depth + 1) for v in value.ravel()], "shape": list(value.shape)}
        if value.dtype.kind not in "biuf":
            raise _refused(f"an array of {value.dtype}")
        if id(value) not in self._keys:
            self._keys[id(value)] = f"a{len(self._keys)}"
            self._kept.append(value)
            self.arrays[self._keys[id(value)]] = np.array(value, order="C")
        return {"array": self._keys[id(value)]}

    def _path(self, value: Any) -> str:
        module, name = getattr(value, "__module__", "") or "", getattr(value, "__qualname__", "")
        kind = value if isinstance(value, type) else type(value)
        if not name.isidentifier() or not _listed(f"{module}:{name}", kind, self.packages):
            raise _refused(f"a {module}.{name}" if name else f"a {type(value).__name__}")
        return f"{module}:{name}"

    def _object(self, value: Any, depth: int) -> dict[str, Any]:
        if isinstance(value, type):
            return {"class": self._path(value)}
        if hasattr(value, "__dict__") and type(value).__reduce__ is object.__reduce__ and not callable(value):
            return {"object": self._path(type(value)), "state": self.encode(vars(value), depth + 1)}
        # Compiled objects, such as the nodes of a tree, say how they are made again: by their own class, or not at all.
        path = self._path(type(value))
        told = value.__reduce__()
        made: list[Any] = list(told) if isinstance(told, tuple) else [None]
        if made[0] is not type(value):
            raise _refused(f"a {path.replace(':', '.')}")
        state = made[2] if len(made) > 2 else None
        args = [self.encode(item, depth + 1) for item in made[1]]
        return {"call": path, "args": args, "state": self.encode(state, depth + 1)}


def _listed(path: str, kind: Any, packages: frozenset[str]) -> bool:
    """Whether a class may be taken apart and made again: one of the lists, or an estimator of the packages."""
    from sklearn.base import BaseEstimator

    if path in CALLED or path in FILLED:
        return True
    own = path.partition(":")[0].partition(".")[0] in packages
    return own and isinstance(kind, type) and issubclass(kind, BaseEstimator)


def _inside(path: str, packages: frozenset[str], *, called: bool = False) -> Any:
    """The class of a path that a file names.

    Raises:
        TargetError: it is none that may be made, or none that may be called.
    """
    own = path.partition(":")[0].partition(".")[0] in packages
    kind = found(path) if path in CALLED or (own and not called) else None
    if kind is None or not _listed(path, kind, packages):
        raise TargetError(
            f"the estimator on file holds a {path}", why="only estimators of its own package and parts of them are made"
        )
    return kind


def decode(told: Any, arrays: Mapping[str, np.ndarray], packages: frozenset[str]) -> Any:
    """The value that ``Encoder.encode`` told.

    Raises:
        TargetError: it names an object of another package.
    """
    if not isinstance(told, dict):
        return told

    def again(value: Any) -> Any:
        return decode(value, arrays, packages)

    if "array" in told:
        return arrays[told["array"]]
    if "scalar" in told:
        return again(told["scalar"])[()]
    if "float" in told:
        return float(told["float"])
    if "list" in told:
        return [again(item) for item in told["list"]]
    if "tuple" in told:
        return tuple(again(item) for item in told["tuple"])
    if "dict" in told:
        return {again(key): again(value) for key, value in told["dict"]}
    if "fields" in told:
        parts = [again(part) for part in told["of"]]
        whole = np.zeros(
            parts[0].shape, dtype=np.dtype(list(zip(told["fields"], told["kinds"], strict=True)), align=True)
        )
        for name, part in zip(told["fields"], parts, strict=True):
            whole[name] = part
        return whole
    return _made(told, again, packages)


def _made(told: Mapping[str, Any], again: Any, packages: frozenset[str]) -> Any:
    if "texts" in told:
        return np.asarray(told["texts"], dtype=np.str_).reshape(told["shape"])
    if "objects" in told:
        held = np.empty(len(told["objects"]), dtype=object)
        held[:] = [again(item) for item in told["objects"]]
        return held.reshape(told["shape"])
    if "random_state" in told:
        drawn = np.random.RandomState()
        drawn.set_state(again(told["random_state"]))
        return drawn
    if "dtype" in told:
        return np.dtype(told["dtype"])
    if "class" in told:
        return _inside(told["class"], packages)
    if "object" in told:
        kind = _inside(told["object"], packages)
        value = kind.__new__(kind)
        value.__dict__.update(again(told["state"]))
        return value
    value = _inside(told["call"], packages, called=True)(*map(again, told["args"]))
    if (state := again(told["state"])) is not None:
        value.__setstate__(state)
    return value
