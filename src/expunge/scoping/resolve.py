"""Resolve a scope against a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from expunge.core.errors import ConfigError, ScopeError, StoreError, UnknownName
from expunge.core.example import Example, Examples
from expunge.core.protocols import Store
from expunge.core.request import Records, Scope
from expunge.core.selection import SAMPLED, Selection
from expunge.scoping.sample import KeyedSample

NEVER_LEARNED = ("holdout", "validation")


def _checked(store: Store, scope: Records) -> Examples:
    try:
        return store.get(dict.fromkeys(scope.ids))
    except StoreError:
        known = set(scope.ids).intersection(store.ids())
        unknown = [i for i in scope.ids if i not in known]
        if not unknown:
            raise
        raise ScopeError(
            f"{len(unknown)} of {len(scope.ids)} records of the scope are not in the data",
            why=f"for example {', '.join(unknown[:3])}",
            next="Check the ids",
        ) from None


def _check_sample(sample: Mapping[str, int]) -> None:
    for role, size in sample.items():
        if role not in SAMPLED:
            raise UnknownName("role to sample", role, SAMPLED)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"a sample of {size!r} records of {role} is none", next="Give a number above 0")


def _roles_of(example: Example, never_learned: Collection[str]) -> list[str]:
    """Roles of a record that is not forgotten: what it is called, and retain if it was learned."""
    learned = ["retain"] if example.role not in never_learned else []
    if example.role in ("neighbour", "general"):
        return [*learned, example.role]
    return learned or ([example.role] if example.role in NEVER_LEARNED else [])


def resolve(
    scope: Scope,
    store: Store,
    *,
    never_learned: Collection[str] = NEVER_LEARNED,
    sample: Mapping[str, int] | None = None,
    seed: int = 0,
    repeats: bool = False,
) -> Selection:
    """Forget what the scope names, retain the rest of what was learned. Reads the store once, a shard at a time.

    Records whose role was never learned are not retained; those whose role is ``general`` are measured apart.

    Args:
        scope: ``Records``; the other kinds need a search over the corpus.
        store: the data that the target learned from, and what it never saw.
        never_learned: roles that the target never saw.
        sample: role -> most records of it to hold, drawn by their ids; roles that are not named are held whole.
        seed: of the draw.
        repeats: whether what repeats a forgotten record under another id may be kept; for exact methods.

    Returns:
        A selection in which no record is in two roles. A record that repeats a forgotten one is found whether or not
        it is drawn.

    Raises:
        ScopeError: an id is unknown, nothing is named, or the kind of scope is not supported yet.
        UnknownName: no such role can be sampled.
    """
    if not isinstance(scope, Records):
        raise ScopeError(
            f"a scope of kind {type(scope).__name__} cannot be resolved",
            why="only Records can be looked up without a search",
            next="Name the records with expunge.Records(...)",
        )
    wanted = dict(sample or {})
    _check_sample(wanted)
    forget = _checked(store, scope)
    named, texts = set(forget.ids), {(e.question, e.answer) for e in forget}
    whole: dict[str, list[Example]] = {role: [] for role in SAMPLED if role not in wanted}
    drawn = {
        role: KeyedSample(size, seed, role, always=lambda e: (e.question, e.answer) in texts)
        for role, size in wanted.items()
    }
    for example in (e for shard in store.shards() for e in shard if e.record_id not in named):
        for role in _roles_of(example, never_learned):
            if role in drawn:
                drawn[role].add(example)
            else:
                whole[role].append(example)
    found = {role: Examples(examples) for role, examples in whole.items()}
    found |= {role: part.drawn() for role, part in drawn.items()}
    sampled = {role: part.seen for role, part in drawn.items() if part.seen > len(found[role])}
    return Selection(forget=forget, **found, sampled=sampled, repeats=repeats)
