"""A language model beside the record of its training, from which it can be trained again without some records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expunge.core.access import Access, Oracle
from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Replayable
from expunge.targets.causal_lm import CARD, CausalLM, load_causal_lm
from expunge.targets.held_lm import HeldLM
from expunge.targets.replay_record import ReplayRecord

FOLDER = "training"
"""Where a saved target has the record of its training."""


@dataclass(frozen=True)
class ReplayableLM(HeldLM):
    """A causal language model whose training can be replayed. A copy that is changed by other means is plain again.

    Args:
        lm: the model with its tokenizer.
        record: of its training.
    """

    lm: CausalLM
    record: ReplayRecord
    kind: Literal["causal_lm"] = "causal_lm"

    @property
    def provenance(self) -> Replayable:
        """The digest of the order log and the names of the checkpoints."""
        written = self.record.written
        return Replayable(order_log=written.order_log, checkpoints=written.checkpoints)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the records that it was trained on, sorted."""
        return tuple(self.record.written.members)

    def digest(self) -> str:
        """Digest of the model; the record of its training is no part of it."""
        return self.lm.digest()

    def oracle(self, access: Access) -> Oracle:
        """A handle on the model."""
        return Oracle(self, access & Access.all())

    def clone(self) -> CausalLM:
        """A copy whose weights can change: it has no record, since what changes them is not in this one."""
        return self.lm.clone()

    def save(self, path: Path) -> Manifest:
        """Write the model as ever, and the record of its training beside it; the folder appears whole or not at all.

        The tensors of the checkpoints are second names of the same bytes where the file system can.
        """
        path = Path(path)
        with replace_folder(path) as folder:
            self.lm.save(folder)
            self.record.copy_to(folder / FOLDER)
            card = {**read_json(folder / CARD), "loader": "replayable", "provenance": type(self.provenance).__name__}
            write_json(folder / CARD, card)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        made_of_records = [p for p in files if p.suffix == ".safetensors" or path / FOLDER in p.parents]
        return Manifest(tuple(entry(path, p, personal=p in made_of_records) for p in files))


def load_replayable(path: str | Path) -> ReplayableLM:
    """Load a folder that ``ReplayableLM.save`` wrote.

    Raises:
        TargetError: missing, damaged, or changed since it was saved.
        StoreError: the record of the training is missing or damaged.
    """
    path = Path(path)
    target = ReplayableLM(load_causal_lm(path), ReplayRecord.read(path / FOLDER))
    if target.record.written.result != read_json(path / CARD)["digest"]:
        raise TargetError(
            f"the record in {path / FOLDER} is of another training",
            why="its model has another digest",
            next="Restore it",
        )
    return target
