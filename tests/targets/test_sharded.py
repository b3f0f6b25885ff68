"""What parts say becomes one answer by a stated vote, and every answer says whose it is."""

from types import SimpleNamespace

import numpy as np
import pytest

from expunge.core.errors import TargetError
from expunge.targets.sharded import Sharded, link_tree

SAID = np.array(
    [[[0.6, 0.4, 0.0], [0.1, 0.1, 0.8]], [[0.2, 0.8, 0.0], [0.4, 0.4, 0.2]], [[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]]]
)
X = np.zeros((2, 1))


def target(vote, rows=(1, 3, 2), classes=("a", "b", "c"), said=SAID):
    """Parts that were never trained: each says what stands in an array."""
    trainer = SimpleNamespace(kind="classifier", classes=classes, outputs=lambda model, inputs: said[model])
    found = Sharded("nowhere", trainer, {"vote": vote, "shards": len(rows), "slices": 1, "seed": 0})
    ids = [tuple(f"{k}-{i}" for i in range(count)) for k, count in enumerate(rows)]
    found.__dict__["manifests"] = tuple(SimpleNamespace(shard=k, ids=names) for k, names in enumerate(ids))
    found._models = {k: k for k in range(len(rows))}
    return found


def test_a_majority_counts_labels_and_a_tie_goes_to_the_lowest():
    assert np.allclose(target("majority").predict_proba(X), [[1 / 3, 1 / 3, 1 / 3], [2 / 3, 0, 1 / 3]])
    assert target("majority").predict(X).tolist() == ["a", "a"]


def test_a_mean_weighs_parts_alike_and_a_weighted_one_by_the_rows_they_have_now():
    assert np.allclose(target("mean").predict_proba(X), SAID.mean(axis=0))
    weighted = (SAID * np.array([1, 3, 2])[:, None, None]).sum(axis=0) / 6
    assert np.allclose(target("weighted").predict_proba(X), weighted)
    assert np.allclose(target("weighted", rows=(1, 1, 1)).predict_proba(X), SAID.mean(axis=0))


@pytest.mark.parametrize("vote", ["majority", "mean", "weighted"])
def test_a_part_without_records_is_not_asked(vote):
    emptied, two = target(vote, rows=(1, 0, 2)), target(vote, rows=(1, 2), said=SAID[[0, 2]])
    assert np.allclose(emptied.predict_proba(X), two.predict_proba(X))
    with pytest.raises(TargetError, match="holds no record any more"):
        target(vote, rows=(0, 0, 0)).predict(X)


def test_an_explanation_names_every_part_and_adds_up_to_the_answer():
    first, second = target("weighted", rows=(1, 0, 3)).explain(X)
    assert [(p.shard, p.says, p.weight, p.agrees) for p in second.parts] == [
        (0, "c", 0.25, False),
        (2, "a", 0.75, True),
    ]
    assert second.answer == "a" and second.silent == (1,)
    assert np.allclose(second.shares, sum(p.weight * np.array(p.outputs) for p in second.parts))
    assert second.margin == pytest.approx(second.shares[0] - second.shares[2])
    assert first.answer == "a" and first.margin == pytest.approx(0.375 - 0.325)
    tie = target("majority").explain(X)[0]
    assert tie.margin == 0 and tie.answer == "a" and [p.agrees for p in tie.parts] == [True, False, False]


def test_values_are_averaged():
    values = np.array([[[1.0], [2.0]], [[3.0], [6.0]]])
    found = target("majority", rows=(1, 1), classes=(), said=values)
    assert found.predict(X).tolist() == [2.0, 4.0]
    assert [p.says for p in found.explain(X)[1].parts] == [2.0, 6.0]
    with pytest.raises(TargetError, match="have no probabilities"):
        found.predict_proba(X)
    both = target("mean", rows=(1, 1), classes=(), said=np.concatenate([values, -values], axis=2))
    assert both.predict(X).tolist() == [[2.0, -2.0], [4.0, -4.0]]


def test_a_tree_is_copied_where_it_cannot_be_linked(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")

    def refuses(source, goal):
        raise OSError(18, "Invalid cross-device link")

    link_tree(tmp_path / "a", tmp_path / "linked")
    monkeypatch.setattr("os.link", refuses)
    link_tree(tmp_path / "a", tmp_path / "copied")
    inodes = [(tmp_path / name / "b" / "c").stat().st_ino for name in ("a", "linked", "copied")]
    assert inodes[0] == inodes[1] != inodes[2] and (tmp_path / "copied" / "b" / "c").read_text() == "x"
