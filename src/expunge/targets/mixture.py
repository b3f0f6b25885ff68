"""Several language models that answer as one: the mean of their probabilities, or the one whose records are nearest.

    average:  p(v | x) = (1/S) sum_k p_k(v | x)                         (Li et al. 2022, 2208.03306)
    route:    p(v | x) = p_k(v | x),   k = argmin_k |h(x) - c_k|        (Gururangan et al. 2023, 2303.14177)

with h(x) the mean of a base's last states over the tokens of the prefix x, and c_k the mean of h over the prompts of
part k. The shard is chosen anew at each token, from what stands before it. The base never saw those records, so h does
not depend on them; the c_k do, and are a part's own. To the engine a mixture looks like any causal language model: its
states are those of all models side by side, and its memory of a prompt is theirs, one after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.targets.causal_lm import CausalLM
from expunge.targets.model_facts import facts_of


class Side(torch.nn.Module):
    """The backbones of several models, side by side.

    Args:
        models: transformers causal LMs of one shape, the one that routes first, where there is one.
        routing: append the mean of the first one's states over the prefix.
    """

    def __init__(self, models: Sequence[Any], *, routing: bool) -> None:
        super().__init__()
        self.models = torch.nn.ModuleList(models)
        self.routing = routing
        facts = facts_of(models[0])
        # Only for what a layer costs: listing them as modules would name every parameter twice.
        object.__setattr__(self, facts.layers, list(facts.decoder_layers(models[0])))
        self._depth = len(facts.decoder_layers(models[0]))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        **_: Any,
    ) -> Any:
        """States after the final norm, (B, S, K D) or (B, S, (K + 1) D) where one routes.

        Args:
            input_ids: (B, S).
            attention_mask: (B, held + S) 1 on tokens.
            position_ids: (B, S) or (1, S).
            past_key_values: grows by S tokens in each layer of each model.
            use_cache: as transformers.
        """
        from transformers import DynamicCache
        from transformers.modeling_outputs import BaseModelOutputWithPast

        memory: Any = past_key_values
        held = [] if memory is None else list(memory.layers)
        states: list[Tensor] = []
        for number, model in enumerate(self.models):
            cache: Any = None if memory is None else DynamicCache()
            if held:
                cache.layers = held[number * self._depth : (number + 1) * self._depth]
            asked: dict[str, Any] = {"attention_mask": attention_mask, "position_ids": position_ids}
            given: Any = model
            out = given.base_model(input_ids=input_ids, past_key_values=cache, use_cache=use_cache, **asked)
            states.append(out.last_hidden_state)
            if memory is not None and not held:
                memory.layers.extend(cache.layers)
        if self.routing:
            states.append(self._prefix_means(states[0], attention_mask, memory))
        return BaseModelOutputWithPast(last_hidden_state=torch.cat(states, -1), past_key_values=memory)

    def _prefix_means(self, new: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
        """Mean of the states up to each new token, (B, S, D); earlier ones are kept behind the last layer's memory."""
        whole = new
        if cache is not None:
            whole = cache.update(new[:, None], new[:, None], len(self.models) * self._depth)[0][:, 0]
        live = torch.ones(whole.shape[:2], device=new.device) if mask is None else mask[:, : whole.shape[1]]
        live = live[..., None].double()
        means = (whole.double() * live).cumsum(1) / live.cumsum(1).clamp(min=1)
        return means[:, -new.shape[1] :].to(new.dtype)


def prompt_means(base: CausalLM, questions: Sequence[str]) -> Tensor:
    """Mean of the last states over the tokens of each prompt, (N, D) float64.

    Args:
        base: what routes.
        questions: N of them.
    """
    found: list[Tensor] = []
    with torch.no_grad():
        for question in questions:
            ids = torch.tensor([base.template.prompt_ids(question)], device=base.model.device)
            found.append(base.model.base_model(input_ids=ids).last_hidden_state[0].double().mean(0).cpu())
    return torch.stack(found)


class Mixture(torch.nn.Module):
    """A causal language model made of several.

    Args:
        models: transformers causal LMs of one shape and vocabulary, one a part.
        base: what routes; None for the mean of probabilities.
        centroids: (S, D) of each part's prompts, with a base.
    """

    base_model_prefix = "side"

    def __init__(self, models: Sequence[Any], *, base: Any = None, centroids: Tensor | None = None) -> None:
        super().__init__()
        self.config = models[0].config
        self.side = Side([*([] if base is None else [base]), *models], routing=base is not None)
        self._first = len(self.side.models) - len(models)
        self.centroids = None if centroids is None else torch.nn.Parameter(centroids, requires_grad=False)

    @property
    def base_model(self) -> Any:
        """The backbones."""
        return self.side

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.side.parameters()).dtype

    def forward(self, input_ids: Tensor | None = None, **more: Any) -> Any:
        """Log-probabilities as logits, (B, S, V).

        Args:
            input_ids: (B, S).
            more: as of transformers' models.
        """
        from transformers.modeling_outputs import CausalLMOutputWithPast

        out = self.side(input_ids=input_ids, **more)
        return CausalLMOutputWithPast(logits=self.mixed(out.last_hidden_state), past_key_values=out.past_key_values)

    def chosen(self, means: Tensor) -> Tensor:
        """The nearest part, the first of equally near ones.

        Args:
            means: (N, D) of the base's states over prefixes.

        Returns:
            (N,) positions among the parts.
        """
        assert self.centroids is not None
        return torch.cdist(means.double(), self.centroids.double()).argmin(1)

    def mixed(self, states: Tensor) -> Tensor:
        """What the models say together.

        Args:
            states: (..., K D) of ``base_model``.

        Returns:
            (..., V) nats.
        """
        size = states.shape[-1] // (len(self.side.models) + self.side.routing)
        parts = states.reshape(-1, states.shape[-1]).split(size, -1)
        # Asked for anew each time: a copy's heads are those of its own models.
        heads = [facts_of(model).head(model) for model in list(self.side.models)[self._first :]]
        if self.centroids is None:
            said = [head(part).float().log_softmax(-1) for head, part in zip(heads, parts, strict=True)]
            logp = torch.stack(said).logsumexp(0) - math.log(len(said))
        else:
            choice = self.chosen(parts[-1])
            found = {int(k): (choice == k).nonzero()[:, 0] for k in choice.unique()}
            logp = parts[0].new_zeros((len(choice), self.config.vocab_size), dtype=torch.float32)
            for k, rows in found.items():
                logp[rows] = heads[k](parts[k + 1][rows]).float().log_softmax(-1)
        return logp.reshape(*states.shape[:-1], -1)
