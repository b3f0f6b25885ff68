"""Knowledge memorisation. Source: MUSE, Shi et al. 2024 (2407.06460), section 3.1, criterion 2, and its code's cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._rouge import rouge

END = re.compile(r"\n\n|\nQuestion|Question:")


def first_answer(said: str) -> str:
    """What comes before a blank line or "Question", where a few-shot continuation goes on to the next one.

    Args:
        said: () words.

    Returns:
        () words.

    >>> first_answer("In Oslo.\\nQuestion: Where?"), first_answer("A question. Question by question.\\n\\nIn Rome.")
    ('In Oslo.', 'A question. Question by question.')
    """
    return END.split(said, maxsplit=1)[0]


@score(
    better="reference",
    question="Does the model answer questions about what was forgotten, beyond what it copies word for word?",
    retrained="what an honest guess of the same form shares with the answer",
)
def knowledge_memorization(text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """How alike the answer and the first answer given are; what follows it answers nothing and is cut off.

    f = 2 LCS(answer, first) / (|answer| + |first|),  on stemmed words

    Verbatim memorisation, the other of the two, is ``rouge_l_f1`` where a record's question is the beginning of a text
    and its answer the continuation.

    Args:
        text: (B,) words. the record's answer.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) in [0, 1]; 0 where either has no words.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.

    >>> knowledge_memorization(["She was born in Oslo."], ["Born in Oslo.\\n\\nQuestion: Who?"])  # 2 * 3 / (5 + 3)
    array([0.75])
    """
    return rouge("rougeL", "fmeasure", text, [first_answer(said) for said in generated])
