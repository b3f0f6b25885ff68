"""Do a few weights hold the forgetting? Source: SNIP set difference, Wei et al. 2024 (2402.05162)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from expunge.attacks._drawing import evenly, halves
from expunge.attacks._rows import known, rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.progress import report
from expunge.data.collate import Encoded
from expunge.engine.activations import asked
from expunge.engine.decoding import decode
from expunge.engine.gradients import mean_gradient
from expunge.targets.causal_lm import CausalLM

FULL: Mapping[str, Any] = MappingProxyType(
    {
        "records": None,
        "scored": 100,
        "behaviour": (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2),
        "utility": (0.01, 0.02, 0.05, 0.1, 0.2),
    }
)


def ranks(importance: Tensor) -> Tensor:
    """The place of each weight of a matrix, 0 for the most important; of equals, the first comes first.

    Args:
        importance: (..., ...) any unit.

    Returns:
        The same shape, places.

    >>> ranks(torch.tensor([[0.2, 0.9], [0.5, 0.2]])).tolist()
    [[2, 0], [1, 3]]
    """
    order = importance.flatten().argsort(descending=True, stable=True)
    places = torch.empty(len(order), dtype=torch.int32, device=order.device)
    places[order] = torch.arange(len(order), dtype=torch.int32, device=order.device)
    return places.reshape(importance.shape)


def set_difference(rank_behaviour: Tensor, rank_utility: Tensor, behaviour: float, utility: float) -> Tensor:
    """Weights among the most important ones for a behaviour that are not among those for utility.

    Args:
        rank_behaviour: (..., ...) places, from ``ranks``.
        rank_utility: the same shape.
        behaviour: share of the weights that count as important for the behaviour.
        utility: share that counts as important for utility.

    Returns:
        The same shape, true where a weight is to be pruned.

    >>> set_difference(torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 3, 1, 2]]), 0.5, 0.25).tolist()
    [[False, True, False, False]]
    """
    size = rank_behaviour.numel()
    return (rank_behaviour < round(behaviour * size)) & (rank_utility >= round(utility * size))


def importance(target: CausalLM, items: Sequence[Encoded], matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """How much each weight matters to the answers of some sequences.

    I(w) = mean_x |w * d NLL(x) / d w|,  NLL per token

    Args:
        target: the model.
        items: any number.
        matrices: the weights, by name.

    Returns:
        name -> nats, of each matrix's shape.
    """
    with asked(target):
        found = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in matrices.items()}
        for done, item in enumerate(items, start=1):
            gradients = mean_gradient(target.model, target.facts, [item], matrices, rows=1)
            for name, gradient in gradients.items():
                found[name] += (matrices[name].detach() * gradient).abs() / len(items)
            report("scoring weights", done, len(items))
    return found


@dataclass(frozen=True)
class SetDifferencePruning:
    """Set to zero the weights that make the model say what it says of forgotten records and do nothing else.

    Threat model: whoever holds the weights and some of the forgotten records. The question: does the knowledge come
    back once the weights that hide it are gone? Importance for the behaviour is that for the model's own greedy answers
    to half of the subjects, importance for utility that for retained answers; the point of the grid at which the
    attacker's half is answered best, or no pruning at all, is asked of the other half. The lower the better, down
    to the value of a retrained model, whom pruning teaches nothing.

    Fit for a policy. It prunes in the matrices of the decoder layers, each by itself.

    Args:
        records: records of each half of forget that are answered, drawn evenly over subjects; None for all.
        scored: records of the attacker's half, and of retain, whose gradients are taken.
        behaviour: shares of the weights that count as important for the behaviour.
        utility: shares that count as important for utility; the grid is every pair.
    """

    records: int | None = 96
    scored: int = 32
    behaviour: tuple[float, ...] = (0.005, 0.02, 0.07)
    utility: tuple[float, ...] = (0.02, 0.1)
    access = Access.WEIGHTS | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "set_difference_pruning", **vars(self)}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, retain: Examples) -> list[dict[str, object]]:
        """Attack a copy of one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            retain: what utility is.

        Returns:
            One row an asked record: the probability of its answer as ``outcome``, ``untouched``, that of the model as
            it is, and ``pruned``, the share of weights that the chosen point sets to zero.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: there is one subject only.
        """
        oracle.require(self.access, "set_difference_pruning")
        copy: CausalLM = oracle.target.clone()
        shown, held_out = (evenly(half, self.records) for half in halves(probes))
        matrices = _matrices(copy)
        said = _said(copy, shown[: self.scored])
        kept = copy.template.encode_all(evenly(retain, self.scored))
        placed_by = [importance(copy, items, matrices) for items in (said, kept)]
        places = {name: tuple(ranks(part[name]) for part in placed_by) for name in matrices}
        untouched = known(copy, held_out)
        grid = [(b, u) for b in self.behaviour for u in self.utility]
        best = self._best(copy, shown, matrices, places, grid)
        found, pruned = untouched, 0.0
        if best is not None:
            pruned = _prune(matrices, places, best)
            found = known(copy, held_out)
        return rows_of(held_out, outcome=found, untouched=untouched, pruned=[pruned] * len(held_out))

    def _best(
        self,
        copy: CausalLM,
        shown: Examples,
        matrices: Mapping[str, Tensor],
        places: Mapping[str, Sequence[Tensor]],
        grid: Iterable[tuple[float, float]],
    ) -> tuple[float, float] | None:
        """The point at which the attacker's half is answered best; None where that is no pruning."""
        kept = {name: weight.detach().clone() for name, weight in matrices.items()}
        best, found = None, float(known(copy, shown).mean())
        for point in grid:
            _prune(matrices, places, point)
            value = float(known(copy, shown).mean())
            if value > found:
                best, found = point, value
            with torch.no_grad():
                for name, weight in matrices.items():
                    weight.copy_(kept[name])
        return best


def _matrices(target: CausalLM) -> dict[str, Tensor]:
    inside = {id(p) for layer in target.facts.decoder_layers(target.model) for p in layer.parameters()}
    return {name: p for name, p in target.model.named_parameters() if id(p) in inside and p.ndim == 2}


def _said(target: CausalLM, examples: Examples) -> list[Encoded]:
    """The questions with the tokens that the model answers itself; written out and read again they might be others."""
    template = target.template
    items = template.encode_all(examples)
    prompts, most = [item.ids[: item.n_prompt] for item in items], max(item.n_scored for item in items)
    rooms = [min(most, template.max_length - len(prompt)) for prompt in prompts]
    with torch.no_grad(), asked(target):
        answers = decode(target.model, target.facts, prompts, rooms, end=template.end)
    found: list[Encoded] = []
    for item, prompt, answer, room in zip(items, prompts, answers, rooms, strict=True):
        ended = () if len(answer) == room else (template.end,)
        found.append(Encoded(item.key, (*prompt, *answer, *ended), len(prompt)))
    return found


def _prune(matrices: Mapping[str, Tensor], places: Mapping[str, Sequence[Tensor]], point: tuple[float, float]) -> float:
    """Set the weights of a point to zero, and give their share."""
    gone = 0
    with torch.no_grad():
        for name, weight in matrices.items():
            mask = set_difference(places[name][0], places[name][1], *point)
            weight[mask.to(weight.device)] = 0.0
            gone += int(mask.sum())
    return gone / sum(weight.numel() for weight in matrices.values())


set_difference_pruning = SetDifferencePruning()
