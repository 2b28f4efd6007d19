"""Segmentation: discs on noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fields import Field

SIZES = ((32, 32), (24, 40))


def discs(folder: Path, count: int = 40) -> Path:
    """Pictures of two sizes with masks of 0 and 255."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / "discs" / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        height, width = SIZES[i % 2]
        down, across = np.mgrid[:height, :width]
        inside = (down - rng.integers(6, height - 6)) ** 2 + (across - rng.integers(6, width - 6)) ** 2 < rng.integers(4, 8) ** 2
        pixels = (inside * 120 + rng.normal(60, 15, (height, width))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "discs" / "images" / f"{i:02}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / "discs" / "masks" / f"{i:02}.png")
    return folder / "discs"


FIELDS = [
    Field(
        name="segmentation",
        architecture="unet/test_resnet",
        data=discs,
        items=lambda folder: sorted((discs(folder) / "images").glob("*.png"))[:4],
        task="segmentation",
        column="masks",
        packages=("segmentation_models_pytorch",),
    )
]
