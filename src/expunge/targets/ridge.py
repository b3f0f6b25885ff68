"""Ridge regression kept as sums over records. Source: Hoerl & Kennard 1970; Cao & Yang 2015, section 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, digest_bytes
from expunge.core.errors import StoreError, TargetError
from expunge.core.example import Example
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Provenance, Statistics

F = NDArray[np.float64]


@dataclass(frozen=True)
class BagOfWords:
    """Features and targets of a record: which words its question has, and which relation it is about.

    Args:
        words: fixed beforehand, so that no feature depends on who is in the corpus.
        relations: fixed beforehand.
    """

    words: tuple[str, ...]
    relations: tuple[str, ...]

    def rows(self, examples: Iterable[Example]) -> tuple[F, F]:
        """X (n, d) word counts with a constant last, Y (n, m) one-hot relations.

        Raises:
            StoreError: a relation is not in the list.
        """
        items = tuple(examples)
        column = {word: i for i, word in enumerate(self.words)}
        X = np.zeros((len(items), len(self.words) + 1))
        Y = np.zeros((len(items), len(self.relations)))
        X[:, -1] = 1.0
        for row, example in enumerate(items):
            if example.relation not in self.relations:
                raise StoreError(f"record {example.record_id!r} has the unknown relation {example.relation!r}")
            Y[row, self.relations.index(example.relation)] = 1.0
            for word in example.question.lower().replace("?", " ").split():
                if word in column:
                    X[row, column[word]] += 1.0
        return X, Y


def _check_once(examples: Iterable[Example]) -> None:
    counts = Counter(example.record_id for example in examples)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise StoreError(f"record {twice[0]!r} is given more than once", why="its row would count more than once")


@dataclass(frozen=True)
class RidgeLearner:
    """min_W |X W - Y|^2 + penalty |W|^2, held as A = X'X + penalty I and c = X'Y. The penalty does not grow with n.

    Args:
        features: makes rows of records.
        A: (d, d).
        c: (d, m).
        ids: records that are in the sums.
        salt: hex; keeps the digest from telling who is in the sums.
    """

    features: BagOfWords
    A: F
    c: F
    ids: frozenset[str]
    salt: str = ""
    kind: Literal["learner"] = "learner"

    @classmethod
    def fit(cls, features: BagOfWords, examples: Sequence[Example], *, penalty: float, salt: str = "") -> RidgeLearner:
        """Sum over examples.

        Raises:
            TargetError: the penalty is not positive.
            StoreError: a record comes twice.
        """
        if not penalty > 0:
            raise TargetError("ridge needs a penalty above 0", why=f"got {penalty:g}")
        _check_once(examples)
        X, Y = features.rows(examples)
        A = X.T @ X + penalty * np.eye(X.shape[1])
        return cls(features, A, X.T @ Y, frozenset(e.record_id for e in examples), salt)

    @property
    def coefficients(self) -> F:
        """W (d, m) = A^-1 c, by Cholesky."""
        from scipy.linalg import cho_factor, cho_solve

        return cho_solve(cho_factor(self.A, lower=True), self.c)

    def unlearn(self, examples: Sequence[Example]) -> RidgeLearner:
        """Subtract examples from the sums; the old learner stays valid.

        Raises:
            StoreError: a record is not in the sums, or comes twice; subtracting it would corrupt them.
        """
        _check_once(examples)
        unknown = sorted({e.record_id for e in examples} - self.ids)
        if unknown:
            raise StoreError(f"record {unknown[0]!r} is not in this learner", why=f"{len(unknown)} such records")
        X, Y = self.features.rows(examples)
        left = self.ids - {e.record_id for e in examples}
        return RidgeLearner(self.features, self.A - X.T @ X, self.c - X.T @ Y, left, self.salt)

    @property
    def provenance(self) -> Provenance:
        """Sums over records."""
        return Statistics(("A", "c"))

    def digest(self) -> str:
        """Digest over the sums and the ids."""
        return digest([self.salt, digest_bytes(self.A.tobytes()), digest_bytes(self.c.tobytes()), sorted(self.ids)])

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants the weights."""
        return Oracle(self, access & Access.WEIGHTS)

    def save(self, path: Path) -> Manifest:
        """Write the sums as safetensors and the ids as JSON."""
        from safetensors.numpy import save_file

        with replace_folder(Path(path)) as folder:
            save_file({"A": self.A, "c": self.c}, folder / "sums.safetensors")
            card: dict[str, Any] = {"kind": self.kind, "digest": self.digest(), "ids": sorted(self.ids)}
            write_json(folder / "target.json", card)
        files = sorted(p for p in Path(path).rglob("*") if p.is_file())
        return Manifest(tuple(entry(Path(path), p, personal=True) for p in files))
