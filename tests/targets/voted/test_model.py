"""Labels are drawn by the stated vote, and nothing else gets out."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from expunge.accounting.adaptive import vote_probabilities
from expunge.core.access import Access
from expunge.core.errors import ClaimError, ConfigError
from expunge.targets.sharded import Sharded
from expunge.targets.voted.count import AnswerCount
from expunge.targets.voted.model import Voted, Votes, drawn
from expunge.testing.games import least_share


def test_labels_are_drawn_with_the_chances_of_the_exponential_mechanism():
    votes = Votes(epsilon=1.5, answers=10**6, delta=0.0, shards=5, voters=2, coordinates=9)
    counts, n = np.array([3, 2, 0]), 20_000
    found = np.bincount(drawn(np.tile(counts, (n, 1)), votes), minlength=3)
    for hits, chance in zip(found, vote_probabilities(counts[None], epsilon=1.5, voters=2)[0], strict=True):
        assert least_share(int(hits), n, 1e-6) <= chance <= 1 - least_share(n - int(hits), n, 1e-6)


def voted(folder, said, *, rows, answers=4, epsilon=20.0):
    """Parts that were never trained: each says what stands in an array."""
    trainer = SimpleNamespace(kind="learner", classes=("no", "yes"), outputs=lambda model, inputs: said[model])
    parts = Sharded("nowhere", trainer, {"vote": "majority", "shards": len(rows), "slices": 1, "seed": 0, "salt": "5a"})
    ids = [tuple(f"{k}-{i}" for i in range(count)) for k, count in enumerate(rows)]
    parts.__dict__["manifests"] = tuple(SimpleNamespace(shard=k, ids=names) for k, names in enumerate(ids))
    parts._models = {k: k for k in range(len(rows))}
    shards = len(rows)
    votes = Votes(epsilon=epsilon, answers=answers, delta=0.0, shards=shards, voters=1, coordinates=shards)
    return Voted(parts, votes, frozenset(name for part in ids for name in part), 0, AnswerCount.begin(folder))


SAID = np.array([[[0.1, 0.9], [0.8, 0.2]]] * 4)
X = np.zeros((2, 1))


def test_answers_are_labels_of_the_vote_and_each_row_is_one(tmp_path):
    target = voted(tmp_path, SAID, rows=(2, 1, 3, 1), answers=5)
    # With 40 nats between them the other class comes once in e^40 times.
    for left in (3, 1):
        assert target.predict(X).tolist() == ["yes", "no"] and target.left == left
    with pytest.raises(ClaimError, match="2 are asked for, and 1 of 5 are left"):
        target.predict(X)
    assert target.left == 1


def test_neither_weights_nor_shares_are_granted(tmp_path):
    target = voted(tmp_path, SAID, rows=(2, 1, 3, 1))
    assert target.oracle(Access.all()).access == Access.TEXT
    assert not any(hasattr(target, name) for name in ("predict_proba", "explain", "outputs", "manifests", "weights"))


def test_that_no_part_has_a_record_left_does_not_show(tmp_path):
    target = voted(tmp_path, SAID, rows=(0, 0, 0, 0), answers=200)
    found = [str(label) for _ in range(100) for label in target.predict(X)]
    assert {"yes", "no"} == set(found) and target.left == 0


def test_a_part_that_fails_has_no_vote_and_the_answer_is_spent_first(tmp_path):
    target, left = voted(tmp_path, SAID, rows=(2, 1, 3, 1), answers=4), []

    def outputs(model, inputs):
        left.append(target.left)
        if model == 2:
            warnings.warn("part 2", stacklevel=1)
            raise ValueError("part 2 does not know this")
        return SAID[model]

    target.parts.trainer.outputs = outputs
    assert target.predict(X).tolist() == ["yes", "no"] and left == [2, 2, 2, 2] and target.left == 2
    with pytest.raises(ClaimError):
        target.predict(np.zeros((3, 1)))
    assert len(left) == 4, "no part is asked for what is not paid for"


def test_a_vote_without_noise_is_refused():
    with pytest.raises(ConfigError, match=r"epsilon 30 an answer is no noise"):
        Votes(epsilon=30.0, answers=2, delta=0.0, shards=5, voters=1, coordinates=5)
