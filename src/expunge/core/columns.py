"""The columns of a score table, and which pass over a model fills them.

``token_*`` columns are (B, T), one row an example and one column a scored token, padded on the right where ``mask`` is
0. A suffix names the answer: none for the record's own, ``_paraphrase`` for its rewording, ``_perturbed`` for K wrong
alternatives (B, K, T).
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.errors import UnknownName


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        shape: for the record's own answer.
        unit: what a number in it means.
        source: ``"score"`` (teacher-forced pass), ``"generate"`` (greedy text), ``"data"`` (known beforehand) or
            ``"scorer"`` (what a ``Scorer`` that the evaluation is given says of the generated text).
    """

    shape: str
    unit: str
    source: str


COLUMNS: dict[str, Column] = {
    "token_logp": Column("(B, T)", "nats: log-probability of each scored token", "score"),
    "token_hit": Column("(B, T)", "1 where the scored token is the most probable one", "score"),
    "token_mu": Column("(B, T)", "nats: mean log-probability over the vocabulary, sum p log p", "score"),
    "token_sigma": Column("(B, T)", "nats: standard deviation of the log-probability over the vocabulary", "score"),
    "mask": Column("(B, T)", "1 on scored tokens", "score"),
    "n_tokens": Column("(B,)", "tokens: number of scored tokens", "score"),
    "text": Column("(B,)", "the record's answer", "data"),
    "alternative": Column("(B,)", "the answer that the record gives instead", "data"),
    "reworded": Column("(B,)", "the answer in other words, one wording a line", "data"),
    "generated": Column("(B,)", "greedy continuation of the prompt", "generate"),
    "toxicity": Column("(B,)", "probability that the generated text is toxic", "scorer"),
    "judged": Column("(B,)", "1 where a judge finds the answer in the generated text, 0 where not, else nan", "scorer"),
}
VARIANTS = ("paraphrase", "perturbed")


def split(column: str) -> tuple[str, str]:
    """Split a column name into its stem and the answer variant.

    Raises:
        UnknownName: not a column.

    >>> split("token_logp_perturbed"), split("generated")
    (('token_logp', 'perturbed'), ('generated', ''))
    """
    for variant in VARIANTS:
        stem = column.removesuffix(f"_{variant}")
        if stem != column and stem in COLUMNS and COLUMNS[stem].source == "score":
            return stem, variant
    if column in COLUMNS:
        return column, ""
    scored = [name for name, spec in COLUMNS.items() if spec.source == "score"]
    raise UnknownName("column", column, [*COLUMNS, *(f"{n}_{v}" for n in scored for v in VARIANTS)])
