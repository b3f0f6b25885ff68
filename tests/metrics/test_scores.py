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
    shape = columns["mask"].shape
    columns["token_hit"] = columns["mask"] * rng.integers(0, 2, shape)
    columns["token_mu"] = columns["mask"] * -rng.exponential(2.0, shape)
    columns["token_sigma"] = columns["mask"] * rng.exponential(1.0, shape)
    return {**columns, "text": np.array([f"answer {i} " * int(i) for i in rng.integers(0, 9, items)])}


@pytest.mark.parametrize("name", LOGPROB_SCORES)
@given(seed=st.integers(0, 1000), extra=st.integers(1, 4), noise=st.sampled_from([np.nan, 7.0, -np.inf]))
def test_padding_changes_nothing(name, seed, extra, noise):
    columns = table(seed)

    def pad(column, value):
        return (
            column
            if column.ndim == 1
            else np.concatenate([column, np.full((*column.shape[:-1], extra), value)], axis=-1)
        )

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
        if key != "text":
            column[1] = np.nan if key.startswith("token") else 0.0
    values = SCORES[name].of(columns)
    # A score of some records only has none either where the answer is too short for it.
    applies = (columns["mask"].sum(-1) > 2) | (not SCORES[name].partial)
    assert np.isnan(values[1]) and np.isfinite(np.delete(values, 1)[np.delete(applies, 1)]).all()


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_no_column_at_all_is_no_value(name):
    empty = {key: column if key == "text" else column[..., :0] for key, column in table(3).items()}
    assert np.isnan(SCORES[name].of(empty)).all()
    empty |= {f"{stem}_perturbed": np.zeros((5, 0, 0)) for stem in ("token_logp", "mask")}
    assert np.isnan(SCORES[name].of(empty)).all()


@pytest.mark.parametrize("name", LOGPROB_SCORES)
def test_impossible_answers_have_a_value(name):
    columns = {k: np.where(v < 0, -np.inf, v) if k.startswith("token_logp") else v for k, v in table(4).items()}
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
        SCORES["zlib_ratio"](np.zeros((2, 3)), np.ones((2, 3)), ["a"])
    for name in ("rouge_1", "rouge_l", "rouge_l_f1"):
        with pytest.raises(EvidenceError, match="differ in number"):
            SCORES[name](["a"], [])


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


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=8), min_size=1, max_size=5))
def test_extraction_strength_is_the_longest_suffix_that_follows_by_itself(rows):
    widest = max(len(row) for row in rows)
    hit = np.array([[*row, *[False] * (widest - len(row))] for row in rows], dtype=float)
    mask = np.array([[k < len(row) for k in range(widest)] for row in rows], dtype=float)
    want = [1 - min(k for k in range(len(row) + 1) if all(row[k:])) / len(row) for row in rows]
    np.testing.assert_allclose(SCORES["extraction_strength"](hit, mask), want, atol=1e-12)
    np.testing.assert_allclose(SCORES["exact_memorization"](hit, mask), [np.mean(row) for row in rows], atol=1e-12)


@pytest.mark.parametrize("name", [name for name, found in SCORES.items() if found.attack])
def test_an_attack_finds_a_likely_text_to_be_a_member(name):
    columns = table(6)
    # Nearer to 0 by half wherever the text is scored.
    likely = {**columns, "token_logp": columns["token_logp"] / 2}
    assert (SCORES[name].of(likely) > SCORES[name].of(columns)).all()
