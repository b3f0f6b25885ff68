"""A torch module that was trained on a table with differential privacy, beside its account."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Private
from expunge.targets.private.account import Account

CARD, MODEL, LOADER = "target.json", "model", "private_classifier"


@dataclass(frozen=True)
class PrivateClassifier:
    """A trained module with the account of its training.

    Args:
        trainer: what it was trained with, for ``load``, ``save`` and ``outputs``: a ``Module`` of the engine.
        trained: as the trainer gives it.
        account: of the training.
    """

    trainer: Any
    trained: Any
    account: Account
    kind: Literal["classifier"] = "classifier"

    @property
    def provenance(self) -> Private:
        """The mechanism in words."""
        return Private(self.account.mechanism.named())

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the records in the account, sorted."""
        return tuple(sorted(self.account.members))

    def weights_digest(self) -> str:
        """Digest over names, types, shapes and bytes of weights and buffers: no request changes it."""
        hasher = hashlib.sha256()
        for name, value in sorted(self.trained.module.state_dict().items()):
            tensor = value.detach().contiguous()
            hasher.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        return "sha256:" + hasher.hexdigest()

    def digest(self) -> str:
        """Digest of the module, its trainer and its account."""
        return digest([self.weights_digest(), self.trainer.digest(), self.account.digest()])

    def with_account(self, account: Account) -> PrivateClassifier:
        """The same module with another account."""
        return replace(self, account=account)

    def predict_proba(self, inputs: Any) -> np.ndarray:
        """Probabilities (n, K).

        Args:
            inputs: X (n, d).
        """
        return self.trainer.outputs(self.trained, inputs)

    def predict(self, inputs: Any) -> np.ndarray:
        """Labels (n), of equal probabilities the first class.

        Args:
            inputs: X (n, d).
        """
        return np.asarray(self.trainer.classes)[self.predict_proba(inputs).argmax(axis=1)]

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants the weights."""
        return Oracle(self, access & Access.WEIGHTS)

    def save(self, path: Path) -> Manifest:
        """Write the module, its trainer and the account; the folder appears whole or not at all."""
        path = Path(path)
        with replace_folder(path) as folder:
            (folder / MODEL).mkdir()
            self.trainer.save(self.trained, folder / MODEL)
            self.account.write(folder)
            card = {"kind": self.kind, "loader": LOADER, "digest": self.digest(), "provenance": "Private"}
            made = TypeAdapter(type(self.trainer)).dump_python(self.trainer, mode="json")
            write_json(folder / CARD, {**card, "trainer": made})
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return Manifest(tuple(entry(path, p, personal=True) for p in files))
