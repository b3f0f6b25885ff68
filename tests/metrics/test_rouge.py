"""ROUGE against the package that the field uses, on any text."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from expunge.core.errors import MissingExtra
from expunge.metrics import _rouge
from expunge.metrics._rouge import rouge, words

PACKAGE = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
WORDS = ("the", "author", "authors", "writing", "written", "was", "1991", "flies", "dying", "Ünal", "İzmir", "a", "-")
texts = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
    st.text(st.sampled_from("abAB ey's.\n\u0130\u00df"), max_size=40),
)


@given(texts, texts)
@example("", "")
@example("", "word")
@example("... !", "word")
@example("word word word", "word")
@example("\u0130\ufb01n \u212aelvin", "\u0130 n kelvin")
@example("skies dying " * 80, "dying skies " * 80)
def test_every_number_is_the_package_s(want, got):
    theirs = PACKAGE.score(want, got)
    for kind in ("rouge1", "rougeL"):
        for part in ("recall", "precision", "fmeasure"):
            assert rouge(kind, part, [want], [got])[0] == getattr(theirs[kind], part)


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_a_pair_depends_on_itself_alone(pairs):
    wants, gots = [w for w, _ in pairs], [g for _, g in pairs]
    together = rouge("rougeL", "fmeasure", wants, gots)
    apart = [rouge("rougeL", "fmeasure", [w], [g])[0] for w, g in pairs]
    np.testing.assert_array_equal(together, apart)


@given(texts)
def test_words_are_the_package_s(text):
    assert list(words(text)) == PACKAGE._tokenizer.tokenize(text)


def test_without_the_stemmer_the_install_line_is_given(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nltk.stem.porter", None)
    _rouge._stemmer.cache_clear()
    _rouge._stem.cache_clear()
    words.cache_clear()
    with pytest.raises(MissingExtra, match="ROUGE"):
        rouge("rouge1", "recall", ["longer"], ["longer"])
    _rouge._stemmer.cache_clear()
