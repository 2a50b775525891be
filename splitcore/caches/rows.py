"""Vectors of dataset rows, kept up to a limit of bytes, in memory or in a nameless file.

Both ends of a conversation put the same rows in the same order, so both keep the same rows without a word about it:
when the room is used up, later rows are simply not kept. (Rows come once an epoch, in a new order each time: whatever
were evicted for them would mostly be gone just before it is wanted.)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from splitcore.errors import AppError

State = dict[str, torch.Tensor]


class RowCache:
    """Vectors (T, width) by row number, each T real tokens long."""

    def __init__(self, width: int, dtype: torch.dtype, *, limit: int, folder: Path | None = None) -> None:
        """`limit` in bytes. With `folder` the values lie in a file there that no name leads to: it ends with us."""
        self.dtype, self._width, self._limit = dtype, width, limit
        self._tokens: dict[int, int] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._file: int | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file, path = tempfile.mkstemp(dir=folder)
            os.unlink(path)
        self._offsets: dict[int, int] = {}
        self._before: dict[int, torch.Tensor | None] = {}  # of rows changed since `settle`, what they were
        self.nbytes = 0

    def __contains__(self, row: int) -> bool:
        return row in self._tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def tokens(self, row: int) -> int:
        """Real tokens of a row that is kept."""
        return self._tokens[row]

    def admit(self, row: int, tokens: int) -> bool:
        """Make room for a row; False where there is none left. Raises AppError CL-1313 for a row of another length."""
        if row in self._tokens:
            if self._tokens[row] != tokens:
                raise AppError("CL-1313", "A row arrived with a different number of tokens than before.")
            return True
        size = tokens * self._width * self.dtype.itemsize
        if self.nbytes + size > self._limit:
            return False
        self._tokens[row], self._offsets[row] = tokens, self.nbytes
        self.nbytes += size
        return True

    def put(self, row: int, values_TD: torch.Tensor) -> None:
        """Keep a row's vectors, if there is room. Raises AppError CL-1313, as `admit`."""
        known = row in self._tokens
        if not self.admit(row, len(values_TD)):
            return
        if row not in self._before:
            self._before[row] = self._read(row) if known else None
        kept = values_TD.detach().to(device="cpu", dtype=self.dtype).contiguous()
        if self._file is None:
            self._values[row] = kept.clone() if kept.data_ptr() == values_TD.data_ptr() else kept
        else:
            _write(self._file, kept.reshape(-1).view(torch.uint8).numpy().data, self._offsets[row])

    def get(self, rows: Iterable[int]) -> torch.Tensor:
        """The vectors of several rows, one after the other (N, width), in the cache's own number format."""
        return torch.cat([self._read(row) for row in rows])

    def _read(self, row: int) -> torch.Tensor:
        if self._file is None:
            return self._values[row]
        count = self._tokens[row] * self._width * self.dtype.itemsize
        data = np.frombuffer(bytearray(os.pread(self._file, count, self._offsets[row])), dtype=np.uint8)
        return torch.from_numpy(data).view(self.dtype).reshape(-1, self._width)

    def settle(self) -> None:
        """A step is complete: what is here now is what `state` gives until the next one is."""
        self._before = {}

    def state(self) -> State:
        """Everything as it was at the last `settle`, for a checkpoint: rows (R,), tokens (R,), values (N, width)."""
        then = {row: self._before[row] if row in self._before else self._read(row) for row in self._tokens}
        values = {row: value for row, value in then.items() if value is not None}
        return {
            "rows": torch.tensor(list(values), dtype=torch.int64),
            "tokens": torch.tensor([len(value) for value in values.values()], dtype=torch.int64),
            "values": torch.cat([torch.zeros(0, self._width, dtype=self.dtype), *values.values()]),
        }

    def restore(self, state: State) -> None:
        """Take over what `state` gave."""
        self.clear()
        parts = torch.split(state["values"], [int(count) for count in state["tokens"]]) if len(state["rows"]) else ()
        for row, values in zip(state["rows"], parts, strict=True):
            self.put(int(row), values)
        self.settle()

    def clear(self) -> None:
        """Forget every row."""
        self._tokens, self._values, self._offsets, self._before, self.nbytes = {}, {}, {}, {}, 0

    def close(self) -> None:
        """Forget every row and give the memory or the file back."""
        self.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
