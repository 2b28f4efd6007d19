"""Real digits on real photographs: scenes of 128 x 128 pixels with one to four handwritten digits, each with its box.

Source: the digits that ship with FastGPU (Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49), and photographs of the
wheel of `scikit-image`.
Licence: the digits are CC BY 4.0; the photographs are in the public domain or CC0, the package is BSD-3-Clause.

1,000 scenes for training take the first 1,200 digits and seven photographs; 200 for the test take the other 597 digits and
four other photographs. A digit is drawn 24 to 40 pixels high, in a colour that is clear of what lies beneath. Everything
random has a fixed seed. The annotations are COCO's.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from real_data.fetch import cache, making, python_package

PHOTOGRAPHS = {
    "train": ("astronaut.png", "brick.png", "camera.png", "coffee.png", "gravel.png", "hubble_deep_field.jpg", "motorcycle_left.png"),
    "test": ("chelsea.png", "grass.png", "moon.png", "rocket.jpg"),
}
SCENES = {"train": 1000, "test": 200}
DIGITS = {"train": slice(0, 1200), "test": slice(1200, None)}
SIDE = 128


def folder() -> Path:
    """Folder with `annotations/train.json` and `annotations/test.json`, and pictures in `images/train` and `images/test`."""
    made = cache() / "digit-scenes-1"
    if not made.is_dir():
        with making(made) as partial:
            for number, split in enumerate(SCENES):
                _write(partial, split, np.random.default_rng(number))
    return made


def _write(to: Path, split: str, rng: np.random.Generator) -> None:
    from PIL import Image

    from fastgpu.data.sources import load

    package = python_package(
        "scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", platform="manylinux_2_28_x86_64", python="3.11"
    )
    photographs = [Image.open(package / "skimage/data" / name).convert("RGB") for name in PHOTOGRAPHS[split]]
    digits = load("digits").splits["train"]  # type: ignore[union-attr]
    pictures, labels = digits.x[DIGITS[split], 0], digits.y[DIGITS[split]]
    images, annotations = [], []
    (to / "images" / split).mkdir(parents=True)
    (to / "annotations").mkdir(exist_ok=True)
    for i in range(SCENES[split]):
        scene = _crop(photographs[rng.integers(len(photographs))], rng)
        taken: list[tuple[int, int, int, int]] = []
        for _ in range(rng.integers(1, 5)):
            pick = int(rng.integers(len(labels)))
            box = _place(scene, Image.fromarray(pictures[pick]), taken, rng)
            if box:
                left, top, right, bottom = box
                bbox = [left, top, right - left, bottom - top]
                annotations.append({"id": len(annotations), "image_id": i, "category_id": int(labels[pick]), "bbox": bbox})
        Image.fromarray(scene).save(to / "images" / split / f"{i:04}.png")
        images.append({"id": i, "file_name": f"{split}/{i:04}.png", "width": SIDE, "height": SIDE})
    categories = [{"id": n, "name": str(n)} for n in range(10)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (to / "annotations" / f"{split}.json").write_text(json.dumps(content))


def _crop(photograph, rng: np.random.Generator) -> np.ndarray:
    """A square out of a photograph, 128 to 256 pixels wide, brought to 128."""
    side = int(rng.integers(SIDE, 2 * SIDE + 1))
    left, top = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
    return np.array(photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE)))


def _place(scene: np.ndarray, digit, taken: list[tuple[int, int, int, int]], rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Draw a digit where there is room for it; returns the box around its ink."""
    side = int(rng.integers(24, 41))
    ink = np.asarray(digit.resize((side, side), 3), np.float32) / 255
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis)) for axis in (1, 0))
    for _ in range(20):
        left, top = (int(v) for v in rng.integers(0, SIDE - side + 1, 2))
        if all(left + side <= l or left >= r or top + side <= t or top >= b for l, t, r, b in taken):  # noqa: E741
            taken.append((left, top, left + side, top + side))
            beneath = scene[top : top + side, left : left + side]
            colour = rng.uniform(190, 255, 3) if beneath.mean() < 115 else rng.uniform(0, 60, 3)
            beneath[:] = (beneath * (1 - ink[..., None]) + colour * ink[..., None]).astype(np.uint8)
            return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1
    return None
