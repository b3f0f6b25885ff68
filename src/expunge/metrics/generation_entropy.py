"""N-gram entropy. Source: Zhang et al. 2018 (1809.05972), 3; weighted as by Meng et al. 2022 (2202.05262)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score

WEIGHTS = {2: 2 / 3, 3: 4 / 3}


@score(
    better="reference",
    question="How varied is what the model says, in pairs and triples of words?",
    retrained="as the original; well below it, the model runs in circles",
)
def generation_entropy(generated: Sequence[str]) -> np.ndarray:
    """How varied an answer is: the entropy of its word pairs and triples. A model that was broken repeats itself.

    h = (1/2) (2/3 H_2 + 4/3 H_3),  H_n = - sum over distinct n-grams g of f_g log2 f_g

    Words are runs of letters and digits, and each other mark by itself; the paper's editing tool splits words a little
    differently. Longer answers have more: compare answers of one length limit.

    Args:
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) bits; 0 for an answer of fewer than two words.

    >>> h = generation_entropy(["red owl red owl red", "owl"])  # pairs 2 and 2 of 4: 1 bit; triples 2 and 1 of 3: 0.918
    >>> h.round(3).tolist()
    [0.946, 0.0]
    """
    words = [re.findall(r"\w+|[^\w\s]", text.casefold()) for text in generated]
    return np.array([sum(w * _entropy(said, n) for n, w in WEIGHTS.items()) / 2 for said in words], dtype=np.float64)


def _entropy(words: Sequence[str], n: int) -> float:
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not counts:
        return 0.0
    shares = np.array(sorted(counts.values())) / counts.total()
    return float(-(shares * np.log2(shares)).sum() + 0.0)
