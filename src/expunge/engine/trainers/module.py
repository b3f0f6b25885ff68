"""Parts that are torch modules, made by a factory and trained by a short loop. Source: arXiv 1912.03817."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, TargetError
from expunge.core.files import write_json
from expunge.core.record import record
from expunge.core.seeds import derive, keyed_order
from expunge.data.table import Table
from expunge.engine.parts.rows import Rows
from expunge.engine.threads import threads_for
from expunge.engine.trainers._fitted import found

WEIGHTS, MOMENTS, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
AT_ONCE = 1024
Label = int | str


@dataclass
class Trained:
    """A module with its optimiser; ``silent`` says why it has not been trained on all rows, and does not vote."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    steps: int = 0
    silent: str = ""


class _TooFewError(Exception):
    """A batch has too few rows for a layer."""


@contextmanager
def _drawing(seed: int) -> Generator[None]:
    """Draw from a seed inside the block, and leave torch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@record
class Module:
    """Train a part that is a torch module, on the CPU and in float32.

    What a module draws while it trains, such as dropout, comes from (seed, names, epoch, step). So no generator's state
    outlives a step, and none has to be kept on file.

    Args:
        factory: ``module:name`` of a class of modules, or of a function whose annotation says that it returns one. Its
            module is imported and it is called, also where a target on file names it: open only those that you trust.
        classes: labels, in the order of the module's outputs, which are logits. Empty for what predicts numbers.
        settings: keyword arguments of the factory.
        optimizer: ``sgd`` or ``adam``.
        lr: learning rate.
        momentum: of SGD.
        weight_decay: L2 penalty, added to the gradient.
        batch_size: most rows a step; the batches of an epoch are of nearly equal size.
    """

    factory: str
    classes: tuple[Label, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 32

    name = "module"
    kind = "classifier"

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ConfigError("classes must be two or more different labels, or none for numbers")
        if not self.lr > 0 or self.batch_size < 1 or self.momentum < 0 or self.weight_decay < 0:
            raise ConfigError("a module needs lr > 0, batch_size >= 1, momentum >= 0 and weight_decay >= 0")

    def digest(self) -> str:
        """Digest of the factory's name and all settings."""
        return digest({"trainer": self.name, **{name: getattr(self, name) for name in self.__dataclass_fields__}})

    def _module(self) -> torch.nn.Module:
        made = found(self.factory)
        if not _makes_modules(made):
            raise TargetError(
                f"{self.factory} makes no torch module",
                why="it is neither a class of modules nor a function that says it returns one",
                next="Annotate it: def factory(...) -> torch.nn.Module",
            )
        try:
            return made(**self.settings).to(torch.float32)
        except TypeError as error:
            raise ConfigError(f"a setting of {self.factory} does not fit", why=str(error)) from error

    def _trained(self, module: torch.nn.Module) -> Trained:
        if self.optimizer == "adam":
            return Trained(module, torch.optim.Adam(module.parameters(), lr=self.lr, weight_decay=self.weight_decay))
        kept: dict[str, Any] = {"lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay}
        return Trained(module, torch.optim.SGD(module.parameters(), **kept))

    def start(self, *, seed: int) -> Trained:
        """The module with weights drawn from the seed.

        Raises:
            TargetError: the factory makes no module.
            ConfigError: it does not take the settings.
        """
        with _drawing(derive(seed, "weights")):
            return self._trained(self._module())

    def train(
        self,
        model: Trained,
        rows: Rows,
        *,
        epochs: int,
        seed: int,
        names: tuple[str | int, ...],
        workdir: Path | None = None,
    ) -> Trained:
        """Step through the rows in keyed order, epoch by epoch.

        A batch of too few rows for a layer, such as one for BatchNorm, gives a model that is silent: a deletion is
        never refused for what it leaves of a part, and training from scratch on as many rows comes to the same.

        Raises:
            TargetError: the rows are no table with labels, or the loss is no number any more.
        """
        X, y = self._tensors(rows)
        ids = rows.ids() if isinstance(rows, Table) else ()
        model.module.train()
        model.silent = ""
        try:
            with threads_for(model.module):
                for epoch in range(epochs):
                    order = np.asarray(keyed_order(ids, seed, *names, "epoch", epoch))
                    batches = np.array_split(order, -(-len(order) // self.batch_size))
                    for step, batch in enumerate(batches):
                        with _drawing(derive(seed, *names, "epoch", epoch, "step", step)):
                            self._step(model, X[batch], y[batch])
        except _TooFewError as error:
            model.silent = str(error)
        return model

    def silent(self, model: Trained) -> str:
        """Why a model does not vote; empty where it does."""
        return model.silent

    def rehearse(self, rows: Rows, *, seed: int, strict: bool = True) -> None:
        """Train on a few rows, and keep nothing: what cannot be trained is refused beforehand.

        Args:
            rows: of the whole training.
            seed: of the run.
            strict: whether; whatever is trained can be kept.

        Raises:
            TargetError: a batch has too few rows for a layer, or what ``train`` raises.
        """
        if not strict or not isinstance(rows, Table):
            return
        few = rows.rows(rows.ids()[: 2 * self.batch_size])
        if why := self.train(self.start(seed=seed), few, epochs=1, seed=seed, names=("rehearsal",)).silent:
            raise TargetError(
                f"{self.factory} cannot be trained on these rows",
                why=why,
                next="Give larger batches, or take out layers such as BatchNorm, which need two rows",
            )

    def _tensors(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        if not isinstance(rows, Table) or rows.y is None:
            raise TargetError("a module is trained on tables with labels", next="Open the data with open_table")
        X = torch.from_numpy(np.array(rows.X, dtype=np.float32))
        if not self.classes:
            return X, torch.from_numpy(np.array(rows.y, dtype=np.float32).reshape(len(rows), -1))
        column = {label: at for at, label in enumerate(self.classes)}
        strange = sorted(set(np.unique(rows.y).tolist()) - set(column))
        if strange:
            raise TargetError(
                f"the label {strange[0]!r} is not among the classes", next="Name every class there may be"
            )
        return X, torch.tensor([column[label] for label in rows.y.tolist()])

    def _step(self, model: Trained, X: torch.Tensor, y: torch.Tensor) -> None:
        model.optimizer.zero_grad(set_to_none=True)
        try:
            told = model.module(X)
        except ValueError as error:
            told = str(error).partition("\n")[0]
            raise _TooFewError(f"it cannot be trained on a batch of {len(X)} rows: {told}") from error
        loss = torch.nn.functional.cross_entropy(told, y) if self.classes else torch.nn.functional.mse_loss(told, y)
        if not torch.isfinite(loss):
            raise TargetError("the loss is no finite number", next="Lower the learning rate")
        loss.backward()
        model.optimizer.step()
        model.steps += 1

    def save(self, model: Trained, folder: Path) -> None:
        """Write weights and buffers, the optimiser's moments, and the number of steps."""
        weights = {name: value.detach().clone().contiguous() for name, value in model.module.state_dict().items()}
        moments: dict[str, torch.Tensor] = {}
        for name, parameter in model.module.named_parameters():
            for key, value in model.optimizer.state[parameter].items():
                if value is not None:
                    moments[f"{name}|{key}"] = value.detach().reshape(-1) if value.dim() == 0 else value.detach()
        save_file(weights, folder / WEIGHTS)
        save_file(moments, folder / MOMENTS)
        write_json(folder / STATE, {"steps": model.steps} | ({"silent": model.silent} if model.silent else {}))

    def load(self, folder: Path) -> Trained:
        """The module that ``save`` wrote, with its optimiser.

        Raises:
            TargetError: the weights do not fit what the factory makes.
        """
        with _drawing(0):
            module = self._module()
        try:
            module.load_state_dict(load_file(folder / WEIGHTS))
        except RuntimeError as error:
            raise TargetError(f"the weights on file do not fit {self.factory}", why=str(error)) from error
        model = self._trained(module)
        moments = load_file(folder / MOMENTS)
        for name, parameter in module.named_parameters():
            held = {k.rpartition("|")[2]: v for k, v in moments.items() if k.rpartition("|")[0] == name}
            for key, value in held.items():
                model.optimizer.state[parameter][key] = value.reshape(()) if key == "step" else value
        state = read_json(folder / STATE)
        model.steps, model.silent = state["steps"], state.get("silent", "")
        return model

    def outputs(self, model: Trained, inputs: Any) -> np.ndarray:
        """Probabilities (n, K) by softmax, or values (n, m)."""
        X = torch.from_numpy(np.array(inputs, dtype=np.float32))
        model.module.eval()
        with torch.inference_mode(), threads_for(model.module):
            told = [model.module(X[at : at + AT_ONCE]).double() for at in range(0, len(X), AT_ONCE)]
        if not told:
            return np.zeros((0, max(1, len(self.classes))))
        all_NK = torch.cat(told)
        return (torch.softmax(all_NK, dim=1) if self.classes else all_NK.reshape(len(X), -1)).numpy()


def _makes_modules(made: Any) -> bool:
    if isinstance(made, type):
        return issubclass(made, torch.nn.Module)
    if not inspect.isfunction(made):
        return False
    returned = typing.get_type_hints(made).get("return")
    return isinstance(returned, type) and issubclass(returned, torch.nn.Module)


module = Module
