"""What a source hands over: raw items and targets by split, before anything is learnt from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

__all__ = ["Items", "Raw", "SPLITS"]

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Items:
    """One split, still raw.

    Args:
        x: items that can be indexed by a NumPy integer array: an array or tensor `(n, ...)`, an object array of
            paths or strings `(n,)`, or a DataFrame of `n` rows.
        y: targets as a NumPy array: `(n,)` labels, numbers, texts or objects, `(n, k)` for several; None where there are none.
        group: `(n,)` what each item belongs to (a run, an episode, a speaker): a group is never split; None: items stand alone.
    """

    x: Any
    y: np.ndarray | None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Items:
        """The items at `index`, in that order."""
        x = self.x.iloc[index] if hasattr(self.x, "iloc") else self.x[index]
        y, group = (None if part is None else part[index] for part in (self.y, self.group))
        return Items(x, y, group)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raw:
    """A recognised source.

    Args:
        name: short name for the run folder: `"digits"`.
        kind: the input kind, a name of `fastgpu.inputs.INPUTS`.
        splits: `"train"`, and `"val"` and `"test"` where the source has them.
        classes: class names where the source knows them (names of folders); None: read from the targets.
        task: the task where the source knows it, else None.
        origin: where the data come from, for people: a path, a citation with its licence.
        notes: what the source decided or skipped, each one line.
        target: name of the target column(s) where there is one.
    """

    name: str
    kind: str
    splits: dict[str, Items]
    classes: tuple[str | int, ...] | None = None
    task: str | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
