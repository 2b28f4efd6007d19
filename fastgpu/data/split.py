"""A split that is ready to train on: encoded columns, or a loader of the user's own."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fastgpu.data.columns import Columns
from fastgpu.data.loaders import Batch, BatchLoader, Plan, epoch_seed
from fastgpu.errors import DataError

__all__ = ["ColumnSplit", "LoaderColumns", "LoaderSplit", "Split", "item_marks"]

Encode = Callable[[np.ndarray], "dict[str, Tensor] | Columns"]
KEPT = ("collate_fn", "num_workers", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context", "prefetch_factor")
"""What a `DataLoader` of the same items in another order takes over."""

TARGET_NAMES = ("target", "targets", "label", "labels", "y")


class Split(ABC):
    """One of train, val and test: gives loaders, and its first items for checks and drawings."""

    @abstractmethod
    def loader(
        self, batch_size: int, *, shuffle: bool, seed: int, epoch: Callable[[], int], rank: int, world: int
    ) -> Iterable[Batch]:
        """A loader of `Batch`es for one process; `epoch()` tells the epoch when an iteration begins."""

    @abstractmethod
    def head(self, n: int) -> Batch:
        """The first `n` items at most, as one batch."""

    @abstractmethod
    def __len__(self) -> int: ...


class ColumnSplit(Split):
    """Encoded columns.

    Args:
        x: items.
        y: targets, None where there are none.
    """

    def __init__(self, x: Columns, y: Columns | None) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def loader(
        self, batch_size: int, *, shuffle: bool, seed: int, epoch: Callable[[], int], rank: int, world: int
    ) -> BatchLoader:
        plan = Plan(
            items=len(self), batch_size=batch_size, shuffle=shuffle, seed=seed, rank=rank, world=world, lengths=self.x.lengths
        )
        # Under several processes each step is its own chunk: their gradients meet once a step.
        return BatchLoader(self.x, self.y, plan, epoch=epoch, chunked=world == 1)

    def head(self, n: int) -> Batch:
        index = torch.arange(min(n, len(self)))
        y = {} if self.y is None else self.y.gather(index)
        return {"x": self.x.gather(index), "y": y, "n": len(index), "sizes": [len(index)]}


class LoaderSplit(Split):
    """A `Dataset` or `DataLoader` of the user's own; each of its batches becomes a `Batch`.

    Args:
        given: what the user gave. It must yield `(x, y)` or a dict with one of the keys target, label, y.
        encode: the task's `encode`; None: targets are passed over.
        workers: processes that read a `Dataset`.
    """

    def __init__(self, given: Any, encode: Encode | None = None, *, workers: int = 0) -> None:
        self.given, self.encode, self.workers = given, encode, workers

    def __len__(self) -> int:
        source: Any = self.given.dataset if isinstance(self.given, DataLoader) else self.given
        try:
            return len(source)
        except TypeError:
            return 0

    def loader(
        self, batch_size: int, *, shuffle: bool, seed: int, epoch: Callable[[], int], rank: int, world: int
    ) -> _Converted:
        given = self.given
        if isinstance(given, IterableDataset):
            given = DataLoader(given, batch_size=batch_size, num_workers=self.workers)
        elif isinstance(given, Dataset):
            plan = Plan(items=len(self), batch_size=batch_size, shuffle=shuffle, seed=seed, rank=rank, world=world)
            world = 1  # the plan deals the items out already
            sampler = _PlanSampler(plan, epoch)
            given = DataLoader(
                given, batch_sampler=sampler, num_workers=self.workers, persistent_workers=self.workers > 0  # type: ignore[arg-type]
            )
        return _Converted(given, self.encode, seed=seed, epoch=epoch, rank=rank, world=world)

    def head(self, n: int) -> Batch:
        loader = self.loader(n, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
        batch = next(iter(loader), None)
        if batch is None:
            raise DataError("A loader must yield at least one batch. It yielded none. Check its data set.")
        n = min(n, batch["n"])
        parts = {part: {k: v[:n] for k, v in batch[part].items()} for part in ("x", "y")}
        return {**parts, "n": n, "sizes": [n]}

    def steady(self, most: int | None = None) -> tuple[LoaderSplit, np.ndarray | None]:
        """The same items in an order that a second run repeats, and the number of each in the data set.

        Of a `DataLoader` of a data set with numbers the order is drawn here, once; its own generator is left as it was. Whether a
        stream comes in the same order again cannot be known; there are no numbers then.

        Args:
            most: items after which no further batch is drawn; None: all.
        """
        given = self.given
        if isinstance(given, Dataset) and not isinstance(given, IterableDataset):
            return self, np.arange(len(self))
        if not isinstance(given, DataLoader) or type(given).__iter__ is not DataLoader.__iter__:
            return self, None
        if isinstance(given.dataset, IterableDataset) or given.batch_sampler is None:
            return self, None
        state = None if given.generator is None else given.generator.get_state()
        batches, count = [], 0
        for batch in given.batch_sampler:
            batches.append(list(batch))
            count += len(batch)
            if most is not None and count >= most:
                break
        if given.generator is not None and state is not None:
            given.generator.set_state(state)
        settings = {name: getattr(given, name) for name in KEPT}
        drawn = DataLoader(given.dataset, batch_sampler=batches, **settings)
        return LoaderSplit(drawn, self.encode, workers=self.workers), np.asarray([number for batch in batches for number in batch])

    def items(self, marks: Tensor | None = None) -> LoaderColumns:
        """The items by their number, in the order of the unshuffled loader; `marks` as in `LoaderColumns`."""
        return LoaderColumns(self, marks)

    def targets(self) -> np.ndarray:
        """All targets as an array, from the data set's own list where it has one, else by one pass."""
        source = self.given.dataset if isinstance(self.given, DataLoader) else self.given
        for name in ("targets", "labels"):
            found = getattr(source, name, None)
            if found is not None and len(found) == len(self):
                return np.asarray(found)
        loader = self.loader(256, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
        # A stream may have no end; its first batches tell the classes.
        return np.concatenate([np.asarray(_parts(raw)[1]) for raw in islice(loader.raw, None if len(self) else 1000)])


class LoaderColumns(Columns):
    """Items of a loader by their number: the loader runs again for them, so those that are needed together are held first.

    Args:
        split: what the loader is made by.
        marks: `(n,)` `item_marks` of an earlier run, which a further one has to repeat; None: the order is known to stay.
    """

    in_memory = False

    def __init__(self, split: LoaderSplit, marks: Tensor | None = None) -> None:
        self._split, self._marks = split, marks
        self._held: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._split)

    def hold(self, numbers: Iterable[int]) -> None:
        """Fetch items by one run of the loader; those held before are let go.

        Raises:
            DataError: the run gives other items than the one that was marked.
        """
        wanted, first = sorted(set(numbers)), 0
        self._held = {}
        for batch in self._split.loader(64, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1):
            then = None if self._marks is None else self._marks[first : first + batch["n"]]
            if then is not None and not torch.equal(item_marks(batch["x"])[: len(then)], then):  # the pass may have ended earlier
                raise DataError(
                    "A loader must give the same items in each run, so that one can be shown by its number. This one gave others. "
                    "Give a Dataset with numbered items, or a DataLoader of one."
                )
            here = [i for i in wanted if first <= i < first + batch["n"]]
            self._held |= {i: {k: v[i - first].clone() for k, v in batch["x"].items()} for i in here}
            first += batch["n"]
            if not wanted or wanted[-1] < first:
                break

    def gather(self, index: Tensor) -> dict[str, Any]:
        numbers = index.tolist()
        if not all(i in self._held for i in numbers):
            self.hold(numbers)
        return {k: torch.stack([self._held[i][k] for i in numbers]) for k in self._held[numbers[0]]}


def item_marks(x: Mapping[str, Tensor]) -> Tensor:
    """`(n,)` one number an item, by which a second run of a loader is told from another order."""
    return torch.stack([v.reshape(len(v), -1).double().nan_to_num().sum(1).cpu() for v in x.values()]).sum(0)


class _PlanSampler:
    """A `Plan` as a batch sampler of torch's `DataLoader`."""

    def __init__(self, plan: Plan, epoch: Callable[[], int]) -> None:
        self.plan, self.epoch = plan, epoch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.plan.batches(self.epoch()))


class _Converted:
    """Wraps a loader: seeds each epoch by its number and turns what comes into `Batch`es."""

    def __init__(
        self, raw: Any, encode: Encode | None, *, seed: int, epoch: Callable[[], int], rank: int, world: int
    ) -> None:
        self.raw, self.encode, self.seed, self.epoch, self.rank, self.world = raw, encode, seed, epoch, rank, world

    @property
    def batch_size(self) -> int | None:
        return getattr(self.raw, "batch_size", None)

    def __len__(self) -> int:
        return len(self.raw) // self.world  # a loader of unknown length raises TypeError, as Lightning expects

    def __iter__(self) -> Iterator[Batch]:
        # A shuffling DataLoader draws its order from the global generators.
        value = epoch_seed(self.seed, self.epoch())
        torch.manual_seed(value)
        np.random.seed(value % 2**32)
        random.seed(value)
        most = (len(self.raw) // self.world) * self.world if self.world > 1 else None
        for raw in islice(self.raw, self.rank, most, self.world):
            yield _batch(raw, self.encode)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: an epoch is a function of its number."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def _batch(raw: Any, encode: Encode | None) -> Batch:
    given, target = _parts(raw)
    x = dict(given) if isinstance(given, Mapping) else {"x": given}
    if isinstance(given, (tuple, list)) and all(isinstance(g, Tensor) for g in given):
        x = {f"x{i}": g for i, g in enumerate(given)}
    wrong = [f"{k}: {type(v).__name__}" for k, v in x.items() if not isinstance(v, Tensor)]
    if wrong or not x:
        raise DataError(
            f"A loader must yield tensors (x, y), or a dict of tensors. x came as {', '.join(wrong) or 'nothing'}. "
            "Give the data set a transform to tensors, or hand over arrays or a folder instead."
        )
    n = len(next(iter(x.values())))
    y = {} if encode is None or target is None else encode(np.asarray(target))
    y = y.gather(torch.arange(len(y))) if isinstance(y, Columns) else y
    targets = len(next(iter(y.values()))) if y else n
    if targets != n:
        raise DataError(f"A batch must have as many targets as items. {n} items and {targets} targets came. Check the collate function.")
    return {"x": x, "y": y, "n": n, "sizes": [n]}


def _parts(raw: Any) -> tuple[Any, Any]:
    """What a loader yielded -> (x, target or None)."""
    if isinstance(raw, Mapping):
        target = next((name for name in TARGET_NAMES if name in raw), None)
        if target is None:
            raise DataError(f"A loader's dict must have one of the keys {', '.join(TARGET_NAMES)}. It has {', '.join(map(str, raw))}.")
        return {k: v for k, v in raw.items() if k != target}, raw[target]
    if isinstance(raw, (tuple, list)) and len(raw) == 2:
        return raw[0], raw[1]
    came = f"{type(raw).__name__} of {len(raw)}" if isinstance(raw, (tuple, list)) else type(raw).__name__
    raise DataError(f"A loader must yield (x, y) or a dict with a target. {came} came. Change its collate function.")
