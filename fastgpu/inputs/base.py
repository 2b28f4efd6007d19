"""What an input kind has to know: the contract that every file of this package fills."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from fastgpu.errors import ArgumentError
from fastgpu.reading.base import Reader, tuples
from fastgpu.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from fastgpu.data.columns import Columns

__all__ = ["INPUTS", "Input", "Preparation"]

INPUTS: Registry[type[Input]] = Registry("input kind", "fastgpu.inputs")


class Preparation(nn.Module):
    """What happens to a batch on the device before the network sees it; the identity by default.

    It is a module so that its constants (mean, std, medians) move with the network and are exported with it.
    The constants are buffers that are not saved in a state dict: they are part of the `Input`.

    Attributes:
        channels_last: whether pictures are laid out channels last; set where the network convolves.
    """

    channels_last: bool = False

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Prepare a batch: keys stay, values become what the network takes. Called in training and in evaluation."""
        return x

    def augment(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Vary a prepared batch at random, targets with it; called in training only, when augmentation is on."""
        return x, y


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input(Reader):
    """An input kind, fitted to the training data: everything that turns raw items into what a network takes.

    Fields are plain data (numbers, strings, tuples, dicts), so that an input is saved as JSON with the model. What reads the
    items without torch can stand in a `Reader` of its own, from which the input derives too: the `Predictor` then reads them.
    """

    options: ClassVar[tuple[str, ...]] = ()
    """Settings of the learner that `fit` takes beside the items."""

    @property
    def channels_last(self) -> bool:
        """Whether convolutions are faster on these items with the channels last in memory."""
        return False

    @classmethod
    @abstractmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None) -> Input:
        """Learn statistics from the raw training items.

        Args:
            items: the items of the training split, in the form that this kind's sources give.
            size: `(height, width)` that the architecture asks for; only pictures heed it.

        A kind may take more keywords: the settings that its `options` name, and what a task's `input_options` ask for.
        """

    @abstractmethod
    def encode(self, items: Any) -> Columns:
        """Raw items -> columns of tensors that give whole batches by index.

        Raises:
            BadItemError: an item cannot be read; the error carries its `index`.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a builder of the zoo needs to know, for example `{"channels": 1, "size": (8, 8)}`."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: `"pictures 8x8, 1 channel, mean 0.31, std 0.38"`."""

    @abstractmethod
    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        """Draw one item into matplotlib `axes`, as the network sees it."""

    def plain(self, columns: Columns, index: int) -> Any:
        """One item for people, to stand in a table: a picture `(height, width, channels)` uint8, a text, `(samples, rate)` of a sound,
        a row as a dict; None where this kind has no such form."""
        return None

    def column(self, columns: Columns, name: str) -> np.ndarray:
        """The values `(n,)` of a column by its name; missing ones are NaN or None.

        Raises:
            ArgumentError: there is no such column, or the items have none.
        """
        raise ArgumentError(f"A column by its name needs items with columns, as tables have. {name!r} came for {self.kind} data. Give the values.")

    def completed(self, splits: Sequence[Columns]) -> Input:
        """This input with what it keeps of the items of all splits, once they are encoded; itself by default."""
        return self

    def declared(self, facts: Mapping[str, Any]) -> Input:
        """This input with what the network declares (`Built.declares`): its own mean, size, sampling rate."""
        return dataclasses.replace(self, **facts)

    def preparation(self) -> Preparation:
        """The module that prepares a batch on the device."""
        return Preparation()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"kind": self.kind, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Input:
        """The input that `to_dict` gave; lists become tuples again."""
        return INPUTS[saved["kind"]](**{k: tuples(v) for k, v in saved.items() if k != "kind"})
