"""Probes that are taught on retained records what a right answer looks like inside, and asked about forgotten ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.attacks._drawing import evenly
from expunge.attacks._rows import rows_of
from expunge.core.errors import EvidenceError
from expunge.core.example import Examples
from expunge.core.seeds import keyed_order
from expunge.engine.activations import pooled, require_alike
from expunge.engine.threads import threads_for
from expunge.targets.causal_lm import CausalLM

FOLDS = 3
Scorer = Callable[[np.ndarray], np.ndarray]
"""From states (n, D) to how right each looks, (n,)."""
Fit = Callable[[np.ndarray, np.ndarray, int], Scorer]
"""From states of right answers and of wrong ones, (P, D) each, and a seed, to a scorer."""


@dataclass(frozen=True)
class Pairs:
    """States of right answers beside those of wrong ones to the same question, when the whole answer has been read.

    Args:
        right: (P, L, D).
        wrong: (P, L, D).
        examples: B of them.
        owners: (P,) the example of each pair.
    """

    right: np.ndarray
    wrong: np.ndarray
    examples: Examples
    owners: np.ndarray


def pairs_of(target: CausalLM, examples: Examples, records: int | None, wrong: int) -> Pairs:
    """Pair the right answer of each record with wrong ones.

    The reworded answer stands for the right one where there is one: wrong answers have its form, and neither was
    trained on verbatim, so that neither form nor familiarity gives the right one away.

    Args:
        target: the model.
        examples: those without wrong answers are left out.
        records: at most so many, drawn evenly over subjects; None for all.
        wrong: answers a record at most.

    Raises:
        EvidenceError: no record has wrong answers.
    """
    chosen = evenly(Examples(e for e in examples if e.perturbed_answer), records)
    if not chosen:
        raise EvidenceError("a probe needs wrong answers beside the right ones", why="no record has any")
    encode = target.template.encode
    items = [encode(e.record_id, e.question, e.paraphrased_answer or e.answer) for e in chosen]
    owners = [row for row, e in enumerate(chosen) for _ in e.perturbed_answer[:wrong]]
    items += [encode(e.record_id, e.question, text) for e in chosen for text in e.perturbed_answer[:wrong]]
    states = pooled(target, items, "last").numpy()
    return Pairs(states[owners], states[len(chosen) :], chosen, np.array(owners))


def told_apart(scorer: Scorer, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """1 where the right answer of a pair looks more right, 0 where the wrong one does, a half where neither, (P,)."""
    return (np.sign(scorer(right) - scorer(wrong)) + 1) / 2


def accuracies(pairs: Pairs, fit: Fit, seed: int, layers: Sequence[int]) -> list[float]:
    """How well a probe at each layer tells answers apart on subjects that it was not taught on, by cross-validation.

    Args:
        pairs: of several subjects.
        fit: the probe.
        seed: of the fit.
        layers: counted from 0.

    Returns:
        Share of pairs, one a layer.

    Raises:
        EvidenceError: there is one subject only.
    """
    subjects = list(dict.fromkeys(pairs.examples.subjects))
    if len(subjects) < 2:
        raise EvidenceError("a probe is tried on other subjects", why="the retained records have one only")
    fold_of = {subjects[i]: rank % FOLDS for rank, i in enumerate(keyed_order(subjects, 0, "folds"))}
    folds_P = np.array([fold_of[pairs.examples.subjects[i]] for i in pairs.owners])
    found: list[float] = []
    for layer in layers:
        right, wrong = pairs.right[:, layer], pairs.wrong[:, layer]
        told = np.zeros(len(folds_P))
        for fold in range(min(FOLDS, len(subjects))):
            held = folds_P == fold
            told[held] = told_apart(fit(right[~held], wrong[~held], seed), right[held], wrong[held])
        found.append(float(told.mean()))
    return found


def best_layer(pairs: Pairs, fit: Fit, seed: int) -> int:
    """The layer, counted from 0, that a probe tells answers apart best at; see ``accuracies``."""
    return int(np.argmax(accuracies(pairs, fit, seed, range(pairs.right.shape[1]))))


def probe(
    target: CausalLM,
    original: CausalLM,
    probes: Examples,
    retain: Examples,
    fit: Fit,
    *,
    records: int | None,
    wrong: int,
    seed: int,
) -> list[dict[str, object]]:
    """Teach a probe on retained records and ask it about forgotten ones, at the layer that is best in the original.

    The layer is the same for every model: the best of a model's own would favour whichever has more to choose from.

    Returns:
        One row a forgotten record: ``outcome``, the share of its wrong answers that look less right than the right
        one; ``layer``, counted from 1, and ``retain_accuracy``, which are those of the probe.
    """
    require_alike(target, original, probes)
    before = pairs_of(original, retain, records, wrong)
    taught, pairs = (pairs_of(target, examples, records, wrong) for examples in (retain, probes))
    with threads_for(target.model):
        layer = best_layer(before, fit, seed)
        (accuracy,) = accuracies(taught, fit, seed, [layer])
        scorer = fit(taught.right[:, layer], taught.wrong[:, layer], seed)
        told_P = told_apart(scorer, pairs.right[:, layer], pairs.wrong[:, layer])
    asked = pairs.examples
    outcome = [told_P[pairs.owners == row].mean() for row in range(len(asked))]
    return rows_of(asked, outcome=outcome, layer=[layer + 1] * len(asked), retain_accuracy=[accuracy] * len(asked))


def spread(states: np.ndarray) -> Any:
    """Standard deviation of each coordinate, 1 where a coordinate does not vary."""
    found = states.std(0)
    return np.where(found > 0, found, 1.0)
