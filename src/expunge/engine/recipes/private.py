"""Train with differential privacy, so that deletions are answered by accounting. Source: arXiv 1607.00133, 2110.05679.

A module on a table (DP-SGD), or an adapter of a language model on texts (DP-LoRA, by ghost clipping). Nothing that is
released may follow from the records but through the noise: rate, steps and divisor are settings, never counts of
records. What stays open: settings that were tuned on these records, and for a language model what its base was
trained on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.accounting.given import count, positive, probability
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_folder
from expunge.core.counting import tell
from expunge.core.errors import ConfigError, TargetError
from expunge.core.launch import started
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.core.seeds import derive
from expunge.core.training import Training
from expunge.data.collate import OnLong, collate
from expunge.data.table import Table
from expunge.engine.finetune import FineTune
from expunge.engine.private.clipping import (
    Ghost,
    Rows,
    require_private,
    require_rows_apart,
    require_untouched,
    untrained,
    without_hook_notes,
)
from expunge.engine.private.sampling import units_of
from expunge.engine.private.steps import private_steps
from expunge.engine.recipes._language_parts import require_text
from expunge.engine.trainers.module import Module
from expunge.execution.pool import Pool
from expunge.targets.adapter import merge, set_in
from expunge.targets.causal_lm import CausalLM
from expunge.targets.llama_spec import LlamaSpec
from expunge.targets.private.account import Account, Mechanism
from expunge.targets.private.classifier import PrivateClassifier
from expunge.targets.private.language import PrivateLM

FREE = ("lora_dropout", "use_rslora", "layers_to_transform", "layers_pattern", "exclude_modules")
"""Settings of lora that neither read the data nor add parameters of another form."""


@record
class LoraTuning:
    """An adapter of a language model, trained by AdamW without weight decay and merged at the end.

    Args:
        base: a folder or hub name to start from, or the shape of a new model whose weights are drawn from the seed.
        adapter: a lora.
        lr: learning rate.
        on_long: what happens to a record beyond the context of a loaded base.
    """

    base: str | LlamaSpec
    lr: float
    adapter: Adapter = Adapter(r=8, alpha=16.0)
    on_long: OnLong = "error"

    def __post_init__(self) -> None:
        positive("lr", self.lr)
        strange = [name for name, _ in self.adapter.settings if name not in FREE]
        if self.adapter.kind.lower() != "lora" or strange:
            raise ConfigError(
                f"{strange[0] if strange else self.adapter.kind} cannot be trained with differential privacy here",
                why="its gradients are not those of plain linear layers, or it reads the data first",
                next=f"Use lora; of its settings {', '.join(FREE)} are free",
            )

    def start(self, *, seed: int) -> CausalLM:
        """The model before the first step."""
        return FineTune(self.base, Training(lr=self.lr, steps=1), self.on_long).start(seed=seed)

    def digest(self) -> str:
        """Digest of the settings; of a base in a folder, of what is in it."""
        base: Any = self.base
        if isinstance(base, str) and Path(base).is_dir():
            base = digest_folder(Path(base))
        return digest({"base": base, "lr": self.lr, "adapter": self.adapter, "on_long": self.on_long})


@record
class PrivateTraining:
    """Train by DP-SGD on every record of a store.

    Args:
        learner: a module, whose ``batch_size`` counts for nothing, or an adapter of a language model.
        mechanism: DP-SGD in numbers.
        delta: probability, of every later statement; below one over the number of units.
        lot: what each noisy sum is divided by, about the rate times the number of units that was expected.
        limit: largest epsilon up to which deletions are answered by the account, nats; None for no limit.
        at_once: rows a pass. Changes memory, and results by rounding only.
        salt: hex; keeps the target's digest from telling who is in it; drawn where there is none, unless the training
            is to repeat. No part of the recipe's digest.
    """

    learner: Module | LoraTuning
    mechanism: Mechanism
    delta: float
    lot: float
    limit: float | None = None
    at_once: int = 64
    salt: str = ""

    def __post_init__(self) -> None:
        probability("delta", self.delta)
        positive("lot", self.lot)
        count("at_once", self.at_once, least=1)
        if isinstance(self.learner, Module) and not self.learner.classes:
            raise ConfigError("a private classifier needs its classes", next="Name every class there may be")

    hides_records = True

    @property
    def kind(self) -> str:
        """Of the target."""
        return "classifier" if isinstance(self.learner, Module) else "causal_lm"

    def digest(self) -> str:
        """Digest of all but the salt."""
        body = {"mechanism": self.mechanism, "delta": self.delta, "lot": self.lot, "limit": self.limit}
        return digest({"recipe": "private", "learner": self.learner.digest(), **body, "at_once": self.at_once})

    def start(self, *, seed: int) -> Any:
        """The module or the language model before the first step."""
        return self.learner.start(seed=seed)

    @property
    def repeats(self) -> bool:
        """Whether a second training comes to the same weights."""
        return self.mechanism.randomness == "seed"

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to; a base is loaded for it.

        Raises:
            ConfigError: the records are not what the learner reads, several processes, no such randomness, a limit
                into which no request fits, or a delta that any unit's whole data would meet.
            TargetError: a layer mixes the rows of a batch or keeps something of them, does not take such rows, has
                weights whose gradients cannot be told apart by row, or is in half precision.
            MissingExtra: without the extra ``dp``.
        """
        self._fits(store, seed)
        if isinstance(self.learner, LoraTuning):
            handle = self._adapted(self.learner, self.learner.start(seed=seed), seed)
            tokens_BS = torch.tensor([[0, 1], [1, 0]], device=next(handle.parameters()).device)
            self._rehearse(
                self._clipper(handle), lambda wrapped: wrapped(input_ids=tokens_BS, use_cache=False).logits.mean((1, 2))
            )

    def _fits(self, store: Store, seed: int) -> None:
        """``check``, but for what takes loading a base."""
        if started() > 1:
            raise ConfigError("a private training runs in one process", why=f"{started()} were started together")
        if self.limit is not None and (one := self.mechanism.epsilon(self.delta, units=1).epsilon) > self.limit:
            raise ConfigError(
                "no request fits into the limit",
                why=f"one {self.mechanism.unit} takes epsilon {one:.4g}, and the limit is {self.limit:g}",
                next="Raise sigma or the limit",
            )
        if isinstance(self.learner, LoraTuning):
            require_text(store)
        elif not isinstance(store, Table):
            raise ConfigError("a module is trained on a table", next="Open the data with open_table")
        units = len(set(units_of(_records(store), self.mechanism.unit).values()))
        if self.delta * units >= 1:
            raise ConfigError(
                f"a delta of {self.delta:g} promises nothing to {units} {self.mechanism.unit}s",
                why="who publishes one of them, drawn at random, keeps it as well",
                next=f"Take one far below {1 / units:.3g}",
            )
        if isinstance(self.learner, Module):
            self._fits_rows(self.learner, store, seed)

    def _fits_rows(self, learner: Module, store: Any, seed: int) -> None:
        module = learner.start(seed=seed).module
        require_private(module)
        if not len(store):  # all noise, and nothing to tell
            return
        few_RD, _ = learner._tensors(store.rows(_apart(store)))
        rows_RD = few_RD[torch.arange(4) % len(few_RD)]
        require_rows_apart(module, rows_RD)
        with torch.no_grad():
            shape = tuple(module.eval()(rows_RD).shape)
        if shape != (len(rows_RD), len(learner.classes)):
            raise TargetError(
                f"this module answers {len(rows_RD)} rows in the shape {shape}",
                why=f"{len(learner.classes)} classes take one logit each",
                next="Give it as many outputs as there are classes",
            )
        module.train()
        self._rehearse(Rows(module, self.mechanism.clip), lambda wrapped: wrapped(rows_RD).logsumexp(1))

    def _rehearse(self, clipper: Rows | Ghost, losses: Callable[[Any], Tensor]) -> None:
        """One pass over a module that is thrown away: raise where gradients of single rows are missing."""
        try:
            with torch.random.fork_rng(devices=[]), without_hook_notes():
                told_B = losses(clipper.wrapped)
                clipper.add(told_B, torch.arange(len(told_B)))
        finally:
            clipper.close()

    def _clipper(self, handle: Any) -> Rows | Ghost:
        """Of a language model."""
        return (Ghost if self.mechanism.unit == "record" else Rows)(handle, self.mechanism.clip)

    def _adapted(self, learner: LoraTuning, target: CausalLM, seed: int) -> Any:
        """The model with its adapter, in training mode.

        Raises:
            TargetError: it cannot be trained with differential privacy.
        """
        ends = tuple(f".{name}" for name in learner.adapter.targets)
        embeddings = [n for n, part in target.model.named_modules() if isinstance(part, torch.nn.Embedding)]
        if lost := [name for name in embeddings if f".{name}".endswith(ends)]:
            raise TargetError(
                "an adapter of an embedding cannot be trained with differential privacy",
                why=f"that of {lost[0]} is used without its layer, so that no gradients of single rows are found",
                next="Leave embeddings out of the targets",
            )
        handle = set_in(target.model, learner.adapter, seed=derive(seed, "adapter"), to_merge=True)
        require_private(handle)
        handle.train()
        return handle

    def train(
        self,
        store: Store,
        *,
        seed: int,
        stage: str = "private training",
        workdir: Path | None = None,
        pool: Pool | None = None,
    ) -> PrivateClassifier | PrivateLM:
        """Train on all of a store. It repeats only with ``randomness="seed"``.

        Args:
            store: a table for a module, texts for a language model.
            seed: of first weights; of samples and noise where the mechanism says so.
            stage: name for progress reports.
            workdir: not used: a checkpoint would be one more release, and a killed training starts again.
            pool: not used.

        Raises:
            ConfigError: what ``check`` raises.
            TargetError: what ``check`` raises; a gradient is no finite number; what is not trained changed. Nothing is
                released then.
            StoreError: a record does not fit into the context.
        """
        self._fits(store, seed)
        since = time.perf_counter()
        if isinstance(self.learner, Module):
            target, tokens = self._module(self.learner, store, seed, stage), 0
        else:
            target, tokens = self._language(self.learner, store, seed, stage)
        tell(seconds=time.perf_counter() - since, steps=self.mechanism.steps, tokens=tokens)
        return target

    def _account(self, records: Sequence[tuple[str, str]]) -> tuple[Account, list[list[int]]]:
        """The account, and the rows of each unit; rows and units in the order of their names."""
        members = units_of(sorted(records), self.mechanism.unit)
        rows: dict[str, list[int]] = {}
        for at, (name, _) in enumerate(records):
            rows.setdefault(members[name], []).append(at)
        named = [name for name, _ in records]
        groups = [sorted(rows[unit], key=named.__getitem__) for unit in sorted(rows)]
        salt = self.salt or ("" if self.mechanism.randomness == "seed" else secrets.token_hex(32))
        return Account(self.mechanism, self.delta, members, limit=self.limit, salt=salt), groups

    def _module(self, learner: Module, store: Any, seed: int, stage: str) -> PrivateClassifier:
        X, y = learner._tensors(store)
        account, groups = self._account(_records(store))
        trained = learner.start(seed=seed)
        trained.module.train()
        clipper = Rows(trained.module, self.mechanism.clip)

        def losses(rows: Sequence[int]) -> Tensor:
            at = torch.tensor(rows)
            return torch.nn.functional.cross_entropy(clipper.wrapped(X[at]), y[at], reduction="none")

        self._steps(clipper, trained.optimizer, groups, losses, seed, stage)
        trained.module.eval()
        trained.steps = self.mechanism.steps
        return PrivateClassifier(learner, trained, account)

    def _language(self, learner: LoraTuning, store: Store, seed: int, stage: str) -> tuple[PrivateLM, int]:
        target = learner.start(seed=seed)
        encoded = target.template.encode_all(store.get(store.ids()))
        account, groups = self._account(_records(store))
        handle = self._adapted(learner, target, seed)
        clipper = self._clipper(handle)
        optimizer = torch.optim.AdamW(clipper.trained, lr=learner.lr, weight_decay=0.0)
        device, seen = clipper.trained[0].device, list[int]()

        def losses(rows: Sequence[int]) -> Tensor:
            batch = collate([encoded[row] for row in rows]).to(device)
            seen.append(int(batch.attention_mask.sum()))
            told = clipper.wrapped(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
            nll_N = torch.nn.functional.cross_entropy(
                told.logits[batch.rows, batch.cols], batch.labels, reduction="none"
            )
            return torch.zeros(len(rows), device=device).index_add(0, batch.rows, nll_N) / batch.counts

        self._steps(clipper, optimizer, groups, losses, seed, stage)
        merge(handle).eval()
        return PrivateLM(target, account), sum(seen)

    def _steps(self, clipper: Rows | Ghost, optimizer: Any, groups: Any, losses: Any, seed: int, stage: str) -> None:
        before = untrained(clipper.wrapped)
        try:
            private_steps(
                clipper,
                optimizer,
                groups,
                losses,
                self.mechanism,
                seed=seed,
                lot=self.lot,
                at_once=self.at_once,
                stage=stage,
            )
            require_untouched(clipper.wrapped, before)
        finally:
            clipper.close()


def _records(store: Store) -> list[tuple[str, str]]:
    """Ids and subjects, in the order of the store; an empty subject is none."""
    if isinstance(store, Table):
        return list(zip(store.ids(), store.subjects or [""] * len(store), strict=True))
    return [(example.record_id, example.subject) for example in store.get(store.ids())]


def _apart(store: Table) -> list[str]:
    """Ids of up to four rows that differ, from all over the table."""
    _, first = np.unique(store.X, axis=0, return_index=True)
    return [store.ids()[first[at]] for at in sorted(set(np.linspace(0, len(first) - 1, 4).astype(int)))]


private = PrivateTraining
