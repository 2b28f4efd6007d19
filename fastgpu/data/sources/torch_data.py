"""Torch data sets, loaders and `LightningDataModule`s of the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from fastgpu.data.raw import Items, Raw
from fastgpu.data.ready import Ready
from fastgpu.data.sources.arrays import CHANNELS, as_items
from fastgpu.data.sources.base import SOURCES, Request, Source, split_name
from fastgpu.data.sources.vision import class_names, is_untransformed, vision_items
from fastgpu.errors import DataError, UnknownNameError

__all__: list[str] = []


def _is_data(part: Any) -> bool:
    return isinstance(part, (Dataset, DataLoader))


def _datamodule(data: Any) -> str | None:
    """The package whose `LightningDataModule` this is; found by name, for Lightning takes seconds to import."""
    for base in type(data).__mro__:
        if base.__name__ == "LightningDataModule":
            return base.__module__.split(".")[0]
    return None


def _recognise(data: Any, request: Request) -> bool:
    if isinstance(data, dict):
        return bool(data) and all(_is_data(part) for part in data.values())
    if isinstance(data, (tuple, list)):
        return len(data) in (2, 3) and all(_is_data(part) for part in data)
    return _is_data(data) or (not isinstance(data, type) and _datamodule(data) is not None)


def _named(data: Any) -> dict[str, Any]:
    if isinstance(data, dict):
        wrong = next((name for name in data if split_name(name) is None), None)
        if wrong is not None:
            raise UnknownNameError("split", wrong, ("train", "val", "test"))
        parts = {str(split_name(name)): part for name, part in data.items()}
        if "train" not in parts:
            raise DataError(f"A dict of data sets needs 'train'. {', '.join(map(repr, data))} came. Name the training part so.")
        return parts
    if isinstance(data, (tuple, list)):
        return dict(zip(("train", "val", "test"), data, strict=False))
    return {"train": data}


def _load(data: Any, request: Request) -> Raw | Ready:
    request.refuse_target("data sets and loaders")
    package = _datamodule(data)
    name = type(data).__name__
    if package is not None:
        if package == "pytorch_lightning":
            raise DataError(
                f"A data module is one of the package lightning. {name} is one of pytorch_lightning. "
                "Derive it from lightning.pytorch.LightningDataModule."
            )
        return Ready(name=name.lower(), splits={}, origin=f"your {name}", datamodule=data)
    parts = _named(data)
    for split, part in parts.items():
        _check(part, split)
    first = type(parts["train"]).__name__
    raw = _as_raw(parts, request, first)
    if raw is not None:
        return raw
    return Ready(name=first.lower(), splits=parts, origin=f"your {first}")


def _check(part: Any, split: str) -> None:
    if isinstance(part, IterableDataset):
        return
    try:
        length = len(part)
    except (TypeError, NotImplementedError):
        if isinstance(part, DataLoader):  # over an iterable data set, whose length nobody knows
            return
        raise DataError(f"A data set has a length. {type(part).__name__} for {split} has none. Give it __len__.") from None
    if length == 0:
        raise DataError(f"Data must have items. The {type(part).__name__} for {split} is empty. Check where it comes from.")


def _as_raw(parts: dict[str, Any], request: Request, name: str) -> Raw | None:
    """Data sets that only wrap arrays or files, as these: whole batches by index are far quicker than item by item."""
    found = {split: _inner(part) for split, part in parts.items()}
    if any(pair is None for pair in found.values()):
        return None
    read = {split: as_items(*pair, split, request) for split, pair in found.items() if pair is not None}
    kinds = {kind for kind, _, _ in read.values()}
    if len(kinds) > 1:
        return None
    return Raw(
        name=name.lower(),
        kind=kinds.pop(),
        splits={split: items for split, (_, items, _) in read.items()},
        classes=_classes(parts["train"]),
        origin=f"your {name}, its tensors or files taken directly",
        notes=tuple(note for _, _, notes in read.values() for note in notes),
    )


def _inner(part: Any) -> tuple[Any, Any] | None:
    """`x` and `y` inside a data set that does nothing to them, else None."""
    if isinstance(part, Subset):
        inner = _inner(part.dataset)
        if inner is None:
            return None
        taken = Items(inner[0], np.asarray(inner[1])).take(np.asarray(part.indices, dtype=np.int64))
        return taken.x, taken.y
    if type(part) is TensorDataset and len(part.tensors) == 2 and _plain_tensors(*part.tensors):
        return part.tensors[0], part.tensors[1].detach().cpu().numpy()
    if is_untransformed(part):
        items = vision_items(part)
        return None if items is None else (items.x, items.y)
    return None


def _plain_tensors(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether they are surely pictures or rows of numbers with targets; ids of tokens and the like are not."""
    pictures = x.ndim == 4 and x.shape[1] in CHANNELS and x.dtype in (torch.uint8, torch.float32)
    numbers = x.ndim == 2 and x.dtype in (torch.float32, torch.float64)
    return (pictures or numbers) and y.ndim in (1, 2) and y.dtype != torch.bfloat16


def _classes(part: Any) -> tuple[str, ...] | None:
    while isinstance(part, Subset):
        part = part.dataset
    return class_names(part) if is_untransformed(part) else None


SOURCES.register("torch")(
    Source(
        order=60,
        form="a torch Dataset or DataLoader, a tuple (train, val) or dict of them, or a LightningDataModule",
        recognise=_recognise,
        load=_load,
    )
)
