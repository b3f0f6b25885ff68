"""Words weighed by how few documents hold them. Source: Spärck Jones 1972; the smoothed form of scikit-learn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners._learner import Learner, State

WORD = r"(?u)\b\w\w+\b"


class TFIDF(TransformerMixin, Learner):
    """Each row is count_w (log((1 + n) / (1 + df_w)) + 1) over the vocabulary, divided by its length.

    The vocabulary itself is a statistic: a word of forgotten documents alone is no feature any more. Counts are
    integers, so it is always ``bitwise``. What is kept of a document is the sorted list of its words.

    Args:
        pattern: regular expression of a word; text is lowered before.
        least: documents that must hold a word for it to be a feature.

    >>> tfidf = TFIDF(least=2).fit(["red cat", "red dog red", "blue dog", "blue sky"]).unlearn(["3"])
    >>> tfidf.get_feature_names_out().tolist(), tfidf.transform(["dog dog red cat"]).round(4).tolist()
    (['dog', 'red'], [[0.8944, 0.4472]])
    """

    features = "text"

    _documents: Mapping[str, int] = {}

    def __init__(self, *, pattern: str = WORD, least: int = 1) -> None:
        self.pattern, self.least = pattern, least

    def _check_settings(self) -> None:
        if self.least < 1:
            raise ConfigError("a feature is held by at least one document", why=f"least is {self.least!r}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"{self.pattern!r} is no regular expression", why=str(error)) from error

    def _words(self, X: Any) -> list[list[str]]:
        texts = [] if isinstance(X, str) else list(X)
        if isinstance(X, str) or not all(isinstance(text, str) for text in texts):
            raise TargetError("the documents are not a list of strings")
        word = re.compile(self.pattern)
        return [word.findall(text.lower()) for text in texts]

    def _taken(self, X: Any, *, new: bool) -> NDArray[Any]:
        """The distinct words of each document, sorted."""
        return self._loaded([tuple(sorted(set(words))) for words in self._words(X)])

    @staticmethod
    def _loaded(X: Sequence[Sequence[str]]) -> NDArray[Any]:
        rows = np.empty(len(X), object)
        rows[:] = [tuple(words) for words in X]
        return rows

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._documents = Counter(self._documents) + Counter(word for words in X for word in words)

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._documents = Counter(self._documents) - Counter(word for words in X for word in words)

    @property
    def n_features_in_(self) -> int:
        """Words of the vocabulary."""
        return len(self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """(features,) the vocabulary, sorted."""
        self._require_rows()
        return np.array(sorted(word for word, n in self._documents.items() if n >= self.least), dtype=object)

    @property
    def idf_(self) -> NDArray[np.float64]:
        """(features,) weight of each word."""
        held = np.array([self._documents[word] for word in self.get_feature_names_out()], np.float64)
        return np.log((1 + len(self._rows)) / (1 + held)) + 1

    def transform(self, X: Any) -> NDArray[np.float64]:
        """(n, features) weighed documents of length 1, or 0 where no word is known."""
        self._require_rows()
        place = self._once("place", lambda: {word: i for i, word in enumerate(self.get_feature_names_out())})
        documents = self._words(X)
        counts = np.zeros((len(documents), len(place)))
        for row, words in zip(counts, documents, strict=True):
            for word in words:
                if word in place:
                    row[place[word]] += 1
        weighed = counts * self._once("idf", lambda: self.idf_)
        length = np.sqrt((weighed * weighed).sum(axis=1, keepdims=True))
        return weighed / np.where(length > 0, length, 1.0)

    def _statistics(self) -> State:
        return {"documents": dict(sorted(self._documents.items()))}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._documents = Counter(state["documents"])


tfidf = TFIDF
