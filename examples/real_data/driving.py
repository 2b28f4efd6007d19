"""Frames of a driving simulator, seen from above, with a box and a mask for each vehicle, and masks of the lane lines.

Source: drawn by the package `highway-env` (Leurent 2018, https://github.com/Farama-Foundation/HighwayEnv), which has to be
installed (pip install highway-env). Boxes and vehicles' masks are taken from the simulator's state, not from the picture;
lane lines are the white that it draws.
Licence: the package is MIT.

Four roads (highway, merge, roundabout, intersection), 192 x 96 pixels for 64 x 32 metres, nine episodes each, about 330
frames; two episodes of each road are for validation. Everything random has a fixed seed.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from real_data.fetch import Unreachable, cache, making

ROADS = ("highway-v0", "merge-v1", "roundabout-v1", "intersection-v2")
EPISODES = {"train": range(7), "val": range(7, 9)}
FRAMES = 10  # of an episode at most; it ends at a crash
SIZE = (192, 96)
SCALE = 3.0  # pixels a metre
CLASSES = ("ground", "lane line", "vehicle")


def folder() -> Path:
    """Folder with `images/`, `masks/` (class numbers) and `annotations/` (COCO), each with train and val, and `classes.txt`."""
    made = cache() / "driving-1"
    if not made.is_dir():
        try:
            import gymnasium
            import highway_env  # noqa: F401
        except ImportError as error:
            raise Unreachable(f"The driving frames need highway-env: {error}. Run: pip install highway-env") from error
        with making(made) as partial, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages underneath
            os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # SDL complains for each episode where it is not set
            for split, numbers in EPISODES.items():
                _write(partial, split, [(road, n) for road in ROADS for n in numbers], gymnasium)
            (partial / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return made


def _write(to: Path, split: str, episodes: list[tuple[str, int]], gymnasium: Any) -> None:
    from PIL import Image

    images, annotations = [], []
    for part in ("images", "masks"):
        (to / part / split).mkdir(parents=True)
    (to / "annotations").mkdir(exist_ok=True)
    for video, (road, number) in enumerate(episodes):
        for frame, (pixels, corners) in enumerate(_episode(gymnasium, road, number)):
            name = f"{road.partition('-')[0]}-{number}-{frame:02}.png"
            Image.fromarray(pixels).save(to / "images" / split / name)
            Image.fromarray(_mask(pixels, corners)).save(to / "masks" / split / name)
            images.append({"id": len(images), "file_name": f"{split}/{name}", "width": SIZE[0], "height": SIZE[1], "video_id": video})
            for box in _boxes(corners):
                annotations.append({"id": len(annotations), "image_id": images[-1]["id"], "category_id": 1, "bbox": box})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "vehicle"}]}
    (to / "annotations" / f"{split}.json").write_text(json.dumps(content))


def _episode(gymnasium: Any, road: str, number: int):
    """Frames `(h, w, 3)` of an episode with random actions, and the corners `(4, 2)` of each vehicle in pixels."""
    # A headless SDL driver would draw black frames; drawing off screen needs none.
    config = {"offscreen_rendering": True, "screen_width": SIZE[0], "screen_height": SIZE[1], "scaling": SCALE, "vehicles_count": 20}
    env = gymnasium.make(road, render_mode="rgb_array", config=config)
    env.reset(seed=number)
    actions = np.random.default_rng(number)
    for _ in range(FRAMES):
        _, _, ended, cut, _ = env.step(int(actions.integers(env.action_space.n)))
        pixels = env.render()
        surface = env.unwrapped.viewer.sim_surface
        yield pixels, [_corners(vehicle, surface) for vehicle in env.unwrapped.road.vehicles]
        if ended or cut:
            break
    env.close()


def _corners(vehicle: Any, surface: Any) -> np.ndarray:
    turn = np.array([[np.cos(vehicle.heading), -np.sin(vehicle.heading)], [np.sin(vehicle.heading), np.cos(vehicle.heading)]])
    half = np.array([vehicle.LENGTH, vehicle.WIDTH]) / 2
    own = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    return (own @ turn.T + vehicle.position - np.asarray(surface.origin)) * SCALE


def _boxes(corners: list[np.ndarray]) -> list[list[float]]:
    """Boxes as left, top, width and height of the vehicles of which at least half is in the picture."""
    boxes = []
    for each in corners:
        low, high = each.min(0), each.max(0)
        left, top = low.clip(0, SIZE)
        right, bottom = high.clip(0, SIZE)
        if (right - left) * (bottom - top) >= 0.5 * np.prod(high - low):
            boxes.append([round(float(v), 2) for v in (left, top, right - left, bottom - top)])
    return boxes


def _mask(pixels: np.ndarray, corners: list[np.ndarray]) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.fromarray((pixels.min(-1) > 200).astype(np.uint8))
    for each in corners:
        ImageDraw.Draw(canvas).polygon([(float(x) - 0.5, float(y) - 0.5) for x, y in each], fill=2)
    return np.asarray(canvas)
