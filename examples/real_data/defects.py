"""Photographs of brick and gravel with defects that are made: scratches, spots, and places out of focus.

Source: the files brick.png and gravel.png in the wheel of `scikit-image`, 512 x 512 grey pixels each. (Its grass.png is left
out: one side of it has leaves that the other lacks.)
Licence: the photographs are CC0, the package is BSD-3-Clause.

Of each texture 96 random crops of 128 x 128 pixels from the left 320 columns are for training; 30 good crops and 10 with each
of the three defects, all from the right 192 columns, are for the test. Everything random has a fixed seed. The layout is that
of the MVTec anomaly detection data set, one folder a texture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from real_data.fetch import cache, making, python_package

TEXTURES = ("brick", "gravel")
DEFECTS = ("scratch", "spot", "blur")
COLUMNS = 320  # of training
SIDE = 128


def folder() -> Path:
    """Folder with a folder for each of `TEXTURES`, with `train/good`, `test/<defect>` and `ground_truth/<defect>`."""
    made = cache() / "defects-1"
    if not made.is_dir():
        with making(made) as partial:
            for number, texture in enumerate(TEXTURES):
                _write(partial / texture, texture, np.random.default_rng(number))
    return made


def _write(to: Path, texture: str, rng: np.random.Generator) -> None:
    from PIL import Image

    package = python_package(
        "scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", platform="manylinux_2_28_x86_64", python="3.11"
    )
    whole = np.asarray(Image.open(package / "skimage/data" / f"{texture}.png").convert("L"))
    sets = {"train/good": (96, 0, COLUMNS), "test/good": (30, COLUMNS, 512), **{f"test/{d}": (10, COLUMNS, 512) for d in DEFECTS}}
    for place, (count, left, right) in sets.items():
        (to / place).mkdir(parents=True, exist_ok=True)
        defect = place.partition("/")[2]
        for i in range(count):
            top, first = rng.integers(0, 512 - SIDE + 1), rng.integers(left, right - SIDE + 1)
            picture = Image.fromarray(whole[top : top + SIDE, first : first + SIDE])
            if defect != "good":
                picture, mask = _damaged(picture, defect, rng)
                (to / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
                mask.save(to / "ground_truth" / defect / f"{i:03}_mask.png")
            picture.save(to / place / f"{i:03}.png")


def _damaged(picture, defect: str, rng: np.random.Generator):
    """The picture with one defect, and its mask, 255 on the defect."""
    from PIL import Image, ImageDraw, ImageFilter

    mask = Image.new("L", picture.size)
    draw = ImageDraw.Draw(mask)
    x, y = rng.integers(28, SIDE - 28, 2)
    angle, radius = rng.uniform(0, np.pi), rng.uniform(9, 14)
    if defect == "scratch":
        length = rng.uniform(40, 60)
        across, down = length / 2 * np.cos(angle), length / 2 * np.sin(angle)
        draw.line((x - across, y - down, x + across, y + down), fill=255, width=4)
    elif defect == "spot":
        draw.ellipse((x - radius, y - radius * 0.7, x + radius, y + radius * 0.7), fill=255)
    else:
        draw.ellipse((x - 22, y - 22, x + 22, y + 22), fill=255)
    if defect == "blur":
        changed = picture.filter(ImageFilter.GaussianBlur(4))
    else:  # paint that lets the texture through
        shade = 235 if rng.random() < 0.5 else 20
        changed = Image.blend(picture, Image.new("L", picture.size, shade), 0.85)
    return Image.composite(changed, picture, mask), mask
