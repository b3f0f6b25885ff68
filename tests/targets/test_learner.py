"""A learner as a target: kept as numbers and JSON, found again whole or refused, its digest salted."""

import json

import numpy as np
import pytest

from expunge.core.access import Access
from expunge.core.errors import ConfigError, StoreError, TargetError, UnknownName
from expunge.core.protocols import Target
from expunge.core.provenance import Statistics
from expunge.core.registry import learners
from expunge.targets.learner import Learner, instead_of, load_learner, make, name_of
from expunge.targets.learners.exact_pipeline import ExactPipeline
from expunge.testing.learner_contract import sample_rows

SETTINGS = {
    "coreset": {"learner": {"learner": "nearest_centroid"}, "per_class": 2},
    "exact_pipeline": {"steps": [["scale", {"learner": "standard_scaler"}], ["bayes", {"learner": "lda"}]]},
    "kernel_density": {"bandwidth": 0.5},
    "knn_classifier": {"neighbours": 2},
    "quantised_k_means": {"n_clusters": 2},
}


def fitted(name, **more) -> Learner:
    learner = make(name, SETTINGS.get(name, {}) | more)
    sample = sample_rows(learner, n=20, seed=1)
    return Learner(learner.fit(sample.X, sample.y, ids=sample.ids), "5a17")


@pytest.mark.parametrize("name", learners.names())
def test_every_learner_is_kept_as_numbers_and_json_and_found_again(tmp_path, name):
    target = fitted(name)
    target = target.unlearn(["row-3"])
    assert isinstance(target, Target) and name_of(target.estimator) == name
    manifest = target.save(tmp_path / "model")
    assert {e.path for e in manifest.entries} == {"state.json", "state.safetensors", "target.json"}
    assert all(e.contains_personal_data for e in manifest.entries)
    found = load_learner(tmp_path / "model")
    assert found.digest() == target.digest() and found.ids == target.ids
    assert found.unlearn(["row-5"]).digest() == target.unlearn(["row-5"]).digest()
    kept = b"".join(p.read_bytes() for p in (tmp_path / "model").iterdir())
    assert b'"row-4"' in kept and b'"row-3"' not in kept


def test_the_target_says_what_it_is_and_grants_its_weights():
    target = fitted("exact_pipeline")
    assert target.kind == "learner"
    assert target.provenance == Statistics(("exact_pipeline", "standard_scaler", "lda"))
    assert target.oracle(Access.all()).access == Access.WEIGHTS
    assert target.exactness == "bitwise" and fitted("ridge", exactness="1e-12").exactness == "1e-12"


def test_the_provenance_of_a_coreset_names_what_is_inside_and_which_rows_were_chosen(tmp_path):
    target = fitted("coreset")
    *names, chosen = target.provenance.sums
    assert names == ["coreset", "nearest_centroid"] and chosen.startswith("used sha256:")
    target.save(tmp_path / "model")
    assert load_learner(tmp_path / "model").provenance == target.provenance
    estimator = target.estimator
    for other in (Learner(estimator, "beef"), target.unlearn([estimator.chosen_[0]])):
        assert other.provenance.sums[:2] == target.provenance.sums[:2] and other.provenance != target.provenance
    unused = make("coreset", SETTINGS["coreset"] | {"weighted": False})
    X = np.array([[0.0], [1.0], [2.0], [9.0]])
    whole = Learner(unused.fit(X, list("aaab"), ids=list("wxyz")))
    less = whole.unlearn([next(name for name in "wxy" if name not in unused.chosen_)])
    assert "not touched" in less.estimator.last_deletion_ and less.provenance == whole.provenance


def test_the_digest_covers_salt_kind_state_and_ids():
    target = fitted("nearest_centroid")
    others = [Learner(target.estimator), Learner(target.estimator, "beef"), target.unlearn(["row-1"]), fitted("lda")]
    assert len({target.digest(), *(one.digest() for one in others)}) == 5
    assert target.unlearn([]).digest() == target.digest()
    with pytest.raises(StoreError, match="nobody"):
        target.unlearn(["nobody"])


@pytest.mark.parametrize("file", ["state.json", "state.safetensors", "target.json"])
@pytest.mark.parametrize("harm", ["cut", "gone", "changed"])
def test_a_damaged_folder_is_refused(tmp_path, file, harm):
    folder = tmp_path / "model"
    fitted("gaussian_naive_bayes").save(folder)
    path, data = folder / file, (folder / file).read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif file == "state.safetensors":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 64]))
    else:
        told = json.loads(data)
        told.update({"salt": "00"} if file == "target.json" else {"ids": [*told["ids"][:-1], "other"]})
        path.write_text(json.dumps(told))
    with pytest.raises((TargetError, StoreError)):
        load_learner(folder)


def test_a_card_names_only_what_the_registry_knows(tmp_path):
    fitted("lda").save(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "target.json").read_text())
    (tmp_path / "model" / "target.json").write_text(json.dumps(card | {"learner": "os.system"}))
    with pytest.raises(UnknownName, match="unknown learner"):
        load_learner(tmp_path / "model")
    (tmp_path / "model" / "target.json").write_text(json.dumps(card | {"loader": "sharded"}))
    with pytest.raises(TargetError, match="holds no learner"):
        load_learner(tmp_path / "model")


def test_a_save_that_fails_leaves_nothing(tmp_path):
    class Odd:
        ids_, exactness = frozenset(), "bitwise"

        def state(self):
            return {"words": np.array(["a"])}

    with pytest.raises(TargetError):
        Learner(Odd()).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_learners_are_made_by_name_and_settings_also_within_one_another():
    made = make("exact_pipeline", SETTINGS["exact_pipeline"])
    assert isinstance(made, ExactPipeline) and [name for name, _ in made.steps] == ["scale", "bayes"]
    with pytest.raises(ConfigError, match="the settings of ridge do not fit"):
        make("ridge", {"penalti": 1.0})
    with pytest.raises(UnknownName, match="Did you mean 'ridge'"):
        make("rigde", {})


def test_what_cannot_forget_is_told_what_can():
    from sklearn.cluster import KMeans
    from sklearn.neighbors import KernelDensity
    from sklearn.tree import DecisionTreeClassifier

    assert instead_of(KernelDensity()).startswith("Use kernel_density of expunge.targets.learners")
    assert "quantised_k_means" in instead_of(KMeans) and "Use one of" in instead_of(DecisionTreeClassifier())
