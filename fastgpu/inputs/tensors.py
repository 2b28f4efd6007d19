"""Tensors as the user made them: from a `Dataset`, a `DataLoader` or a `LightningDataModule`; nothing is changed."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input

__all__ = ["TensorInput"]


@INPUTS.register("tensors")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorInput(Input):
    """What the user's own loader yields, handed to the network as it comes.

    Args:
        keys: keys of the batch's `x`, in the order in which the network is called.
        shape: shape of one item of the first of them.
    """

    kind: ClassVar[str] = "tensors"

    keys: tuple[str, ...]  # type: ignore[misc]  # of every loader its own, where other kinds have them by class
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, items: dict[str, Tensor], *, size: tuple[int, int] | None = None) -> TensorInput:
        first = next(iter(items.values()))
        return cls(keys=tuple(items), shape=tuple(first.shape[1:]))

    def encode(self, items: dict[str, Tensor]) -> Columns:
        return TensorColumns(items)

    def as_items(self, given: Any) -> dict[str, Tensor]:
        values = given if isinstance(given, dict) else {self.keys[0]: given}
        if set(values) != set(self.keys):
            raise DataError(f"Items must have the parts {', '.join(self.keys)}. {', '.join(map(str, values))} came.")
        try:
            tensors = {k: torch.as_tensor(np.asarray(v) if not isinstance(v, Tensor) else v) for k, v in values.items()}
        except (TypeError, ValueError):
            raise DataError(
                f"This model was trained on the tensors of your own loader, of shape {self.shape}. "
                f"{type(given).__name__} came. Give an array or tensor of that shape."
            ) from None
        first = tensors[self.keys[0]]
        if first.ndim == len(self.shape):
            tensors = {k: t[None] for k, t in tensors.items()}
        return {k: t.float() if t.dtype == torch.float64 else t for k, t in tensors.items()}

    def facts(self) -> dict[str, Any]:
        if len(self.shape) == 3:
            return {"kind": "image", "channels": self.shape[0], "size": self.shape[1:]}
        if len(self.shape) == 1 and len(self.keys) == 1:
            return {"kind": "table", "numbers": self.shape[0], "cardinalities": ()}
        return {"kind": "tensors", "shape": self.shape}

    def describe(self) -> str:
        return f"tensors of your own loader, {', '.join(self.keys)}, an item {self.shape}"

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        values = columns.gather(torch.tensor([index]))[self.keys[0]][0].float()
        if values.ndim == 3:
            span = (values.max() - values.min()).clamp_min(1e-12)
            picture = ((values - values.min()) / span)[:3].permute(1, 2, 0).numpy()
            axes.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray")
        else:
            axes.plot(values.flatten().numpy(), linewidth=0.8)
        axes.set(xticks=[], yticks=[])
