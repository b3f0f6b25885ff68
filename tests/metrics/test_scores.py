"""Scores: what every one of them must do, whatever the formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.core.measure import Score
from expunge.core.registry import metrics

SCORES = {name: found for name, found in metrics.items() if isinstance(found, Score)}
LOGPROB_SCORES = [name for name, found in SCORES.items() if found.access is Access.LOGPROBS]


def table(seed: int, items: int = 5, tokens: int = 6, wrong: int = 3) -> dict[str, np.ndarray]:
    """Random columns of every answer variant, each row with its own number of scored tokens."""
    rng = np.random.default_rng(seed)
    columns = {}
    for suffix, shape in (("", ()), ("_paraphrase", ()), ("_perturbed", (wrong,))):
        lengths = rng.integers(1, tokens + 1, size=(items, *shape))
        mask = (np.arange(tokens) < lengths[..., None]).astype(float)
        columns[f"mask{suffix}"] = mask
        columns[f"token_logp{suffix}"] = np.where(mask > 0, -rng.exponential(2.0, mask.shape), 0.0)
    return columns


@pytest.mark.parametrize("name", LOGPROB_SCORES)
@given(seed=st.integers(0, 1000), extra=st.integers(1, 4), noise=st.sampled_from([np.nan, 7.0, -np.inf]))
def test_padding_changes_nothing(name, seed, extra, noise):
    columns = table(seed)

    def pad(column, value):
        return np.concatenate([column, np.full((*column.shape[:-1], extra), value)], axis=-1)

    wide = {key: pad(column, 0.0 if key.startswith("mask") else noise) for key, column in columns.items()}
    np.testing.assert_allclose(SCORES[name].of(wide), SCORES[name].of(columns), rtol=1e-12)


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_an_item_depends_on_itself_alone(name):
    columns = table(1)
    whole = SCORES[name].of(columns)
    order = np.array([3, 0, 4, 2, 1])
    np.testing.assert_array_equal(SCORES[name].of({k: v[order] for k, v in columns.items()}), whole[order])
    np.testing.assert_allclose(SCORES[name].of({k: v[2:3] for k, v in columns.items()}), whole[2:3], rtol=1e-12)


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_an_item_without_scored_tokens_has_no_value(name):
    columns = table(2)
    for key, column in columns.items():
        column[1] = np.nan if key.startswith("token") else 0.0
    values = SCORES[name].of(columns)
    assert np.isnan(values[1]) and np.isfinite(np.delete(values, 1)).all()


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_no_column_at_all_is_no_value(name):
    empty = {key: column[..., :0] for key, column in table(3).items()}
    assert np.isnan(SCORES[name].of(empty)).all()
    empty |= {f"{stem}_perturbed": np.zeros((5, 0, 0)) for stem in ("token_logp", "mask")}
    assert np.isnan(SCORES[name].of(empty)).all()


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_impossible_answers_have_a_value(name):
    columns = {k: np.where(v < 0, -np.inf, v) for k, v in table(4).items()}
    assert not np.isnan(SCORES[name].of(columns)).any()


@pytest.mark.parametrize("name", ["probability_options", "truth_ratio"])
def test_an_absent_wrong_answer_is_left_out(name):
    columns = table(5)
    fewer = {k: v[:, :2] if k.endswith("perturbed") else v for k, v in columns.items()}
    columns["mask_perturbed"][:, 2] = 0.0
    np.testing.assert_allclose(SCORES[name].of(columns), SCORES[name].of(fewer), rtol=1e-12)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(EvidenceError, match="differ in shape"):
        SCORES["probability"](np.zeros((2, 3)), np.ones((2, 2)))
    with pytest.raises(EvidenceError, match="differ in number"):
        SCORES["rouge_l"](["a"], [])


def test_declarations():
    assert SCORES["min_k"].attack is Access.LOGPROBS
    assert SCORES["rouge_l"].access is Access.TEXT
    assert SCORES["truth_ratio"].needs == (
        "token_logp_paraphrase",
        "mask_paraphrase",
        "token_logp_perturbed",
        "mask_perturbed",
    )


def test_truth_ratio_averages_geometrically():
    right, wrong = np.log([[0.5]]), np.log([[[0.1], [0.4]]])
    assert SCORES["truth_ratio"](right, right < 0, wrong, wrong < 0)[0] == pytest.approx(0.4)
    arithmetic = (0.1 + 0.4) / 2 / 0.5
    assert arithmetic == pytest.approx(0.5)
