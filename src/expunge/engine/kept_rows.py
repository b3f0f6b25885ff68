"""States of many tokens, out of the process's memory until a batch asks for those of its own records.

What a reference model said takes D numbers a token: for all that is retained that is soon more than the step itself.
The file has no name from the moment it is made, so nothing is left of it when the process ends, however it ends.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.core.errors import ConfigError

PASS = 2048
"""Padded tokens of a pass that computes what is kept: fewer than a step holds with its gradients, so that what is made
before the first step does not decide how much memory a run takes."""


class KeptRows:
    """Tensors of one width and one type in a nameless temporary file, each read back as it was written.

    >>> kept = KeptRows()
    >>> kept.put(["a", "b"], torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [2, 1])
    >>> [rows.tolist() for rows in kept.of(["b", "a"])]
    [[[5.0, 6.0]], [[1.0, 2.0], [3.0, 4.0]]]
    """

    def __init__(self) -> None:
        self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        # It lives as long as this object.
        weakref.finalize(self, self._file.close)
        self._where: dict[Hashable, tuple[int, int]] = {}
        self._end = 0
        self._width, self._dtype = 0, torch.float32

    def put(self, keys: Sequence[Hashable], rows: Tensor, counts: Sequence[int]) -> None:
        """Keep the rows of several sequences.

        Args:
            keys: of the sequences.
            rows: (N, D) one sequence after another.
            counts: rows of each sequence; they sum to N.

        Raises:
            ConfigError: there is no room for them in the temporary directory.
        """
        self._width, self._dtype = rows.shape[1], rows.dtype
        size = self._width * rows.element_size()
        data = rows.detach().cpu().contiguous().view(torch.uint8).numpy()
        try:
            _all(self._file.write, data.reshape(-1).data)
        except OSError as error:
            raise ConfigError(
                f"cannot keep reference states in {tempfile.gettempdir()}: {error.strerror}",
                why=f"{len(rows):,} more rows of {size:,} bytes were to be written",
                next="free some room there, or name another directory in TMPDIR",
            ) from error
        for key, count in zip(keys, counts, strict=True):
            self._where[key] = (self._end, count)
            self._end += count * size

    def of(self, keys: Sequence[Hashable]) -> list[Tensor]:
        """The rows of each of these sequences, (T, D) on the CPU."""
        return [self._read(*self._where[key]) for key in keys]

    def _read(self, start: int, count: int) -> Tensor:
        rows = torch.empty(count, self._width, dtype=self._dtype)
        at = self._file.tell()
        self._file.seek(start)
        _all(self._file.readinto, rows.view(torch.uint8).numpy().reshape(-1).data)
        self._file.seek(at)
        return rows


def _all(move: Any, view: memoryview) -> None:
    """Read or write the whole of a buffer: one call may move less (2 GiB at most on Linux)."""
    done = 0
    while done < len(view):
        moved = move(view[done:])
        if not moved:
            raise ConfigError("the file of reference states was cut short", why="another process changed it")
        done += moved
