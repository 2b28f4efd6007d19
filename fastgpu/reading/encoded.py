"""Encoded items as NumPy arrays that give a whole batch by index; `fastgpu.data.columns` has their like in torch, for training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["Encoded", "Ragged", "Read", "Stacked"]


class Encoded(ABC):
    """Encoded items.

    Attributes:
        lengths: `(n,)` length of each item where items differ (tokens of a text); None where they do not.
        item_bytes: about how many bytes one item takes in a batch, where they are not in memory.
        notes: what had to be passed over in these items, each one line, for people.
    """

    item_bytes: int = 0
    lengths: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The items at `index` `(b,)` int64, as a batch of arrays `(b, ...)`."""

    def origins(self) -> dict[str, list[Any]]:
        """What else a row of `predict` says of its item, as columns of the results: the run that a window is cut from; nothing by default."""
        return {}


class Stacked(Encoded):
    """Arrays that all have the same first size.

    Args:
        columns: name -> `(n, ...)` array.
        notes: as above.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], notes: tuple[str, ...] = ()) -> None:
        self.columns, self.notes = dict(columns), notes

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        return {name: column[index] for name, column in self.columns.items()}


class Ragged(Encoded):
    """Sequences of different length, stored end to end; a batch is padded to its own longest.

    Args:
        sequences: `(total, ...)` values of all items, one after the other.
        lengths: `(n,)` int64 length of each item, at least 1.
        key: name of the padded values `(b, longest, ...)` in a batch; `attention_mask` `(b, longest)` is True on values.
        pad: value that fills up.
    """

    def __init__(self, sequences: np.ndarray, lengths: np.ndarray, *, key: str = "input_ids", pad: float = 0) -> None:
        self.sequences, self.key, self.pad = sequences, key, pad
        self.lengths: np.ndarray = lengths
        self.starts = np.cumsum(lengths) - lengths

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        lengths = self.lengths[index]
        mask = np.arange(lengths.max()) < lengths[:, None]
        values = np.full((*mask.shape, *self.sequences.shape[1:]), self.pad, self.sequences.dtype)
        for row, start, length in zip(values, self.starts[index], lengths):
            row[:length] = self.sequences[start : start + length]
        return {self.key: values, "attention_mask": mask}


class Read(Encoded):
    """Items that are read when they are asked for: files too many for memory, frames of a film.

    Args:
        read: reads item number `i` -> name -> array, all items alike in shape.
        length: how many items there are.
        threads: how many are read at once; 0: one after the other, in the order asked for.
    """

    def __init__(self, read: Callable[[int], dict[str, np.ndarray]], length: int, *, threads: int = 0) -> None:
        self.read, self.threads, self._length = read, threads, length
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fastgpu-read") if threads else None

    def __len__(self) -> int:
        return self._length

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        numbers = index.tolist()
        items = list(self._pool.map(self.read, numbers) if self._pool else map(self.read, numbers))
        return {name: np.stack([item[name] for item in items]) for name in items[0]}
