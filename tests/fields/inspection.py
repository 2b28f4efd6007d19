"""Inspection: stripes, of which some have a spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fields import Field


def stripes(folder: Path) -> Path:
    """The layout of MVTec: 40 good pictures for training, 5 good ones and 5 with a spot for the test, with masks."""
    rng = np.random.default_rng(0)
    root = folder / "stripes"
    for place, count in (("ground_truth/spot", 0), ("train/good", 40), ("test/good", 5), ("test/spot", 5)):
        (root / place).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = 120 + 60 * np.sin(np.arange(32) + rng.uniform(0, 6))[:, None] + rng.normal(0, 5, (32, 32))
            if "spot" in place:
                pixels[10:18, 10:18] = 0
                mask = np.zeros((32, 32), np.uint8)
                mask[10:18, 10:18] = 255
                Image.fromarray(mask).save(root / "ground_truth" / "spot" / f"{i}_mask.png")
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / place / f"{i}.png")
    return root


def case(name: str, architecture: str) -> Field:
    return Field(
        name=name,
        architecture=architecture,
        data=stripes,
        items=lambda folder: sorted((stripes(folder) / "test" / "spot").glob("*.png"))[:4],
        task="anomaly",
        column="scores",
    )


FIELDS = [case("inspection", "patchcore/test_resnet"), case("reconstruction", "reconstruction/tiny")]
