"""What rows, targets and ids a learner takes; everything else is refused before anything changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError, StoreError, TargetError
from expunge.targets.learners._rows import Numbers, Rows

F = NDArray[np.float64]
LARGEST = 1e140
"""Sums over rows of squares of such numbers stay finite."""
EXACT = 2**53
"""Beyond it a double no longer holds every integer."""


def real_rows(X: Any, width: int | None) -> F:
    """An own, read-only copy (n, d) of finite numbers.

    Raises:
        TargetError: not a table of finite numbers, or one of another width.
    """
    try:
        rows = np.array(X, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise TargetError("the rows are not numbers", why=str(error)) from error
    if rows.ndim != 2 or not rows.shape[1]:
        raise TargetError("the rows are not a table", why=f"their shape is {rows.shape}, not (rows, features)")
    if width is not None and rows.shape[1] != width:
        raise TargetError(f"a row has {rows.shape[1]} features", why=f"this learner knows {width}")
    if not np.isfinite(rows).all():
        raise TargetError("a row holds nan or inf", next="Leave such rows out or fill them in")
    if np.abs(rows).max(initial=0.0) > LARGEST:
        raise TargetError("a row holds a number too large to be squared", why=f"it is beyond {LARGEST:g}")
    rows += 0.0  # turns -0.0 into 0.0, so that equal rows have equal bytes
    rows.setflags(write=False)
    return rows


def narrow(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels in no more room than the longest takes, so that one that is gone does not show in the width."""
    if labels.dtype.kind != "U" or not labels.size:
        return labels
    return labels.astype(f"U{max(1, int(np.char.str_len(labels).max()))}", copy=False)


def _kinds(y: Any) -> set[str]:
    """Kinds among values that numpy would turn into one another."""
    kinds = {bool: "b", np.bool_: "b", str: "U", np.str_: "U", int: "i", float: "f"}
    return {kinds.get(kind) or np.dtype(kind).kind.replace("u", "i") for kind in set(map(type, y))}


def labels(y: Any, n: int, like: NDArray[Any] | None) -> NDArray[Any]:
    """Labels (n,): integers, booleans or strings, of the kind that is known already.

    Raises:
        TargetError: too few, not labels, integers beyond 64 bits, or of another kind.
    """
    try:
        given = np.asarray(y) if y is not None else np.empty(0)
    except ValueError as error:
        raise TargetError("the labels are not a list", why=str(error)) from error
    if given.shape != (n,):
        raise TargetError(f"{n} rows need {n} labels", why=f"the labels' shape is {given.shape}")
    own = y.tolist() if isinstance(y, np.ndarray) and y.dtype.kind == "O" else y
    if not isinstance(own, np.ndarray) and len(kinds := _kinds(own) if n else set()) > 1 and kinds != {"i", "f"}:
        raise TargetError("labels of several kinds", why="numpy would turn one into another", next="Give all as texts")
    if given.dtype.kind == "O":
        given = np.asarray(given.tolist())
    if given.dtype.kind == "f" and np.all(given == np.rint(given)) and np.abs(given).max(initial=0) <= EXACT:
        given = given.astype(np.int64)
    if given.dtype.kind not in "iubU":
        raise TargetError("the labels are not integers, booleans or strings", why=f"they are {given.dtype}")
    if given.dtype.kind == "u" and given.size and given.max() > np.iinfo(np.int64).max:
        raise TargetError("a label is too large", why=f"{given.max()} does not fit into 64 bits with a sign")
    given = np.array(given, dtype=np.int64) if given.dtype.kind in "iu" else narrow(given).copy()
    if like is not None and n and given.dtype.kind != like.dtype.kind:
        raise TargetError("labels of two kinds", why=f"{given.dtype} after {like.dtype}")
    given.setflags(write=False)
    return given


def numbers(y: Any, n: int, like: NDArray[Any] | None) -> F:
    """Targets (n,) or (n, m), finite.

    Raises:
        TargetError: too few, not finite numbers, or of another width.
    """
    try:
        given = np.array(y if y is not None else [], dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise TargetError("the targets are not numbers", why=str(error)) from error
    if given.ndim not in (1, 2) or len(given) != n:
        raise TargetError(f"{n} rows need {n} targets", why=f"the targets' shape is {given.shape}")
    if like is not None and n and given.shape[1:] != like.shape[1:]:
        raise TargetError("targets of two widths", why=f"{given.shape[1:]} after {like.shape[1:]}")
    if not np.isfinite(given).all() or np.abs(given).max(initial=0.0) > LARGEST:
        raise TargetError("a target is nan, inf or too large to be squared", why=f"at most {LARGEST:g} is taken")
    given.setflags(write=False)
    return given


def listed(ids: Iterable[str]) -> list[str]:
    """The ids as a list of strings.

    Raises:
        StoreError: one string, or something that is no string.
    """
    if isinstance(ids, str):
        raise StoreError(f"ids are to be a list, not the string {ids!r}")
    names = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if not all(issubclass(kind, str) for kind in set(map(type, names))):
        odd = next(name for name in names if not isinstance(name, str))
        raise StoreError(f"the id {odd!r} is not a string")
    return names


def names_for(ids: Iterable[str] | None, n: int, rows: Rows) -> Sequence[str]:
    """The ids that were given, or the next n free numbers, counted from the number of rows held.

    Raises:
        StoreError: not as many ids as rows, or not strings.
    """
    if ids is not None:
        names = listed(ids)
        if len(names) != n:
            raise StoreError(f"{n} rows came with {len(names)} ids")
        return names
    if not rows.parts:
        return Numbers(n)
    free: list[str] = []
    number = len(rows)
    while len(free) < n:
        names = [str(number + i) for i in range(n - len(free))]
        free += [name for name, held in zip(names, rows.holds(names).tolist(), strict=True) if not held]
        number += len(names)
    return free


def positive(name: str, value: float, *, zero: bool = False) -> None:
    """Refuse a setting that is no finite number above 0 (or 0, where that is allowed).

    Raises:
        ConfigError: it is not.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        raise ConfigError(f"{name} must be a number, {'at least' if zero else 'above'} 0", why=f"it is {value!r}")
