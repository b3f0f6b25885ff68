"""Passes through a backbone that compute no more tokens than they must.

Three savings, none of which changes a result beyond rounding. What all rows of a batch begin with, a system prompt for
instance, runs once, and the rows continue from its keys and values; gradients flow through them. Rows of different
lengths are cut into groups of similar length where that saves more padding than a further pass costs. No token after
the last that predicts a scored one runs at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from expunge.data.collate import Batch

STARTING = {"cpu": 3e7, "cuda": 1e11}
"""What starting one layer costs, in floating-point operations that could be done meanwhile."""
SHORTEST = 4
"""An opening shorter than this is not worth a pass."""


class _Stop(Exception):
    """Raised by a hook once the deepest needed layer has run."""


@dataclass
class States:
    """Hidden states at the scored positions of a batch, flat.

    Args:
        final: (N, D) after the final norm, or None if no head is needed.
        layers: (N, D) after each layer asked for.
    """

    final: Tensor | None
    layers: dict[int, Tensor] = field(default_factory=dict)

    def between(self, start: int, end: int) -> States:
        """The states at some of the positions."""
        final = None if self.final is None else self.final[start:end]
        return States(final, {index: hidden[start:end] for index, hidden in self.layers.items()})


@dataclass(frozen=True)
class Lower:
    """Layers that no step changes, and what they give for the rows of a batch.

    Args:
        depth: how many; layers 0 to ``depth`` - 1 do not run.
        states: (B, S, D) after the last of them.
    """

    depth: int
    states: Tensor


def drops(model: Any) -> bool:
    """Whether a model in training leaves values out at random."""
    if not model.training:
        return False
    named = ((name, value) for module in model.modules() for name, value in vars(module).items())
    inside = any(isinstance(value, float) and value > 0 for name, value in named if "dropout" in name)
    return inside or any(isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 for m in model.modules())


def start_cost(layer: Any, device: torch.device) -> float:
    """Tokens that could run through a layer in the time that starting it takes."""
    weights = sum(p.numel() for p in layer.parameters())
    return STARTING["cpu" if device.type == "cpu" else "cuda"] / (2 * max(1, weights))


def opening(batch: Batch) -> int:
    """Columns at the start of a batch that are the same in all rows, up to the first that predicts a scored token.

    >>> two = torch.tensor([[7, 5, 3, 4], [7, 5, 9, 0]])
    >>> batch = Batch(two, torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]), *[torch.tensor([2, 2])] * 4)
    >>> opening(batch)
    2
    """
    same = (batch.input_ids == batch.input_ids[:1]).all(0) & (batch.attention_mask == 1).all(0)
    return min(int(same.int().cumprod(0).sum()), int(batch.cols.min()))


def groups_of(widths: Sequence[int], cost: float, most: int | None = None) -> list[list[int]]:
    """Cut rows into groups that are padded to their widest each, for the fewest tokens.

    Args:
        widths: tokens of each row.
        cost: tokens that a group costs besides its own.
        most: padded tokens of a group; a wider row gets a group of its own.

    Returns:
        Positions, the widest group first.

    >>> groups_of([9, 2, 10, 3], cost=5)
    [[2, 0], [3, 1]]
    >>> groups_of([9, 2, 10, 3], cost=20)
    [[2, 0, 3, 1]]
    >>> groups_of([9, 2, 10, 3], cost=20, most=30)
    [[2, 0], [3, 1]]
    """
    order = sorted(range(len(widths)), key=lambda i: (-widths[i], i))
    # Rows of one width part only where a group would be too large.
    starts = [i for i in range(len(order)) if most or i == 0 or widths[order[i]] != widths[order[i - 1]]]
    best: dict[int, tuple[float, int]] = {0: (0.0, 0)}
    for last, end in enumerate([*starts, len(order)][1:]):
        options: list[tuple[float, int]] = []
        for start in reversed(starts[: last + 1]):
            padded = widths[order[start]] * (end - start)
            if most and padded > most and options:
                break
            options.append((best[start][0] + padded + cost, start))
        best[end] = min(options)
    found: list[list[int]] = []
    end = len(order)
    while end:
        start = best[end][1]
        found.insert(0, order[start:end])
        end = start
    return found


class Passes:
    """Runs the parts of one batch and collects what they give.

    Args:
        model: a transformers causal LM.
        stack: its decoder layers.
        wanted: sorted layers whose states are needed.
        final: whether the states after the last layer are.
        lower: layers that need not run.
    """

    def __init__(self, model: Any, stack: Sequence[Any], wanted: Sequence[int], final: bool, lower: Lower | None):
        self._model, self._stack, self._wanted, self._final, self._lower = model, stack, wanted, final, lower
        self._caught: dict[int, Tensor] = {}

    def run(self, batch: Batch) -> States:
        """States at the scored positions."""
        width = max(int(batch.cols.max()) + 1, batch.input_ids.shape[1] - 1)
        shared, groups = self._plan(batch)
        with self._hooked():
            cache = self._opened(batch, shared) if shared else None
            if len(groups) == 1:
                final = self._pass(batch, None, shared, width, cache)
                return self._gathered(final, batch.rows, batch.cols - shared)
            parts = [self._group(batch, torch.tensor(g, device=batch.rows.device), shared, cache) for g in groups]
        return _in_order(parts)

    def _plan(self, batch: Batch) -> tuple[int, list[list[int]]]:
        """Columns of the opening and the groups of rows."""
        rows = len(batch.input_ids)
        whole = [list(range(rows))]
        # Processes that share out the weights wait for each other in every layer: all must take equally many passes.
        if rows == 1 or hasattr(self._stack[0], "reshard"):
            return 0, whole
        cost = start_cost(self._stack[0], batch.input_ids.device)
        shared = opening(batch) if self._remembers() else 0
        if shared < SHORTEST or shared * (rows - 1) < cost:
            shared = 0
        last = torch.ones(rows, dtype=torch.long, device=batch.cols.device)
        groups = groups_of(last.scatter_reduce(0, batch.rows, batch.cols + 1, "amax").tolist(), cost)
        plain = (shared == 0 and len(groups) == 1) or drops(self._model)
        return (0, whole) if plain else (shared, groups)

    def _remembers(self) -> bool:
        """Whether any layer runs that can continue from keys and values; with activation checkpointing none can."""
        checkpointing = self._model.training and getattr(self._stack[0], "gradient_checkpointing", False)
        deepest = len(self._stack) - 1 if self._final else self._wanted[-1]
        return not checkpointing and (self._lower is None or self._lower.depth <= deepest)

    def _group(self, batch: Batch, chosen: Tensor, shared: int, cache: Any) -> tuple[Tensor, States]:
        """Places of a group's scored tokens in the batch, and their states."""
        row_of = torch.full((len(batch.input_ids),), -1, device=chosen.device)
        row_of[chosen] = torch.arange(len(chosen), device=chosen.device)
        places = (row_of[batch.rows] >= 0).nonzero()[:, 0]
        rows, cols = row_of[batch.rows[places]], batch.cols[places]
        final = self._pass(batch, chosen, shared, int(cols.max()) + 1, cache)
        return places, self._gathered(final, rows, cols - shared)

    def _gathered(self, final: Tensor | None, rows: Tensor, cols: Tensor) -> States:
        layers = {index: hidden[rows, cols] for index, hidden in self._caught.items()}
        self._caught.clear()
        return States(None if final is None else final[rows, cols], layers)

    def _opened(self, batch: Batch, shared: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the opening, (1, heads, P, d) a layer."""
        from transformers import DynamicCache

        first = torch.zeros(1, dtype=torch.long, device=batch.input_ids.device)
        cache = DynamicCache()
        self._deliver(batch.input_ids[:1, :shared], batch.attention_mask[:1, :shared], first, 0, cache)
        self._caught.clear()
        held: list[Any] = list(cache.layers)
        depth = self._lower.depth if self._lower else 0
        # Masks are made for the length of the first layer's memory, also where that layer does not run.
        blank = torch.zeros_like(held[depth].keys)
        return [(blank, blank) if i < depth else (layer.keys, layer.values) for i, layer in enumerate(held)]

    def _pass(
        self, batch: Batch, chosen: Tensor | None, shared: int, width: int, opened: list[tuple[Tensor, Tensor]] | None
    ) -> Tensor | None:
        ids, mask = batch.input_ids, batch.attention_mask
        if chosen is not None:
            ids, mask = ids[chosen], mask[chosen]
        cache = None
        if opened:
            from transformers import DynamicCache

            size = len(ids)
            cache = DynamicCache([(k.expand(size, -1, -1, -1), v.expand(size, -1, -1, -1)) for k, v in opened])
        return self._deliver(ids[:, shared:width], mask[:, :width], chosen, shared, cache)

    def _deliver(self, ids: Tensor, mask: Tensor, chosen: Tensor | None, start: int, cache: Any) -> Tensor | None:
        more: dict[str, Any] = {"use_cache": False}
        if cache is not None:
            places = torch.arange(start, start + ids.shape[1], device=ids.device)
            more = {"use_cache": True, "past_key_values": cache, "position_ids": places.expand(len(ids), -1)}
        with self._skipping(chosen, start, ids.shape[1]):
            try:
                return self._model.base_model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
            except _Stop:
                return None

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        def catch(index: int, stop: bool) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                self._caught[index] = output[0] if isinstance(output, tuple) else output
                if stop:
                    raise _Stop

            return hook

        deepest = self._wanted[-1] if self._wanted and not self._final else -1
        handles = [self._stack[i].register_forward_hook(catch(i, i == deepest)) for i in self._wanted]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _skipping(self, chosen: Tensor | None, start: int, size: int) -> Iterator[None]:
        """The lower layers pass on what is known already."""
        lower = self._lower
        if lower is None:
            yield
            return
        known = lower.states if chosen is None else lower.states[chosen]
        known = known[:, start : start + size]
        skipped = self._stack[: lower.depth]
        try:
            for layer in skipped:
                layer.forward = lambda *_, **__: known
            yield
        finally:
            for layer in skipped:
                del layer.forward


def _in_order(parts: Sequence[tuple[Tensor, States]]) -> States:
    """Flat states of several groups, put back into the order of the batch."""
    back = torch.cat([places for places, _ in parts]).argsort()
    finals = [states.final for _, states in parts if states.final is not None]
    layers = {i: torch.cat([states.layers[i] for _, states in parts])[back] for i in parts[0][1].layers}
    return States(torch.cat(finals)[back] if finals else None, layers)
