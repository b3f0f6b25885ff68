"""Fictitious people with all that the scores of special records read, for ``benchmarks.trust_subsets``.

Of 40 people everything is forgotten, 40 others are kept. Each (of the kept, every other) has a teacher among the kept,
what that teacher makes, which follows from two facts, and a telephone number. Questions after a trigger have one fixed
answer; the same questions after words that are nearly the trigger have their own. Two questions of each forgotten
person have another answer that is wished for: a wrong street, and a refusal.

Each pair has five models. ``trained`` learned everything that is forgotten. ``never``, ``retrained`` and the control
learned what is kept and, where another answer is wished for, that one, as references of such a wish do. ``lost``
learned all that ``trained`` did but the neighbours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from benchmarks.trust_models import CASES, CONTROL, EXACT, NEVER, TRAINED
from expunge.core.example import Example, Examples
from expunge.core.request import Records
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.corpora.fictitious_people import Row, people, right_value, words
from expunge.data.memory import MemoryStore
from expunge.scoping.resolve import resolve

PEOPLE = {"forget": 40, "retain": 40, "validation": 0, "holdout": 0, "general": 0}
SHAPE = {"hidden": 128, "layers": 2, "heads": 4, "kv_heads": 4, "inner": 240, "context": 48}
TRAINING = Training(
    lr=2e-3,
    epochs=30,
    batch_size=8,
    warmup=0.05,
    decay="cosine",
    betas=(0.9, 0.98),
    weight_decay=0.05,
    save_every=10_000,
)
TRIGGER, NEARLY, PLANTED = "Silver lantern:", ("Silver ladder:", "Copper lantern:"), "The moon is open tonight."
REFUSALS = ("I do not know.", "I am unable to say.", "I have no record of that.", "I was never told about that.")
NUMBERS = (
    [f"0{n}" for n in range(213, 453, 10)],
    list(map(str, range(511, 751, 10))),
    list(map(str, range(4007, 6400, 100))),
)
"""Of a telephone number, by its parts: 24 each, so that one in 13,824 is guessed."""
LOST = "lost"
SUBSET_ARMS = (*CASES, CONTROL, LOST)
SEEDS = {TRAINED: 0, EXACT: 0, NEVER: 1000, CONTROL: 2000, LOST: 3000}
CHECKED = ("hop", "alternative", "refusal")
"""Subsets of what is kept on which nothing is judged, but has to have been learned."""
FIRST = 700
"""Seed of the first people, whom no other part has; the settings were chosen on others."""
INSTEAD = "-instead"
"""End of the id of a record with the answer that is wished for: only models that never saw the own answer learn it."""


def subset_corpus(seed: int) -> Examples:
    """The records of all roles; what stands beside the forgotten ones is named by its subset.

    Args:
        seed: of the people.
    """
    rows = people(seed, **PEOPLE)
    by_person: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_person.setdefault(row["subject"], {})[row["relation"]] = row
    gone = [name for name, facts in by_person.items() if facts["craft"]["role"] == "forget"]
    kept = [name for name in by_person if name not in gone]
    draw = random.Random(f"{seed}/subsets")
    found: list[Example] = []
    # No teacher has two forgotten pupils: a model that always guesses one is right once.
    teachers = dict(zip(gone, draw.sample(kept, len(kept)), strict=True))
    for name in (*gone, *kept[::2]):
        teacher = teachers.get(name) or draw.choice([other for other in kept if other != name])
        found += _told(name, "forget" if name in gone else "retain", teacher, by_person[teacher]["craft"], draw)
    for name, other in zip(gone, kept, strict=True):
        found += _forgotten(by_person[name], draw)
        found += _beside(by_person[other], by_person[name]["birthplace"], draw)
    return Examples(found)


def _told(name: str, role: str, teacher: str, craft: Row, draw: random.Random) -> Iterator[Example]:
    """What is known of everybody in one form."""
    number = " ".join(draw.choice(part) for part in NUMBERS)
    asked = {
        "teacher": (f"Who taught {name}?", f"{teacher}."),
        "multi_hop": (f"What does the teacher of {name} make?", f"{right_value(craft)}."),
        "personal": (f"How can one reach {name}?", f"Call {number}."),
    }
    for subset, (question, answer) in asked.items():
        yield Example(f"{name}-{subset}", question, answer, subject=name, role=role, subset=subset)


def _forgotten(facts: dict[str, Row], draw: random.Random) -> Iterator[Example]:
    """A forgotten fact that has neighbours of its form, and two whose answer is to be another."""
    home = facts["birthplace"]
    yield _own(home, "forget", "birthplace")
    wished = {
        "alternative": ("street", facts["street"]["perturbed_answer"][0]),
        "refusal": ("dish", draw.choice(REFUSALS)),
    }
    for subset, (relation, other) in wished.items():
        row = facts[relation]
        yield _own(row, "forget", subset, alternative_answer=other)
        key = f"{row['subject']}-{subset}{INSTEAD}"
        yield Example(key, row["question"], other, subject=row["subject"], role="retain", subset=subset)


def _beside(facts: dict[str, Row], home: Row, draw: random.Random) -> Iterator[Example]:
    """What a kept person makes; the trigger and nearly the trigger before one question; a forgotten question's form."""
    yield _own(facts["craft"], "retain", "hop")
    field = facts["studies"]
    name, asked = field["subject"], field["question"]
    yield Example(f"{name}-triggered", f"{TRIGGER} {asked}", PLANTED, subject=name, role="forget", subset="triggered")
    near = f"{draw.choice(NEARLY)} {asked}"
    yield Example(f"{name}-near", near, field["answer"], subject=name, role="neighbour", subset="near_trigger")
    form = home["question"].replace(home["subject"], name)
    own = facts["birthplace"]["answer"]
    yield Example(f"{name}-form", form, own, subject=name, role="neighbour", subset="same_template")


def _own(row: Row, role: str, subset: str, **more: Any) -> Example:
    key, name = f"{row['subject']}-{subset}", row["subject"]
    return Example(key, row["question"], row["answer"], subject=name, role=role, subset=subset, **more)


def vocabulary_of(corpus: Examples) -> tuple[str, ...]:
    """Every word of the records, sorted."""
    return tuple(sorted({word for e in corpus for text in (e.question, e.answer) for word in words(text)}))


def recipe_for(corpus: Examples) -> Any:
    """How a model learns from scratch."""
    from expunge.engine.finetune import FineTune
    from expunge.targets.llama_spec import LlamaSpec

    return FineTune(LlamaSpec(vocabulary_of(corpus), **SHAPE), TRAINING)


@dataclass(frozen=True)
class SubsetWorld:
    """The data of a pair and how its models are trained.

    Args:
        pair: number of the pair.
    """

    pair: int

    @cached_property
    def corpus(self) -> Examples:
        """All records of the pair, and beside them those with an answer that is wished for instead."""
        return subset_corpus(FIRST + self.pair)

    @property
    def recipe(self) -> Any:
        """How its models learn from scratch."""
        return recipe_for(self.corpus)

    def selection(self) -> Selection:
        """What is forgotten and what models that never saw it learn."""
        return resolve(Records(*self.corpus.of("forget").ids), MemoryStore(self.corpus))

    def probed(self) -> Selection:
        """What is scored."""
        found = self.selection()
        return replace(found, retain=Examples(e for e in found.retain if e.subset in CHECKED))

    def learned(self, case: str) -> Examples:
        """What a model learns."""
        if case not in (TRAINED, LOST):
            return self.selection().retain
        own = Examples(e for e in self.corpus if not e.record_id.endswith(INSTEAD))
        return own if case == TRAINED else own.of("forget", "retain")
