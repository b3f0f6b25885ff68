"""The reference cache: what the model said before unlearning, computed once. No second copy of the model is held.

Answer log-probabilities are kept as such. For full-vocabulary references the final hidden states at the scored
positions are kept in a temporary file beside one frozen head, and logits are computed again when a batch asks for them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.core.views import Need
from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.kept_rows import PASS, KeptRows
from expunge.engine.views import run_states
from expunge.ops.answer import flat_logp, pad_rows
from expunge.targets.model_facts import ModelFacts

Segment = tuple[str, str]


class ReferenceCache:
    """Reference values per sequence.

    Args:
        model: the model before its first step.
        facts: of its architecture.
        data: the sequences of each segment (role, answer) that a reference view reads.
        needs: (segment, need, bound layer) of every reference view.
        device: where the model is.
    """

    def __init__(
        self,
        model: Any,
        facts: ModelFacts,
        data: Mapping[Segment, Sequence[Encoded]],
        needs: Iterable[tuple[Segment, Need, int | None]],
        device: torch.device,
    ) -> None:
        self._device = device
        self._answers: dict[tuple[Segment, str], Tensor] = {}
        self._states: dict[tuple[Segment, str, int | None], KeptRows] = {}
        self._head: Any = None
        self._logits: Any = None
        wanted: dict[Segment, set[tuple[str, int | None]]] = {}
        for segment, need, layer in needs:
            kind = {"logp": "token_logp", "logits": "final"}.get(need.view, need.view)
            wanted.setdefault(segment, set()).add((kind, layer if kind == "hidden" else None))
        if any(kind == "final" for kinds in wanted.values() for kind, _ in kinds):
            self._head = copy.deepcopy(model.get_output_embeddings()).requires_grad_(False)
            self._logits = facts.head(_bare(model, self._head))
        was_training = model.training
        model.eval()
        with torch.no_grad():
            for segment, kinds in wanted.items():
                self._fill(model, facts, segment, data[segment], kinds)
        model.train(was_training)

    def _fill(
        self,
        model: Any,
        facts: ModelFacts,
        segment: Segment,
        items: Sequence[Encoded],
        kinds: set[tuple[str, int | None]],
    ) -> None:
        final = any(kind != "hidden" for kind, _ in kinds)
        layers = [layer for kind, layer in kinds if kind == "hidden" and layer is not None]
        for positions in by_length([len(item.ids) for item in items], PASS):
            chunk = [items[i] for i in positions]
            batch = collate(chunk).to(self._device)
            states = run_states(model, facts, batch, final=final, layers=layers)
            counts = batch.counts.tolist()
            for kind, layer in kinds:
                if kind == "token_logp":
                    assert states.final is not None
                    parts = flat_logp(facts.head(model)(states.final), batch.labels).cpu().split(counts)
                    self._answers |= {(segment, i.key): p.clone() for i, p in zip(chunk, parts, strict=True)}
                    continue
                flat = states.final if kind == "final" else states.layers[layer or 0]
                assert flat is not None
                self._states.setdefault((segment, kind, layer), KeptRows()).put([i.key for i in chunk], flat, counts)

    def get(self, segment: Segment, view: str, layer: int | None, keys: Sequence[str]) -> Tensor:
        """One reference view for these sequences, padded where its shape has a T."""
        if view == "logits":
            flat, counts = self._joined(self._states[segment, "final", None].of(keys))
            with torch.no_grad():
                return pad_rows(self._logits(flat), counts)
        if view == "hidden":
            return pad_rows(*self._joined(self._states[segment, view, layer].of(keys)))
        answers = [self._answers[segment, key] for key in keys]
        if view == "logp":
            return torch.stack([row.sum() for row in answers]).to(self._device)
        return pad_rows(*self._joined(answers))

    def _joined(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        counts = torch.tensor([len(part) for part in parts])
        return torch.cat(list(parts)).to(self._device), counts.to(self._device)


def _bare(model: Any, head: Any) -> Any:
    """A model's own code and config around another head, without its backbone: the model itself can be let go."""
    bare = copy.copy(model)
    bare._modules = {n: m for n, m in model._modules.items() if m is not model.base_model}
    bare.set_output_embeddings(head)
    return bare
