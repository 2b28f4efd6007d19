"""Columns: encoded items that give a whole batch by index, without a Python loop over samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.reading.encoded import Encoded, Ragged, Stacked

__all__ = ["Columns", "JoinedColumns", "LazyColumns", "ListColumns", "PartColumns", "RaggedColumns", "TensorColumns", "columns_of", "writable"]

LONG = 1000
"""Steps of a sequence from which on a slice a row costs less than an index for each step."""


class Columns(ABC):
    """Encoded items of one split.

    Attributes:
        lengths: `(n,)` length of each item where items differ (tokens of a text); None where they do not.
        item_bytes: about how many bytes one item takes in a batch.
        in_memory: whether `gather` is a mere copy; if not, batches are fetched ahead in a thread.
        notes: what had to be passed over in these items, each one line, for people.
    """

    lengths: Tensor | None = None
    item_bytes: int = 0
    in_memory: bool = True
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def gather(self, index: Tensor) -> dict[str, Any]:
        """The items at `index` `(b,)` int64, as a batch: each value a tensor `(b, ...)`, or a list of `b` plain values."""

    def origins(self) -> dict[str, list[Any]]:
        """What else a row of `predict` says of its item, as columns of the results: the run that a window is cut from; nothing by default."""
        return {}


class TensorColumns(Columns):
    """Tensors that all have the same first size; a batch is one `index_select` a column.

    Args:
        tensors: name -> `(n, ...)` tensor.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = {name: t.contiguous() for name, t in tensors.items()}
        self._length = len(next(iter(self.tensors.values())))
        self.item_bytes = sum(t[0].numel() * t.element_size() for t in self.tensors.values() if len(t))

    def __len__(self) -> int:
        return self._length

    def gather(self, index: Tensor) -> dict[str, Any]:
        return {name: t.index_select(0, index) for name, t in self.tensors.items()}


class RaggedColumns(Columns):
    """Sequences of different length, stored end to end; a batch is padded to its own longest.

    Args:
        sequences: `(total, ...)` values of all items, one after the other.
        lengths: `(n,)` int64 length of each item, at least 1.
        key: name of the padded values `(b, longest, ...)` in a batch.
        pad: value that fills up.
        mask: name of the mask `(b, longest)` in a batch, bool, True on values; None: there is none.
    """

    def __init__(
        self, sequences: Tensor, lengths: Tensor, *, key: str = "input_ids", pad: float = 0, mask: str | None = "attention_mask"
    ) -> None:
        self.sequences, self.key, self.pad, self.mask = sequences, key, pad, mask
        self.lengths: Tensor = lengths
        self.starts = torch.cumsum(lengths, 0) - lengths
        width = sequences[0].numel() * sequences.element_size() + 1 if len(sequences) else 1
        self.item_bytes = int(lengths.float().mean().item() * width) if len(lengths) else 0

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, index: Tensor) -> dict[str, Any]:
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths[:, None]
        if len(steps) > LONG:
            values = self.sequences.new_full((*mask.shape, *self.sequences.shape[1:]), self.pad)
            for row, start, length in zip(values, self.starts[index].tolist(), lengths.tolist()):
                row[:length] = self.sequences[start : start + length]
        else:
            at = (self.starts[index][:, None] + steps).clamp_(max=len(self.sequences) - 1)
            values = self.sequences[at]
            values.masked_fill_(~mask.view(*mask.shape, *[1] * (values.ndim - 2)), self.pad)
        return {self.key: values} if self.mask is None else {self.key: values, self.mask: mask}


class ListColumns(Columns):
    """Plain values that stay on the host: reference texts, names.

    Args:
        lists: name -> `n` values.
    """

    def __init__(self, lists: Mapping[str, Sequence[Any]]) -> None:
        self.lists = dict(lists)

    def __len__(self) -> int:
        return len(next(iter(self.lists.values())))

    def gather(self, index: Tensor) -> dict[str, Any]:
        at = index.tolist()
        return {name: [values[i] for i in at] for name, values in self.lists.items()}


class JoinedColumns(Columns):
    """Several columns of the same items, side by side; the lengths are those of the first that has any.

    Args:
        parts: columns of the same number of items, with different names.
    """

    def __init__(self, *parts: Columns) -> None:
        self.parts = parts
        self.lengths = next((part.lengths for part in parts if part.lengths is not None), None)
        self.item_bytes = sum(part.item_bytes for part in parts)
        self.in_memory = all(part.in_memory for part in parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def gather(self, index: Tensor) -> dict[str, Any]:
        return {name: value for part in self.parts for name, value in part.gather(index).items()}


class PartColumns(Columns):
    """Some items of other columns.

    Args:
        columns: the columns.
        index: `(m,)` int64, which of their items.
    """

    def __init__(self, columns: Columns, index: Tensor) -> None:
        self._columns, self._index = columns, index
        self.lengths = None if columns.lengths is None else columns.lengths[index]
        self.item_bytes, self.in_memory = columns.item_bytes, columns.in_memory

    def __len__(self) -> int:
        return len(self._index)

    def gather(self, index: Tensor) -> dict[str, Any]:
        return self._columns.gather(self._index[index])


class LazyColumns(Columns):
    """Items that are read when they are asked for (files too many for memory), several at once in threads.

    Args:
        read: reads item number `i` -> name -> tensor, all items alike in shape.
        length: how many items there are.
        threads: how many are read at once; decoders of pictures release the interpreter's lock.
    """

    in_memory = False

    def __init__(self, read: Callable[[int], dict[str, Tensor]], length: int, *, threads: int = 4) -> None:
        self._read, self._length = read, length
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fastgpu-read")

    def __len__(self) -> int:
        return self._length

    def gather(self, index: Tensor) -> dict[str, Any]:
        samples = list(self._pool.map(self._read, index.tolist()))
        return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}


class _EncodedColumns(Columns):
    """Items that a reader reads when they are asked for."""

    in_memory = False

    def __init__(self, encoded: Encoded) -> None:
        self._encoded, self.item_bytes = encoded, encoded.item_bytes
        self.lengths = None if encoded.lengths is None else torch.from_numpy(encoded.lengths)

    def __len__(self) -> int:
        return len(self._encoded)

    def gather(self, index: Tensor) -> dict[str, Any]:
        return _tensors(self._encoded.gather(index.numpy()))

    def origins(self) -> dict[str, list[Any]]:
        return self._encoded.origins()


def columns_of(encoded: Encoded) -> Columns:
    """What a reader gave, as tensors that share its memory."""
    if isinstance(encoded, Stacked):
        columns = TensorColumns(_tensors(encoded.columns))
        columns.notes = encoded.notes
        return columns
    if isinstance(encoded, Ragged):
        flat, lengths = torch.from_numpy(encoded.sequences), torch.from_numpy(encoded.lengths)
        return RaggedColumns(flat, lengths, key=encoded.key, pad=encoded.pad)
    return _EncodedColumns(encoded)


def writable(array: np.ndarray) -> np.ndarray:
    """An array that torch can share: in order, and writable, which one that PIL gave is not; a copy only where it must be."""
    return np.require(array, requirements=("C", "W"))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(writable(array)) for name, array in arrays.items()}
