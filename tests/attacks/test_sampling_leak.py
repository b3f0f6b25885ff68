"""leak@k: an unbiased estimate over all subsets, from samples that depend on the record alone."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks import sampling_leak
from expunge.attacks.sampling_leak import best_of
from expunge.core.access import Access, Oracle
from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.example import Examples
from expunge.engine.generate import _sampling, generate
from expunge.testing.toy import toy_model, toy_selection

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8)


@given(VALUES, st.data())
def test_it_is_the_mean_over_all_subsets_of_their_best(values, data):
    k = data.draw(st.integers(1, len(values)))
    subsets = [max(subset) for subset in itertools.combinations(values, k)]
    assert best_of(values, k) == pytest.approx(sum(subsets) / len(subsets), rel=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_for_hits_it_is_the_formula_of_leak_at_k(hits, data):
    n, c = len(hits), sum(hits)
    k = data.draw(st.integers(1, n))
    assert best_of([float(hit) for hit in hits], k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))


def test_draws_depend_on_the_seed_and_rows_tell_what_was_drawn():
    target, forget = toy_model(seed=2), toy_selection().forget
    warm = dataclasses.replace(sampling_leak, hit=0.2, temperature=0.7)
    rows = warm.run(target.oracle(Access.all()), forget, seed=0)
    assert (
        rows
        == warm.run(target.oracle(Access.all()), forget, seed=0)
        != warm.run(target.oracle(Access.all()), forget, seed=1)
    )
    for row in rows:
        assert (row["k"], row["samples"]) == (8.0, 16.0)
        n, c, k = 16, int(row["hits"]), 8
        assert row["outcome"] == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))
        assert row["share"] >= row["outcome"] * warm.hit
    assert any(0 < row["hits"] < 16 for row in rows)


def test_a_filter_keeps_filtering_samples():
    silent = Oracle(toy_model(seed=2), Access.TEXT, filter=lambda prompt, answer: "")
    assert not any(row["hits"] or row["share"] for row in sampling_leak.run(silent, toy_selection().forget, seed=0))


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"k": 17}, {"k": 0}, {"temperature": 0.0}):
        with pytest.raises(ConfigError):
            dataclasses.replace(sampling_leak, **wrong)
    long = Examples([dataclasses.replace(toy_selection().forget[0], question="Oslo " * 44)])
    with pytest.raises(EvidenceError, match="no question fits"):
        sampling_leak.run(toy_model().oracle(Access.TEXT), long, seed=0)


def test_a_prompt_is_read_once_however_many_answers_are_drawn():
    target, forget = toy_model(seed=2), toy_selection().forget
    read = []
    hook = target.model.base_model.register_forward_pre_hook(
        lambda _, args, kept: read.append(kept["input_ids"].shape), with_kwargs=True
    )
    questions = [e.question for e in forget for _ in range(10)]
    keys = [f"{e.record_id} {i}" for e in forget for i in range(10)]
    together = generate(target, questions, max_new_tokens=5, temperature=1.0, seed=3, keys=keys)
    hook.remove()
    assert max(rows for rows, width in read if width > 1) <= len(forget)
    assert max(rows for rows, width in read if width == 1) > len(forget)
    assert len(set(together)) > len(forget)
    apart = [
        generate(target, [q], max_new_tokens=5, temperature=1.0, seed=3, keys=[k])[0]
        for q, k in zip(questions, keys, strict=True)
    ]
    assert together == apart


def test_a_draw_is_the_quantile_of_a_number_of_the_rows_own():
    logits = torch.tensor([[0.0, -torch.inf, 2.0, 1.0], [-torch.inf, -torch.inf, -torch.inf, 0.0]])
    draw = _sampling(["a", "b"], 2.0, 0)
    drawn = torch.stack([draw([0, 1], logits) for _ in range(4000)])
    assert set(drawn[:, 1].tolist()) == {3}
    shares = torch.bincount(drawn[:, 0], minlength=4) / 4000
    want = (logits[0] / 2).softmax(0)
    assert shares[1] == 0 and (shares - want).abs().max() < 4 * (0.25 / 4000) ** 0.5
    alone = _sampling(["b", "a"], 2.0, 0)
    assert [int(alone([1], logits[:1])) for _ in range(50)] == drawn[:50, 0].tolist()
