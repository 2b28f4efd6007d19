"""Nuclei under a fluorescence microscope with the outline of each: one picture of 512 x 512 pixels with 125 nuclei.

Source: the files img2d.tif and mask2d.tif in the wheel of `stardist` (Schmidt et al., 2018), a picture of the 2018 Data
Science Bowl, stage 1 (Caicedo et al., 2019, doi 10.1038/s41592-019-0612-7).
Licence: the package is BSD-3-Clause, the pictures are CC0.

240 random crops of 128 x 128 pixels from the left 336 columns are for training; the right 176 columns, cut into 8 tiles that
do not overlap, are for validation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from real_data.fetch import cache, making, python_package

COLUMNS = 336  # of training
SIDE = 128


def folder() -> Path:
    """Folder with `images/train`, `images/val`, `masks/train` and `masks/val`; masks are 0 and 255."""
    made = cache() / "nuclei-1"
    if not made.is_dir():
        with making(made) as partial:
            _write(partial)
    return made


def _write(to: Path) -> None:
    from PIL import Image

    package = python_package(
        "stardist", "0.9.2", "2316c0feb7bd5621e7a277cb3868df475c338943c591925c420ee3622c42f023", platform="manylinux_2_28_x86_64", python="3.11"
    )
    image, mask = (np.asarray(Image.open(package / "stardist/data/images" / name)).astype(np.float32) for name in ("img2d.tif", "mask2d.tif"))
    low, high = np.percentile(image[:, :COLUMNS], (1, 99.8))
    pixels = ((image - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    nuclei = (mask > 0).astype(np.uint8) * 255
    rng = np.random.default_rng(0)
    places = {
        "train": [(int(rng.integers(0, 512 - SIDE + 1)), int(rng.integers(0, COLUMNS - SIDE + 1)), SIDE) for _ in range(240)],
        "val": [(top, left, min(SIDE, 512 - left)) for top in range(0, 512, SIDE) for left in range(COLUMNS, 512, SIDE)],
    }
    for split, corners in places.items():
        for kind, whole in (("images", pixels), ("masks", nuclei)):
            (to / kind / split).mkdir(parents=True, exist_ok=True)
            for i, (top, left, width) in enumerate(corners):
                Image.fromarray(whole[top : top + SIDE, left : left + width]).save(to / kind / split / f"{i:03}.png")
