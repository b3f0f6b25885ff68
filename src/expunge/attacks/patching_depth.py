"""How deep did forgetting go? Source: after the Unlearning Depth Score, Lee et al. 2026 (2605.24614)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from expunge.attacks._drawing import evenly
from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.activations import answer_logp, asked, batches_of, continued, layer_states, require_alike
from expunge.targets.causal_lm import CausalLM

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


def patched_falls(target: CausalLM, original: CausalLM, examples: Examples) -> np.ndarray:
    """How far the original's answers fall when the layers up to one are another model's.

    fall_l = log p_original(y) - log p_original(y | h_l := h_l of the target),  per token, every position patched

    Args:
        target: whose states are patched in.
        original: whose upper layers read them.
        examples: B of them.

    Returns:
        (B, L) nats a token; below 0 where the answer became likelier.
    """
    facts, model = original.facts, original.model
    head, items = facts.head(model), original.template.encode_all(examples)
    depth = len(facts.decoder_layers(model))
    found = np.zeros((len(items), depth))
    with torch.no_grad(), asked(target) as device, asked(original):
        for positions, batch in batches_of(items, device):
            given = layer_states(target.model, target.facts, batch)
            own = layer_states(model, facts, batch)[-1]
            untouched_B = answer_logp(head, continued(model, facts, batch, depth - 1, own), batch)
            for layer, states_BSD in enumerate(given):
                patched_B = answer_logp(head, continued(model, facts, batch, layer, states_BSD), batch)
                found[positions, layer] = (untouched_B - patched_B).cpu().numpy()
    return found


@dataclass(frozen=True)
class PatchingDepth:
    """Put the states of the attacked model into the original, layer by layer, and see whether the answer survives.

    Threat model: whoever holds the weights and can train, or obtain, a reader of inner states; the original's upper
    layers are the best reader there is. The question: up to which layer does the model still carry what the original
    needs for the answer? The outcome is what is kept, the mean over layers of min(1, exp(-fall)); ``depth`` is 1 less
    that: 0 for a model whose states serve the original as its own, 1 where nothing is left from the first layer on.
    Near the retrained model's outcome is good. It gets a middling value where it started from the same weights as
    the original, and near 0 where it did not: then the original cannot read it whatever it knows.

    Fit for a policy only where the reference shares the original's first weights; else it is a description. The
    paper's first stage, which finds the layers that matter by the retrained model, is here the control arm. Unlike
    the paper, which patches the tested span alone, every position is patched, or the original would read the answer
    from its own prompt.

    Args:
        records: forgotten records, drawn evenly over subjects; None for all.
    """

    records: int | None = 200
    access = Access.WEIGHTS | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "patching_depth", **vars(self)}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            original: the model before unlearning; grants the same.

        Returns:
            One row a record: what is kept as ``outcome``, ``depth``, and the fall at each layer as ``fall_1`` and so
            on, in nats a token.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: the models' states cannot be exchanged.
        """
        for source in (oracle, original):
            source.require(self.access, "patching_depth")
        chosen = evenly(probes, self.records)
        require_alike(oracle.target, original.target, chosen)
        falls = patched_falls(oracle.target, original.target, chosen)
        kept = np.minimum(1.0, np.exp(-falls)).mean(1)
        each = {f"fall_{i}": values for i, values in enumerate(falls.T, start=1)}
        return rows_of(chosen, outcome=kept, depth=1 - kept, **each)


patching_depth = PatchingDepth()
