"""DataModule: the splits with their input kind and task, as Lightning takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.ready import Ready
from fastgpu.data.split import ColumnSplit, LoaderSplit, Split
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.inputs.base import Input
from fastgpu.inputs.tensors import TensorInput

if TYPE_CHECKING:
    from fastgpu.tasks.base import Task

__all__ = ["DataModule", "from_raw", "from_ready"]


class DataModule(LightningDataModule):
    """Data, ready for training: `learn.data`.

    Attributes:
        name: short name, used for the run folder.
        input: the input kind, fitted to the training data.
        task: the task, fitted to the training targets.
        splits: `"train"`, `"val"`, `"test"` -> `Split`, those that there are.
        notes: what was decided or skipped, each one line.
        batch_size: items a step and process.
        seed: seed of the order of each epoch.
        epoch_offset: epochs that were trained before the Trainer's counter began.
    """

    def __init__(
        self,
        *,
        name: str,
        input: Input,
        task: Task,
        splits: Mapping[str, Split],
        origin: str = "",
        notes: tuple[str, ...] = (),
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.input, self.task, self.splits = name, input, task, dict(splits)
        self.origin, self.notes, self.batch_size, self.seed = origin, notes, batch_size, seed
        self.epoch_offset = 0

    @property
    def classes(self) -> tuple[str | int, ...]:
        """Class names in the order of the network's outputs; empty for tasks without classes."""
        return getattr(self.task, "classes", ())

    @property
    def sizes(self) -> dict[str, int]:
        """Split -> number of items (0 where a loader does not tell)."""
        return {name: len(split) for name, split in self.splits.items()}

    def judged(self) -> Split:
        """What is judged where nothing is named: the val split, without one the training split."""
        return self.splits["val"] if "val" in self.splits else self.split("train")

    def split(self, name: str) -> Split:
        """One split.

        Raises:
            DataError: the data have no such split.
        """
        if not self.splits:
            raise DataError("This needs data. The learner was loaded without. Give Learner.load(path, data=...), or hand the data to the call.")
        if name not in self.splits:
            raise DataError(f"This needs a {name} split. The data have: {', '.join(self.splits)}.")
        return self.splits[name]

    def train_dataloader(self) -> Any:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> Any:
        return self._loader("val") if "val" in self.splits else []

    def test_dataloader(self) -> Any:
        return self._loader("test") if "test" in self.splits else []

    def _loader(self, name: str, *, shuffle: bool = False) -> Any:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return self.split(name).loader(
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            epoch=lambda: self.epoch_offset + (self.trainer.current_epoch if self.trainer else 0),
            rank=rank,
            world=world,
        )

    def class_counts(self) -> np.ndarray:
        """How many training items each class has."""
        split = self.split("train")
        y = split.y.tensors if isinstance(split, ColumnSplit) and isinstance(split.y, TensorColumns) else {}
        if "target" not in y or not self.classes:
            raise ArgumentError("class_weight='balanced' needs class labels in memory. Give a tuple of weights, one a class, instead.")
        target = y["target"]
        counts = target.sum(0) if target.ndim == 2 else torch.bincount(target, minlength=len(self.classes))
        return counts.numpy()

    def to_dict(self) -> dict[str, Any]:
        """Everything that `predict` needs in another process, as plain data; not the items."""
        return {
            "name": self.name,
            "origin": self.origin,
            "notes": list(self.notes),
            "sizes": self.sizes,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "input": self.input.to_dict(),
            "task": self.task.to_dict(),
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n:,} {name}" for name, n in self.sizes.items()) or "no items loaded"
        lines = [f"{self.name}: {sizes}", f"  input  {self.input.describe()}", f"  task   {self.task.describe()}"]
        if self.origin:
            lines.append(f"  from   {self.origin}")
        return "\n".join([*lines, *(f"  note   {note}" for note in self.notes)])

    def __str__(self) -> str:
        return repr(self)


def from_raw(raw: Raw, *, input: Input, task: Task, on_bad_item: str, **settings: Any) -> DataModule:
    """Encode a recognised source.

    Args:
        on_bad_item: `"raise"`, or `"skip"`: unreadable items are left out and named in the notes.
    """
    notes, splits = list(raw.notes), {}
    for name in SPLITS:
        if name in raw.splits:
            x, y = _encode(input, task, raw.splits[name], on_bad_item, name, notes)
            splits[name] = ColumnSplit(x, y)
            notes += [f"{name}: {note}" for note in x.notes]
    input = input.completed([split.x for split in splits.values()])
    return DataModule(
        name=raw.name, input=input, task=task, splits=splits, origin=raw.origin, notes=tuple(notes), **settings
    )


def _encode(
    input: Input, task: Task, items: Items, on_bad_item: str, split: str, notes: list[str]
) -> tuple[Columns, Columns | None]:
    try:
        x = input.encode(items.x)
        y = None if items.y is None else task.encode(items.y, x)
        return x, y if y is None or isinstance(y, Columns) else TensorColumns(y)
    except BadItemError as error:
        if on_bad_item != "skip" or not error.indices or len(error.indices) == len(items):
            raise
        good = np.setdiff1d(np.arange(len(items)), error.indices)
        named = ", ".join(str(items.x[i]) for i in error.indices[:5])
        more = " ..." if len(error.indices) > 5 else ""
        notes.append(f"skipped {len(error.indices)} unreadable of {len(items)} in {split}: {named}{more}")
        # Once more: a target may be unreadable too.
        return _encode(input, task, items.take(good), on_bad_item, split, notes)


def from_ready(ready: Ready, *, fit_task: Callable[[np.ndarray], Task], workers: int, **settings: Any) -> DataModule:
    """Wrap data sets and loaders of the user's own.

    Args:
        fit_task: training targets -> fitted task.
        workers: processes that read a `Dataset`.
    """
    train = LoaderSplit(ready.splits["train"], workers=workers)
    task = fit_task(train.targets())
    splits = {name: LoaderSplit(given, task.encode, workers=workers) for name, given in ready.splits.items()}
    input = TensorInput.fit(splits["train"].head(1)["x"])
    return DataModule(
        name=ready.name, input=input, task=task, splits=splits, origin=ready.origin, notes=ready.notes, **settings
    )
