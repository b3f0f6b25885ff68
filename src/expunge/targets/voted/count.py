"""How many answers were given, in a folder, so that no crash lets more be given than there may be.

A byte is appended and synced for each answer, under a lock, before the answer is drawn: what a killed process had
counted and not given is lost, never given twice. The count goes with the model: it is handed to the folder of the next
version, and the one before answers no more, since both speak of the same placement of records.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from expunge.core.canonical import read_json
from expunge.core.errors import ClaimError, StoreError, TargetError
from expunge.core.files import sync_folder, write_json

BEFORE, SINCE, HANDED = "answered.json", "answered.bytes", "handed.json"


class AnswerCount:
    """The count of a folder.

    Args:
        folder: that ``begin`` or ``hand_over`` wrote into.

    Raises:
        TargetError: it holds no count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / BEFORE).is_file():
            raise TargetError(
                f"nothing says how many answers the model in {folder} has given",
                why=f"there is no {BEFORE}",
                next="Restore it, or train again",
            )

    @classmethod
    def begin(cls, folder: Path) -> AnswerCount:
        """The count of a folder, none given where it had no count yet."""
        if not (Path(folder) / BEFORE).is_file():
            write_json(Path(folder) / BEFORE, {"answered": 0})
        return cls(folder)

    @property
    def given(self) -> int:
        """Answers so far, those of earlier versions included."""
        since = self.folder / SINCE
        return int(read_json(self.folder / BEFORE)["answered"]) + (since.stat().st_size if since.is_file() else 0)

    @property
    def handed_to(self) -> str:
        """The folder that answers now; empty where this one does."""
        return self._handed.get("to", "")

    def take(self, answers: int, *, budget: int) -> None:
        """Count answers that will be given now; on disk when this returns.

        Args:
            answers: how many.
            budget: most in all.

        Raises:
            ClaimError: that would be more than the budget, or another folder answers now. Nothing is counted.
            StoreError: the count cannot be written.
        """
        with self._alone() as handle:
            self.require_open()
            if (left := budget - self.given) < answers:
                raise ClaimError(
                    "the budget of answers is spent",
                    why=f"{answers} are asked for, and {max(0, left)} of {budget} are left",
                    next="Train again, which draws another placement",
                )
            if os.write(handle, b"." * answers) != answers:
                raise StoreError(f"cannot count answers in {self.folder}", why="the disk is full")
            os.fsync(handle)

    def hand_over(self, place: Path, fresh: Path, *, token: str) -> None:
        """Let another folder go on counting. A killed call is done again with the same token.

        Args:
            place: where the other folder will stand.
            fresh: where it is being written.
            token: of this one saving.

        Raises:
            ClaimError: the count was handed over before.
        """
        with self._alone():
            self.require_open(token)
            write_json(self.folder / HANDED, {"to": str(Path(place).resolve()), "token": token})
            # What a killed call had put there may have answered since.
            there = AnswerCount(place).given if (Path(place) / BEFORE).is_file() else 0
            write_json(fresh / BEFORE, {"answered": max(self.given, there)})

    @property
    def _handed(self) -> dict[str, str]:
        path = self.folder / HANDED
        return read_json(path) if path.is_file() else {}

    def require_open(self, token: str = "") -> None:
        """Raise where another folder goes on counting, unless it got the count by this token.

        Raises:
            ClaimError: says which folder.
        """
        if self._handed and self._handed["token"] != token:
            raise ClaimError(
                f"the model in {self.folder} answers no more",
                why=f"a later version, or a copy, has its budget of answers: {self.handed_to}",
                next="Ask that one, and delete from that one",
            )

    @contextmanager
    def _alone(self) -> Generator[int]:
        """Hold the file of the count against other processes, and threads.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.folder / SINCE
        try:
            new = not path.exists()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"cannot count answers in {self.folder}", why=error.strerror or str(error)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if new:
                sync_folder(self.folder)
            yield handle
        finally:
            os.close(handle)
