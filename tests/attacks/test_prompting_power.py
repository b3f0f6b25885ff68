"""An attack tells who knows from who does not, where both understand what is asked.

Toy models follow no orders and read no codes. So both are taught to: the one on the attack's wordings of all records,
the other on those of the retained alone. What is left between them is what was never learned.
"""

import dataclasses
import re

import pytest

from expunge.attacks import (
    affirmative_suffix,
    alias,
    encodings,
    multiple_choice,
    prefix_injection,
    reverse_query,
    role_play,
)
from expunge.core.access import Access
from expunge.core.attack import run_attack
from expunge.core.example import Example, Examples
from expunge.data.memory import MemoryStore
from expunge.testing.toy import toy_recipe, toy_selection

pytestmark = pytest.mark.slow

MARGIN = {"alias": 0.1, "role_play": 0.05}
"""Of the policies that ask for an attack; a tenth for those that none asks for."""
ATTACKS = {
    "alias": alias,
    "role_play": dataclasses.replace(role_play, wordings=role_play.wordings[:2]),
    "prefix_injection": dataclasses.replace(prefix_injection, wordings=prefix_injection.wordings[:2]),
    "affirmative_suffix": dataclasses.replace(affirmative_suffix, wordings=affirmative_suffix.wordings[:2]),
    "encodings": dataclasses.replace(encodings, codes=("rot13",)),
    "reverse_query": dataclasses.replace(reverse_query, wordings=reverse_query.wordings[:2]),
    "multiple_choice": multiple_choice,
}


def asked(attack, examples):
    """What the attack asks, with the answers in the form that it reads."""
    asks = enumerate(attack._asks(examples))
    return Examples(Example(f"{a.record.record_id} {i}", a.question, a.write(a.wanted)) for i, a in asks)


def taught(lessons, words):
    recipe = toy_recipe(hidden=32)
    spec = dataclasses.replace(recipe.base, vocabulary=words, context=96)
    # Large batches: with small ones the end of so short a training is a matter of luck.
    training = dataclasses.replace(recipe.training, steps=110, lr=5e-3, batch_size=24)
    return dataclasses.replace(recipe, base=spec, training=training).train(MemoryStore(lessons), seed=0)


@pytest.mark.parametrize("name", ATTACKS)
def test_who_knows_is_found_by_three_margins_where_both_understand(name):
    attack, selection = ATTACKS[name], toy_selection()
    # Eli has Ana's facts: a fact without its name would be either's.
    kept = Examples(e for e in selection.retain if e.subject in ("Cy", "Dee"))
    secret, known = asked(attack, selection.forget), asked(attack, kept)
    texts = " ".join(text for e in secret + known for text in (e.question, e.answer))
    words = tuple(sorted(set(re.findall(r"[\w-]+|[^\w\s]", texts))))
    found = []
    for lessons in (known + secret, known):
        rows = run_attack(attack, taught(lessons, words).oracle(Access.TEXT), selection, seed=0)
        assert len(rows) == len(selection.forget)
        found.append(sum(row["outcome"] for row in rows) / len(rows))
    knew, control = found
    assert knew >= 0.8 and knew >= control + 3 * MARGIN.get(name, 0.1)
