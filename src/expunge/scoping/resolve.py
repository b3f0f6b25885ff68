"""Resolve a scope against a store."""

from __future__ import annotations

from collections.abc import Iterable

from expunge.core.errors import ScopeError
from expunge.core.example import Example, Examples
from expunge.core.protocols import Store
from expunge.core.request import Records, Scope
from expunge.core.selection import Selection


def _checked(store: Store, scope: Records) -> Examples:
    known = set(store.ids())
    unknown = [i for i in scope.ids if i not in known]
    if unknown:
        raise ScopeError(
            f"{len(unknown)} of {len(scope.ids)} records of the scope are not in the data",
            why=f"for example {', '.join(unknown[:3])}",
            next="Check the ids",
        )
    return store.get(dict.fromkeys(scope.ids))


def resolve(scope: Scope, store: Store, *, holdout: Iterable[Example] = ()) -> Selection:
    """Forget what the scope names, retain the rest of the store.

    Args:
        scope: ``Records``; the other kinds need a search over the corpus.
        store: the data that the target learned from.
        holdout: examples that no model ever saw.

    Returns:
        A selection in which no record is in two roles.

    Raises:
        ScopeError: an id is unknown, nothing is named, or the kind of scope is not supported yet.
    """
    if not isinstance(scope, Records):
        raise ScopeError(
            f"a scope of kind {type(scope).__name__} cannot be resolved",
            why="only Records can be looked up without a search",
            next="Name the records with expunge.Records(...)",
        )
    forget = _checked(store, scope)
    named = set(forget.ids)
    retain = store.get(i for i in store.ids() if i not in named)
    return Selection(forget=forget, retain=retain, holdout=Examples(holdout))
