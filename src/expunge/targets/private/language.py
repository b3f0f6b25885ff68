"""A language model that was fine-tuned with differential privacy, beside its account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, read_json
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Private
from expunge.targets.causal_lm import CARD, CausalLM, load_causal_lm
from expunge.targets.held_lm import HeldLM
from expunge.targets.private.account import Account, read_account, require_alike

LOADER, MODEL = "private_lm", "model"


@dataclass(frozen=True)
class PrivateLM(HeldLM):
    """A causal language model with the account of its fine-tuning. What its base was trained on is not in the account.

    Args:
        lm: the model with its tokenizer.
        account: of the fine-tuning.
    """

    lm: CausalLM
    account: Account
    kind: Literal["causal_lm"] = "causal_lm"

    @property
    def provenance(self) -> Private:
        """The mechanism in words."""
        return Private(self.account.mechanism.named())

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the records in the account, sorted."""
        return tuple(sorted(self.account.members))

    def weights_digest(self) -> str:
        """Digest of the model alone: no request changes it."""
        return self.lm.digest()

    def digest(self) -> str:
        """Digest of the model and of its account."""
        return digest([self.lm.digest(), self.account.digest()])

    def with_account(self, account: Account) -> PrivateLM:
        """The same model with another account."""
        return replace(self, account=account)

    def oracle(self, access: Access) -> Oracle:
        """A handle on the model."""
        return Oracle(self, access & Access.all())

    def clone(self) -> CausalLM:
        """A copy whose weights can change: it has no account, since what changes them is not in this one."""
        return self.lm.clone()

    def save(self, path: Path) -> Manifest:
        """Write the model and its account; the folder appears whole or not at all."""
        path = Path(path)
        with replace_folder(path) as folder:
            self.lm.save(folder / MODEL)
            self.account.write(folder)
            card = {"kind": self.kind, "loader": LOADER, "digest": self.digest(), "provenance": "Private"}
            write_json(folder / CARD, card)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return Manifest(tuple(entry(path, p, personal=p.suffix == ".safetensors" or p.parent == path) for p in files))


def load_private_lm(path: Path) -> PrivateLM:
    """Load a folder that ``PrivateLM.save`` wrote.

    Raises:
        TargetError: missing, damaged, or changed since it was saved.
    """
    path = Path(path)
    account = read_account(path)
    found = PrivateLM(load_causal_lm(path / MODEL), account)
    require_alike(path, read_json(path / CARD), found.digest())
    return found
