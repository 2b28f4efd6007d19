"""What reads items: the half of an input kind that needs no torch."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import ArgumentError
from fastgpu.reading.encoded import Encoded
from fastgpu.registry import Registry

__all__ = ["READERS", "Reader", "as_array", "objects", "tuples"]

READERS: Registry[type[Reader]] = Registry("kind of items", "fastgpu.reading")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """Turns what a user hands to `predict` into the arrays of a batch's `x`.

    Its fields are those of the input kind that reading needs, plain data.
    """

    kind: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    """Keys of a batch's `x`, in the order in which a plain network is called with them."""

    @abstractmethod
    def as_items(self, given: Any) -> Any:
        """What a user handed to `predict` (one item or many, files, arrays, strings) -> items for `arrays`."""

    def arrays(self, items: Any) -> Encoded:
        """Items -> arrays that give whole batches by index.

        Raises:
            BadItemError: an item cannot be read; the error carries its `index`.
        """
        raise NotImplementedError

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        """What stands on a command line -> a name for each item, and the items as `as_items` gives them.

        Raises:
            ArgumentError: a shell cannot give such items.
        """
        raise ArgumentError("A shell cannot give the items that this model takes. Use predict in Python.")

    def pictures(self, items: Any) -> Callable[[int], Any] | None:
        """Number of an item -> the item as it came, as a PIL picture of mode RGB to paint on; None where items are no pictures."""
        return None

    @staticmethod
    def of(saved: Mapping[str, Any]) -> Reader:
        """The reader of an input kind that was saved as plain data by `Input.to_dict`."""
        reader = READERS[saved["kind"]]
        fields = {field.name for field in dataclasses.fields(reader)}
        return reader(**{name: tuples(value) for name, value in saved.items() if name in fields})


def as_array(given: Any) -> np.ndarray:
    """An array, a torch tensor on any device, or what NumPy makes an array of -> an array."""
    if not hasattr(given, "detach"):
        return np.asarray(given)
    given = given.detach().cpu()
    return np.asarray(given.float() if str(given.dtype) == "torch.bfloat16" else given)  # NumPy has no bfloat16


def objects(items: Sequence[Any]) -> np.ndarray:
    """A sequence -> an array `(n,)` of objects."""
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):  # by an index each: a list of arrays of one shape would become a larger array
        array[i] = item
    return array


def tuples(value: Any) -> Any:
    """Lists as tuples, as they were before JSON."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(tuples(v) for v in value)
    return value
