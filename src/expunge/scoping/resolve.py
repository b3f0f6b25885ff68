"""Resolve a scope against a store."""

from __future__ import annotations

from collections.abc import Collection

from expunge.core.errors import ScopeError
from expunge.core.example import Examples
from expunge.core.protocols import Store
from expunge.core.request import Records, Scope
from expunge.core.selection import Selection

NEVER_LEARNED = ("holdout", "validation")


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


def resolve(scope: Scope, store: Store, *, never_learned: Collection[str] = NEVER_LEARNED) -> Selection:
    """Forget what the scope names, retain the rest of what was learned.

    Records whose role was never learned are not retained; those whose role is ``general`` are measured apart.

    Args:
        scope: ``Records``; the other kinds need a search over the corpus.
        store: the data that the target learned from, and what it never saw.
        never_learned: roles that the target never saw.

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
    rest = store.get(i for i in store.ids() if i not in named)
    return Selection(
        forget=forget,
        retain=Examples(e for e in rest if e.role not in never_learned),
        neighbour=rest.of("neighbour"),
        holdout=rest.of(*({"holdout"} & set(never_learned))),
        validation=rest.of(*({"validation"} & set(never_learned))),
        general=rest.of("general"),
    )
