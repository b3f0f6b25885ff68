"""A scope resolved against a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from expunge.core.canonical import digest
from expunge.core.errors import ScopeError
from expunge.core.example import Example, Examples
from expunge.core.record import record

SELECTED = ("forget", "retain", "neighbour", "holdout", "validation", "general")
SAMPLED = SELECTED[1:]


@record
class Selection:
    """What to forget and what to keep, as examples.

    Args:
        forget: to be forgotten.
        retain: to be kept; what a method may train on.
        neighbour: close to what is forgotten, to be kept.
        holdout: never seen by any model; what forgetting should look like. Evidence reads it, methods do not.
        validation: never seen either; what a method may calibrate on, so that the holdout stays unopened.
        general: facts outside the scope that must survive; may be a part of retain.
        sampled: role -> size of the whole, for the roles of which only a sample is held.
        repeats: whether a kept record may say, under an id of its own, what a forgotten one says. Who rebuilds a model
            without one of two equal records can; who is to unlearn a text cannot keep it as well.

    Raises:
        ScopeError: nothing to forget, a record is in two roles, or a sample is said to be of less than it holds.
    """

    forget: Examples
    retain: Examples = Examples()
    neighbour: Examples = Examples()
    holdout: Examples = Examples()
    validation: Examples = Examples()
    general: Examples = Examples()
    sampled: Mapping[str, int] = field(default_factory=dict[str, int])
    repeats: bool = False

    def __post_init__(self) -> None:
        if not self.forget:
            raise ScopeError(
                "the forget set is empty", why="the scope matches no record", next="Check the ids against the data"
            )
        texts = not self.repeats
        check_disjoint(texts=texts, forget=self.forget, retain=self.retain)
        if self.holdout or self.validation:
            check_disjoint(forget=self.forget, holdout=self.holdout, validation=self.validation)
            check_disjoint(retain=self.retain, holdout=self.holdout, validation=self.validation)
        check_disjoint(texts=texts, forget=self.forget, general=self.general)
        check_disjoint(texts=texts, forget=self.forget, neighbour=self.neighbour)
        for role, whole in self.sampled.items():
            if role not in SAMPLED:
                raise ScopeError(f"the {role} role cannot be sampled", next=f"One of {', '.join(SAMPLED)} can be")
            if whole <= len(self.role(role)):
                raise ScopeError(f"{len(self.role(role))} records are no sample of {whole} in the {role} role")

    def role(self, name: str) -> Examples:
        """The examples of a role."""
        return getattr(self, name)

    def digest(self) -> str:
        """Digest over all roles, and over the sizes that samples were drawn from."""
        body: dict[str, object] = {role: self.role(role).digest() for role in SELECTED}
        return digest({**body, "sampled": dict(self.sampled)} if self.sampled else body)

    @property
    def never_seen(self) -> Examples:
        """What a method may calibrate on: the validation examples, or the holdout where there are none."""
        return self.validation or self.holdout

    @property
    def repeated(self) -> Examples:
        """The retained examples that say what a forgotten one says, under ids of their own."""
        texts = {(e.question, e.answer) for e in self.forget if self.repeats}
        return Examples(e for e in self.retain if (e.question, e.answer) in texts) if texts else Examples()

    @property
    def kept(self) -> Examples:
        """The retained examples that are not general facts."""
        general = set(self.general.ids)
        return Examples(e for e in self.retain if e.record_id not in general)


def check_disjoint(*, texts: bool = True, **roles: Iterable[Example]) -> None:
    """Raise unless no record, by id or by content, is in two roles.

    Args:
        texts: whether records of other ids clash where question and answer are the same.
        roles: examples by role.

    Raises:
        ScopeError: names the roles, the count and the first ids.
    """
    seen: dict[tuple[str, ...], str] = {}
    for role, examples in roles.items():
        clash: list[str] = []
        other, same = "", False
        for example in examples:
            for key in _keys(example, texts):
                if seen.get(key, role) != role:
                    clash.append(example.record_id)
                    other, same = seen[key], same or key[0] == "id"
                    break
        if clash:
            named = ", ".join(clash[:3])
            apart = other == "forget" and role in ("retain", "neighbour", "general") and not same
            raise ScopeError(
                f"{other} and {role} overlap in {len(clash)} record{'s' * (len(clash) > 1)}",
                why=f"for example {named}" + ", which repeat forgotten ones under other ids" * apart,
                next="Name these records too; only an exact method can keep them"
                if apart
                else "Put each record in one role",
            )
        seen.update((key, role) for example in examples for key in _keys(example, texts))


def _keys(example: Example, texts: bool) -> list[tuple[str, ...]]:
    by_text = [("text", example.question, example.answer)] if texts else []
    return [("id", example.record_id), *by_text]
