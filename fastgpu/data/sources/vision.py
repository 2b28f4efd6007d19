"""Items of torchvision data sets, without going through their pictures one by one."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np

from fastgpu.data.raw import Items
from fastgpu.data.sources.arrays import CHANNELS
from fastgpu.data.sources.base import class_targets, objects

__all__ = ["class_names", "is_untransformed", "vision_items"]


def is_untransformed(dataset: Any) -> bool:
    """Whether it is a torchvision data set whose pictures and targets are handed out as they are."""
    torchvision = sys.modules.get("torchvision.datasets")
    if torchvision is None or not isinstance(dataset, torchvision.VisionDataset):
        return False
    return all(getattr(dataset, name, None) is None for name in ("transform", "target_transform", "transforms"))


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes in their order; None where they only spell out the numbers (`"0 - zero"`)."""
    classes = getattr(dataset, "classes", None)
    if not classes:
        return None
    names = tuple(c if isinstance(c, str) else c[0] for c in classes)  # imagenette gives all synonyms
    if all(name == str(i) or name.startswith(f"{i} - ") for i, name in enumerate(names)):
        return None
    return names


def vision_items(dataset: Any) -> Items | None:
    """Items of a torchvision data set for classification: its arrays, or the paths of its files; None where it shows neither."""
    classes = class_names(dataset)
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    data = getattr(dataset, "data", None)
    if labels is not None and data is not None:
        x = np.asarray(data)
        if x.ndim == 3:
            x = x[:, None]
        elif x.shape[-1] in CHANNELS:
            x = x.transpose(0, 3, 1, 2)
        return Items(np.ascontiguousarray(x), class_targets(labels, classes))
    samples = getattr(dataset, "samples", None)
    if samples is None and hasattr(dataset, "loader"):
        # The loader makes a picture of a path; without it the data set hands out the paths themselves.
        bare = copy.copy(dataset)
        bare.loader = str
        samples = [bare[i] for i in range(len(bare))]
    if not samples:
        return None
    paths, codes = zip(*samples, strict=True)
    return Items(objects(map(str, paths)), class_targets(codes, classes))
