"""Samples that ship with FastGPU."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source

__all__ = ["digits"]


def digits() -> Raw:
    """Handwritten digits: 1,797 grey pictures of 8x8, classes 0 to 9; one split, `train`.

    The test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49,
    CC BY 4.0). Each of the 64 values counts the dark points in a block of 4x4, 0 to 16; here they are scaled to 0 to 255.

    Returns:
        Items with `x` `(1797, 1, 8, 8)` uint8 and `y` `(1797,)` int64.
    """
    file = resources.files("fastgpu.data").joinpath("samples").joinpath("digits.npz")
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as stored:
        values, labels = stored["images"], stored["labels"]
    images = np.rint(values * (255 / 16)).astype(np.uint8)[:, None]
    return Raw(
        name="digits",
        kind="image",
        splits={"train": Items(images, labels.astype(np.int64))},
        classes=tuple(range(10)),
        task="classification",
        origin="Optical Recognition of Handwritten Digits, test part (Alpaydin & Kaynak 1998, doi:10.24432/C50P49), CC BY 4.0",
    )


_SAMPLES = {"digits": digits}


def _recognise(data: Any, request: Request) -> bool:
    return isinstance(data, str) and data.lower() in _SAMPLES


def _load(data: str, request: Request) -> Raw:
    request.refuse_target("a built-in sample")
    return _SAMPLES[data.lower()]()


SOURCES.register("sample")(
    Source(
        order=10,
        form=f"the name of a sample that ships ({', '.join(map(repr, _SAMPLES))})",
        recognise=_recognise,
        load=_load,
        names=tuple(_SAMPLES),
    )
)
