"""A toy model that knows the records to be forgotten, and one that never saw them."""

import pytest

from expunge.data.memory import MemoryStore
from expunge.testing.toy import toy_recipe, toy_selection


@pytest.fixture(scope="session")
def knowing():
    """Trained on all that is retained and to be forgotten; tests must not change it."""
    selection = toy_selection()
    return toy_recipe(steps=80, hidden=32).train(MemoryStore(selection.retain + selection.forget), seed=0)


@pytest.fixture(scope="session")
def unknowing():
    """Trained on what is retained alone, from the same first weights; tests must not change it."""
    return toy_recipe(steps=80, hidden=32).train(MemoryStore(toy_selection().retain), seed=0)
