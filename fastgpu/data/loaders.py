"""Loaders: the order of an epoch, and whole batches by index."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from fastgpu.data.columns import Columns

__all__ = ["Batch", "BatchLoader", "Plan", "epoch_seed", "like", "split_steps"]

Batch = dict[str, Any]
"""`{"x": name -> (n, ...), "y": name -> (n, ...), "n": n, "sizes": [b, ...]}`: values are tensors, or lists of `n` plain
values that stay on the host; `sizes` splits the `n` items into the
batches of single optimizer steps. `"weight"` is there where processes got uneven shares of a batch: the mean over
processes of the weighted losses is then the mean over the items."""

CHUNK_BYTES = 8 * 2**20  # more would leave the processor's caches
CHUNK_BATCHES = 16  # at 16 a chunk's fixed cost (0.7 ms of Lightning's hooks) is a few percent of the smallest step


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """One 63-bit seed for an epoch, so that its randomness does not depend on what ran before it.

    Example:
        >>> epoch_seed(0, 1) == epoch_seed(0, 1), epoch_seed(0, 1) == epoch_seed(1, 0)
        (True, False)
    """
    value = (seed * 1_000_003 + epoch) * 10_007 + rank + 1
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64  # the mixing step of SplitMix64 (Steele et al. 2014)
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return (value ^ (value >> 31)) >> 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Which items make the batches of an epoch: a pure function of the epoch's number.

    Under several processes each batch of `world * batch_size` items is dealt out evenly, so every process has the same
    number of batches and no item is seen twice. A last batch of a single item joins its neighbour: batch
    normalisation cannot train on one.

    Args:
        items: how many items there are.
        batch_size: items a step and process.
        shuffle: whether the order changes with the epoch.
        seed: seed of the order.
        rank: number of this process, from 0.
        world: number of processes.
        lengths: `(items,)` length of each; batches are then made of items of like length.
    """

    items: int
    batch_size: int
    shuffle: bool = False
    seed: int = 0
    rank: int = 0
    world: int = 1
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def batches(self, epoch: int = 0) -> list[Tensor]:
        """The batches of this process: each `(b,)` int64 indices."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        order = torch.randperm(self.items, generator=generator) if self.shuffle else torch.arange(self.items)
        if self.lengths is not None:
            order = self._bucketed(order, self.lengths)
        bounds = self._bounds()
        whole = [order[a:b] for a, b in zip(bounds, bounds[1:])]
        if self.lengths is not None and self.shuffle:
            # All but the last, which may be of another size: batch number i must be of the i-th size.
            whole = [*(whole[i] for i in torch.randperm(len(whole) - 1, generator=generator).tolist()), whole[-1]]
        return [batch[self.rank :: self.world] for batch in whole]

    def weight(self, number: int) -> float:
        """What this process's mean over batch `number` counts in the mean over processes, 1 where shares are even."""
        bounds = self._bounds()
        items = bounds[number + 1] - bounds[number]
        return len(range(self.rank, items, self.world)) * self.world / items

    def _bounds(self) -> list[int]:
        step = self.batch_size * self.world
        bounds = [*range(0, self.items, step), self.items]
        if len(bounds) > 2 and bounds[-1] - bounds[-2] < 2 * self.world:
            del bounds[-2]
        return bounds

    def _bucketed(self, order: Tensor, lengths: Tensor) -> Tensor:
        """Sort by length within windows of 50 batches, so that a batch pads little and epochs still differ."""
        window = 50 * self.batch_size * self.world if self.shuffle else self.items
        parts = order.split(max(window, 1))
        return torch.cat([part[lengths[part].argsort(stable=True)] for part in parts]) if len(parts) else order


def split_steps(x: dict[str, Any], y: dict[str, Any], sizes: list[int]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The batches of single steps, tensors as views of the chunk."""
    if len(sizes) == 1:
        yield x, y
        return
    parts_x, parts_y = ({k: _parted(v, sizes) for k, v in part.items()} for part in (x, y))
    for i in range(len(sizes)):
        yield {k: v[i] for k, v in parts_x.items()}, {k: v[i] for k, v in parts_y.items()}


def _parted(values: Any, sizes: list[int]) -> Any:
    if isinstance(values, Tensor):
        return values.split(sizes)
    ends = list(itertools.accumulate(sizes))
    return [values[end - size : end] for end, size in zip(ends, sizes)]


def like(part: dict[str, Any], tensor: Tensor) -> dict[str, Any]:
    """One side of a batch on the device of `tensor`, floats in its dtype; lists stay as they are."""
    return {
        k: v if not isinstance(v, Tensor) else v.to(tensor.device, tensor.dtype) if v.is_floating_point() else v.to(tensor.device)
        for k, v in part.items()
    }


class BatchLoader:
    """Iterates over columns in whole batches; several small batches come as one, to be split on the device.

    Args:
        x: columns of the items.
        y: columns of the targets, or None.
        plan: which items make a batch.
        epoch: tells the epoch's number when an iteration begins.
        chunked: whether several batches may come at once; `Batch["sizes"]` splits them.
    """

    def __init__(
        self, x: Columns, y: Columns | None, plan: Plan, *, epoch: Callable[[], int] = lambda: 0, chunked: bool = False
    ) -> None:
        self.x, self.y, self.plan, self.epoch = x, y, plan, epoch
        self.in_memory = x.in_memory and (y is None or y.in_memory)
        step_bytes = max(1, x.item_bytes * plan.batch_size)
        # Padding depends on what else is in the batch, so items of different length are not batched ahead.
        fits = chunked and self.in_memory and x.lengths is None and (y is None or y.lengths is None)
        self.batches_per_chunk = max(1, min(CHUNK_BATCHES, CHUNK_BYTES // step_bytes)) if fits else 1

    @property
    def batch_size(self) -> int:
        """Items of one optimizer step."""
        return self.plan.batch_size

    def __len__(self) -> int:
        return -(-len(self.plan) // self.batches_per_chunk)

    def __iter__(self) -> Iterator[Batch]:
        batches = self.plan.batches(self.epoch())
        chunks = [batches[i : i + self.batches_per_chunk] for i in range(0, len(batches), self.batches_per_chunk)]
        if self.in_memory:
            yield from map(self._gather, range(len(chunks)), chunks)
            return
        # Reading files and drawing masks takes long: the next chunk is made while the network works on this one.
        with ThreadPoolExecutor(1, thread_name_prefix="fastgpu-next") as ahead:
            waiting = [ahead.submit(self._gather, number, chunk) for number, chunk in enumerate(chunks[:2])]
            for number in range(len(chunks)):
                yield waiting.pop(0).result()
                if number + 2 < len(chunks):
                    waiting.append(ahead.submit(self._gather, number + 2, chunks[number + 2]))

    def _gather(self, number: int, chunk: list[Tensor]) -> Batch:
        index = chunk[0] if len(chunk) == 1 else torch.cat(chunk)
        y = {} if self.y is None else self.y.gather(index)
        batch: Batch = {"x": self.x.gather(index), "y": y, "n": len(index), "sizes": [len(part) for part in chunk]}
        if self.plan.world > 1:
            batch["weight"] = self.plan.weight(number)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: an epoch is a function of its number. Tells Lightning that resuming is safe."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""
