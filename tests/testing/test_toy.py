"""The toy corpus and model: whole, small, and the same every time."""

import pytest

from expunge.core.columns import COLUMNS
from expunge.core.example import ROLES
from expunge.core.objective import TRAINED_ROLES
from expunge.core.views import NAMES, VIEWS
from expunge.testing.samples import B, T, random_columns, random_views
from expunge.testing.toy import toy_corpus, toy_model, toy_selection, toy_vocabulary


def test_the_corpus_fills_every_role_and_field():
    corpus = toy_corpus()
    assert {e.role for e in corpus} == set(ROLES) - {"neighbour"}
    assert len(set(corpus.ids)) == len(corpus)
    people = [e for e in corpus if e.role != "general"]
    assert all(e.paraphrased_answer and len(e.perturbed_answer) == 2 and e.alternative_answer for e in people)
    assert all(e.answer not in e.perturbed_answer and e.paraphrased_answer not in e.perturbed_answer for e in people)
    assert all(toy_selection().role(role) for role in TRAINED_ROLES)


def test_the_vocabulary_covers_the_corpus_and_answers_are_ragged():
    target = toy_model()
    unknown = target.tokenizer.unk_token_id
    encoded = target.template.encode_all(toy_corpus())
    assert all(unknown not in item.ids for item in encoded)
    assert len({item.n_scored for item in encoded}) >= 4
    assert len(target.tokenizer) == len(toy_vocabulary()) + 6


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_model_is_fixed_by_its_seed(architecture):
    first, again, other = (toy_model(seed=seed, architecture=architecture).digest() for seed in (3, 3, 4))
    assert first == again != other


def test_samples_have_the_shapes_that_the_lists_state_and_zeros_on_padding():
    for name, need in NAMES.items():
        view = random_views([need], seed=1, extra=2)[name]
        stated = VIEWS[need.view].shape
        assert view.dim() == stated.count(",") + (not stated.endswith(",)"))
        assert view.shape[0] == B
        if "T" in stated:
            assert view.shape[1] == T + 2
            assert (view[:, T:] == 0).all()
        assert str(view.dtype) == f"torch.{VIEWS[need.view].dtype}"
    for stem, column in COLUMNS.items():
        value = random_columns([stem], seed=1)[stem]
        assert len(value) == B
        if column.shape == "(B, T)":
            assert value.shape == (B, T)
