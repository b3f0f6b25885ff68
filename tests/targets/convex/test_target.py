"""A convex target on file: what comes back, what is published, and that no byte of a deleted row is left."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from expunge.core.access import Access
from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.provenance import Convex
from expunge.data.table import Table
from expunge.engine.convex_opening import load_convex
from expunge.engine.recipes.convex import ConvexTraining
from expunge.targets.convex.budget import budget
from expunge.targets.convex.scaled import Scaled
from expunge.targets.convex.target import COEF, SECRET, STATE

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 3))
LABELS = np.digitize(X[:, 0], (0.0, 0.5))
IDS = [f"row-{i}" for i in range(50)]
FORMS = {
    "logistic": (LABELS > 0, {"classes": (0, 1), "intercept": True}),
    "one_vs_rest": (LABELS, {"classes": (0, 1, 2)}),
    "multinomial": (LABELS, {"classes": (0, 1, 2), "intercept": True}),
    "squared": (X[:, 0] + 0.5, {"certify_on": "residual"}),
}


def trained(loss, **more):
    y, own = FORMS[loss]
    table = Table(IDS, X, y.astype(int) if loss == "logistic" else y)
    return ConvexTraining(loss=loss, **{"scale": 5.0, "lam": 0.1, "certify_on": "bound", **own, **more}).train(
        table, seed=4
    )


@pytest.mark.parametrize("loss", FORMS)
def test_a_target_comes_back_and_forgets_as_it_would_have(loss, tmp_path):
    target = trained(loss).forgetting(["row-7", "row-9"])
    target.save(tmp_path / "m")
    again = load_convex(tmp_path / "m")
    assert again.digest() == target.digest() and set(again.ids) == set(target.ids)
    assert again.model.ledgers_ == target.model.ledgers_ and again.model.requests_ == target.model.requests_
    np.testing.assert_array_equal(again.predict(X), target.predict(X))
    np.testing.assert_array_equal(again.published.coef, target.model.coef_)
    once, more = target.forgetting(["row-3"]), again.forgetting(["row-3"])
    np.testing.assert_allclose(once.model.coef_, more.model.coef_, atol=1e-12)
    assert (more.forgotten, len(more.ids)) == (3, 47)


@pytest.mark.parametrize("loss", FORMS)
def test_no_byte_of_a_deleted_row_is_in_the_folder(loss, tmp_path):
    target, at = trained(loss), 7
    forms = [X[at], target.scaled.rows(X[at : at + 1])[0]]

    def held(folder):
        found = b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
        numbers = [value.tobytes() for row in forms[1:] for value in row[:3]]
        return [form.tobytes() in found for form in forms], [n in found for n in numbers], b'"row-7"' in found

    target.save(tmp_path / "before")
    assert held(tmp_path / "before") == ([False, True], [True] * 3, True)
    target.forgetting(["row-7"]).save(tmp_path / "after")
    assert held(tmp_path / "after") == ([False, False], [False] * 3, False)


def test_secret_and_published_are_files_of_their_own(tmp_path):
    target = trained("one_vs_rest")
    manifest = target.save(tmp_path / "m")
    assert set(load_file(tmp_path / "m" / COEF)) == {"W0", "W1", "W2"}
    assert {"X", "y", "gram", "b0", "at0", "hessian0"} < set(load_file(tmp_path / "m" / SECRET))
    assert read_json(tmp_path / "m" / "target.json")["secret"] == [SECRET, STATE]
    assert all(entry.contains_personal_data for entry in manifest.entries if entry.path != "target.json")
    handle = target.oracle(Access.all()).target
    np.testing.assert_array_equal(handle.predict(X), target.model.predict(target.scaled.rows(X)))
    assert not {"model", "noise_", "ids"} & set(dir(handle))


def test_its_provenance_is_convex_with_noise_and_budget():
    target = trained("one_vs_rest", sigma=7.0, epsilon=0.9, delta=3e-4)
    assert target.provenance == Convex(target.provenance.hessian, 7.0, budget(7.0, 0.9 / 3, 1e-4))
    assert target.provenance.hessian != target.forgetting(["row-1"]).provenance.hessian


def test_a_digest_does_not_tell_who_is_in_it():
    first, other = trained("logistic", randomness="seed"), trained("logistic", randomness="seed", salt="5a17")
    assert first.digest() == trained("logistic", randomness="seed").digest() != other.digest()
    assert first.forgetting(["row-1"]).digest() != first.digest()


@pytest.mark.parametrize("name", [COEF, SECRET, STATE])
def test_a_changed_file_is_refused(name, tmp_path):
    trained("logistic").save(tmp_path / "m")
    file = tmp_path / "m" / name
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_convex(tmp_path / "m")
    file.unlink()
    with pytest.raises(Exception, match=name):
        load_convex(tmp_path / "m")


def test_a_target_of_which_everything_went_comes_back_and_predicts_nothing(tmp_path):
    empty = trained("one_vs_rest").forgetting(IDS)
    empty.save(tmp_path / "m")
    again = load_convex(tmp_path / "m")
    assert again.digest() == empty.digest() and not again.ids and again.forgotten == 50
    with pytest.raises(TargetError, match="holds no rows"):
        again.predict(X)


def test_a_row_beyond_the_bound_is_refused_or_clipped_and_one_to_be_predicted_is_neither():
    rows = [[3.0, 4.0], [30.0, 40.0]]
    with pytest.raises(TargetError, match="row 1 has norm 50, above the bound 10"):
        Scaled(scale=10.0).rows(rows)
    np.testing.assert_allclose(Scaled(scale=10.0, norms="clip").rows(rows), [[0.3, 0.4], [0.6, 0.8]])
    np.testing.assert_allclose(Scaled(scale=10.0).rows(rows, learned=False), [[0.3, 0.4], [3.0, 4.0]])
    full = Scaled(scale=50.0, intercept=True).rows(rows)
    np.testing.assert_allclose(np.linalg.norm(full, axis=1), [np.sqrt((0.01 + 1) / 2), 1.0])
