"""What gives answers: the half of a task that needs no torch."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.registry import Registry

__all__ = ["ANSWERS", "Answers", "short", "strung"]

ANSWERS: Registry[type[Answers]] = Registry("task", "fastgpu.answers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers(ABC):
    """Turns what `Task.decode` gave into the columns of `Results`, and says and draws them.

    Its fields are those of the task that this needs, plain data.
    """

    name: ClassVar[str]
    files: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files that `write` makes of one prediction: a sound, a mask."""
    tabled: ClassVar[bool] = True
    """Whether a table can hold the predictions."""
    paints: ClassVar[bool] = False
    """Whether a prediction can be painted over the picture that it belongs to."""

    @property
    def names(self) -> tuple[str | int, ...]:
        """What the outputs stand for: classes, or names of targets (empty where they have none)."""
        return ()

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """What an exported network gave for a batch, and the batch -> predictions, as `Task.predict` gives them; as they are by default."""
        return outputs

    @abstractmethod
    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """Predictions of `n` items, arrays or tensors on the CPU -> named columns in plain Python or NumPy for `Results`."""

    def table(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """What `columns` gave, as columns of a table: numbers and words; with `"item"`, the number of each row's item, where
        an item has several rows or none."""
        return columns

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        """One prediction or truth as a short text over a drawing."""
        raise NotImplementedError

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:  # noqa: B027
        """Draw one prediction or truth over the drawn item: boxes, a mask; nothing by default."""

    def paint(self, picture: Any, columns: Mapping[str, Any], index: int) -> Any:
        """A PIL picture of mode RGB, as it came -> the same with one prediction over it; only with `paints`."""
        raise NotImplementedError

    def write(self, columns: Mapping[str, Any], index: int, path: Path) -> None:
        """Write one prediction as a file; only with `files`."""
        raise NotImplementedError

    @staticmethod
    def of(saved: Mapping[str, Any]) -> Answers:
        """The answers of a task that was saved as plain data by `Task.to_dict`."""
        answers = ANSWERS[saved["name"]]
        fields = {field.name for field in dataclasses.fields(answers)}
        return answers(**{name: tuple(value) if isinstance(value, list) else value for name, value in saved.items() if name in fields})


def strung(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Predictions of several batches as one: arrays are joined, lists strung together."""
    return {
        name: np.concatenate([part[name] for part in parts])
        if isinstance(first, np.ndarray)
        else [value for part in parts for value in part[name]]
        for name, first in parts[0].items()
    }


def short(names: Sequence[Any], most: int = 5) -> str:
    """The first names: `"0, 1, 2, ..."`."""
    return ", ".join(str(n) for n in names[:most]) + (", ..." if len(names) > most else "")
