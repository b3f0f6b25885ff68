"""Several answers to one question: what they have in common runs once, the rest from its keys and values.

One answer of each question is run whole, and the others continue from where they leave it: after the prompt at the
least, far later where a wrong answer is the right one with a name exchanged. See ``engine.prompts`` for what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.passes import groups_of, start_cost
from expunge.engine.prompts import Prompts, go_on
from expunge.engine.together import dealt
from expunge.engine.views import run_states
from expunge.targets.model_facts import ModelFacts


@dataclass(frozen=True)
class Swept:
    """States that predict the scored tokens of some sequences, flat.

    Args:
        positions: of the sequences among those that were asked for.
        final: (N, D) after the final norm.
        labels: (N,) ids of the scored tokens.
        counts: scored tokens of each sequence; they sum to N.
        same: for each sequence, one that came before or itself, and with how many of that one's scored tokens it
            begins, states included.
    """

    positions: list[int]
    final: Tensor
    labels: Tensor
    counts: list[int]
    same: list[tuple[int, int]]


def by_prompt(items: Sequence[Encoded]) -> tuple[list[list[int]], list[int]]:
    """Positions of sequences that share a prompt with another, group by group, and of those that share with none.

    >>> a, b = Encoded("r", (5, 6, 7), 2), Encoded("r", (5, 6, 8, 9), 2)
    >>> by_prompt([a, Encoded("s", (5, 4), 1), b])
    ([[0, 2]], [1])
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(item.ids[: item.n_prompt], []).append(position)
    shared = [group for group in groups.values() if len(group) > 1]
    return shared, [position for group in groups.values() if len(group) == 1 for position in group]


def sweep_alone(
    model: Any, facts: ModelFacts, items: Sequence[Encoded], chosen: Sequence[int], budget: int
) -> Iterator[Swept]:
    """Run whole sequences, batch by batch.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        items: sequences.
        chosen: positions of those that are run.
        budget: padded tokens a batch.

    Yields:
        What each batch gave.
    """
    device = next(model.parameters()).device
    for batch_of in dealt(by_length([len(items[i].ids) for i in chosen], budget)):
        positions = [chosen[i] for i in batch_of]
        batch = collate([items[i] for i in positions]).to(device)
        states = run_states(model, facts, batch, final=True, layers=())
        assert states.final is not None
        yield Swept(positions, states.final, batch.labels, batch.counts.tolist(), [(i, 0) for i in positions])


def trunk_of(sequences: Sequence[Sequence[int]]) -> int:
    """The sequence with which the others have most tokens in common, from the first on.

    >>> trunk_of([(5, 6, 7), (5, 6, 8, 9), (5, 6, 8, 4)])
    1
    """
    shared = [sum(_in_common(one, two) for two in sequences) - len(one) for one in sequences]
    return max(range(len(sequences)), key=shared.__getitem__)


def _in_common(one: Sequence[int], two: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def sweep_shared(
    model: Any, facts: ModelFacts, items: Sequence[Encoded], groups: Sequence[Sequence[int]], budget: int
) -> Iterator[Swept]:
    """Run one sequence of each group whole and the others from where they leave it, batch by batch.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        items: sequences.
        groups: positions of sequences with one prompt.
        budget: padded tokens a batch, those that are continued from counted in every row.

    Yields:
        What each batch gave.
    """
    trunks = [group[trunk_of([items[i].ids for i in group])] for group in groups]
    # What a pass continues from is laid out for it anew, which costs about as much as starting it.
    cost = 2 * start_cost(facts.decoder_layers(model)[0], next(model.parameters()).device)
    for batch_of in dealt(by_length([len(items[i].ids) - 1 for i in trunks], budget)):
        whole = [trunks[i] for i in batch_of]
        ran = Prompts(model, facts, [items[i].ids[:-1] for i in whole], min(items[i].n_prompt for i in whole))
        yield _continued(model, items, ran, [_Row(i, i, row, len(items[i].ids) - 1) for row, i in enumerate(whole)])
        others = [
            _Row(i, trunk, row, _in_common(items[i].ids[:-1], items[trunk].ids[:-1]))
            for row, trunk in enumerate(whole)
            for i in groups[batch_of[row]]
            if i != trunk
        ]
        widest = max((other.begun for other in others), default=0)
        new = [len(items[other.position].ids) - 1 - other.begun for other in others]
        for rows in groups_of([widest + tokens for tokens in new], cost, budget):
            yield _continued(model, items, ran, [others[row] for row in rows])


@dataclass(frozen=True)
class _Row:
    """Sequence ``position`` begins with ``begun`` tokens of sequence ``trunk``, which ran in a row."""

    position: int
    trunk: int
    row: int
    begun: int


def _continued(model: Any, items: Sequence[Encoded], ran: Prompts, chosen: Sequence[_Row]) -> Swept:
    """States of sequences, up to where they leave another one from there, and the rest from a pass of their own."""
    own = [items[each.position] for each in chosen]
    rows, begun = torch.tensor([each.row for each in chosen]), torch.tensor([each.begun for each in chosen])
    new = torch.tensor([len(item.ids) - 1 for item in own]) - begun
    counts = torch.tensor([item.n_scored for item in own])
    row_N = torch.repeat_interleave(torch.arange(len(own)), counts)
    place_N = torch.cat([torch.arange(item.n_prompt - 1, len(item.ids) - 1) for item in own])
    known_N = place_N < begun[row_N]
    final = ran.states(rows[row_N], torch.where(known_N, place_N, begun[row_N] - 1))
    longest = int(new.max())
    if longest:
        ids = torch.zeros((len(own), longest), dtype=torch.long)
        for row, (item, each) in enumerate(zip(own, chosen, strict=True)):
            ids[row, : len(item.ids) - 1 - each.begun] = torch.tensor(item.ids[each.begun : -1])
        before, cache = ran.kept(rows, begun)
        columns = torch.arange(longest)[None, :]
        mask = torch.cat([before, (columns < new[:, None]).long()], 1)
        later = go_on(model, ids, mask, begun[:, None] + columns, cache)
        own_N = (~known_N).nonzero()[:, 0]
        at = row_N[own_N].to(ran.device), (place_N - begun[row_N])[own_N].to(ran.device)
        final[own_N.to(ran.device)] = later[at]
    labels = torch.tensor([token for item in own for token in item.ids[item.n_prompt :]])
    same = [
        (each.trunk, 0 if each.trunk == each.position else each.begun - item.n_prompt)
        for item, each in zip(own, chosen, strict=True)
    ]
    return Swept([each.position for each in chosen], final, labels.to(ran.device), counts.tolist(), same)
