"""What a source hands over when the user's own objects already give tensors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

__all__ = ["Ready"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """Data sets or loaders of the user, used as they are.

    Args:
        name: short name for the run folder.
        splits: `"train"`, and `"val"` and `"test"` where there are any; empty where `datamodule` makes them.
        origin: where the data come from, for people.
        notes: what the source decided, each one line.
        datamodule: the user's `LightningDataModule`, None for plain data sets and loaders.
    """

    name: str
    splits: dict[str, Dataset[Any] | DataLoader[Any]]
    origin: str = ""
    notes: tuple[str, ...] = ()
    datamodule: LightningDataModule | None = None
