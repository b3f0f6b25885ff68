"""Several answers to one question: the prompt runs once, the answers continue from its keys and values.

See ``engine.prompts`` for what is kept of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.prompts import Prompts
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
    """

    positions: list[int]
    final: Tensor
    labels: Tensor
    counts: list[int]


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
        yield Swept(positions, states.final, batch.labels, batch.counts.tolist())


def sweep_shared(
    model: Any, facts: ModelFacts, items: Sequence[Encoded], groups: Sequence[Sequence[int]], budget: int
) -> Iterator[Swept]:
    """Run each group's prompt once and its answers from there, batch by batch.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        items: sequences.
        groups: positions of sequences with one prompt.
        budget: padded tokens a batch, the kept prompts counted in every row.

    Yields:
        What each batch gave.
    """
    for batch_of in dealt(by_length([items[group[0]].n_prompt for group in groups], budget)):
        chosen = [groups[i] for i in batch_of]
        prompts = Prompts(model, facts, [items[g[0]].ids[: items[g[0]].n_prompt] for g in chosen])
        owners = [row for row, group in enumerate(chosen) for _ in group]
        members = [position for group in chosen for position in group]
        for rows in by_length([prompts.width + items[i].n_scored - 1 for i in members], budget):
            yield _continued(prompts, items, [members[i] for i in rows], [owners[i] for i in rows])


def _continued(prompts: Prompts, items: Sequence[Encoded], positions: list[int], owners: list[int]) -> Swept:
    """States of answers; those of the last prompt token predict an answer's first token."""
    from transformers import DynamicCache

    answers = [items[i].ids[items[i].n_prompt :] for i in positions]
    counts = torch.tensor([len(answer) for answer in answers])
    rows = torch.tensor(owners)
    at = rows.to(prompts.device)
    states = prompts.last[at][:, None]
    longest = int(counts.max()) - 1
    if longest:
        ids = torch.zeros((len(answers), longest), dtype=torch.long)
        for row, answer in enumerate(answers):
            ids[row, : len(answer) - 1] = torch.tensor(answer[:-1])
        mask = (torch.arange(longest)[None, :] < counts[:, None] - 1).long()
        starts = torch.tensor([items[i].n_prompt for i in positions])
        cache = DynamicCache([(keys[at], values[at]) for keys, values in prompts.kept])
        both = torch.cat([prompts.mask[rows], mask], 1)
        later = prompts.run(ids, both, starts[:, None] + torch.arange(longest), cache)
        states = torch.cat([states, later], 1)
    scored = torch.arange(longest + 1)[None, :] < counts[:, None]
    labels = torch.tensor([token for answer in answers for token in answer])
    return Swept(positions, states[scored.to(prompts.device)], labels.to(prompts.device), counts.tolist())
