"""Writing films: frames into an MP4 or another video, or into an animated GIF."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.errors import ArgumentError
from fastgpu.optional import require

__all__ = ["write_film"]

CODECS = {".webm": "libvpx-vp9"}
"""Suffix -> codec, where a film of that suffix cannot hold the usual one, H.264."""


def write_film(path: Path, frames: Iterable[Any], frames_per_second: float) -> None:
    """Write PIL pictures of one size as a film.

    Args:
        path: ends in `.gif`, `.mp4`, or the suffix of another video.
        frames: pictures of mode RGB; read one after the other.
        frames_per_second: more than 0.

    Raises:
        ArgumentError: there is no frame, they differ in size, or ffmpeg wrote no film.
        MissingPackageError: videos need imageio-ffmpeg.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ArgumentError("A film needs at least one frame. None came.")
    same = (_of_size(frame, first.size) for frame in itertools.chain([first], frames))
    if path.suffix.lower() == ".gif":
        next(same)
        first.save(path, save_all=True, append_images=list(same), duration=round(1000 / frames_per_second), loop=0)
        return
    ffmpeg: Any = require("imageio_ffmpeg", need="Writing videos")
    # Players want even sides; a pixel is cut off where one is odd.
    even = (first.width // 2 * 2, first.height // 2 * 2)
    codec = CODECS.get(path.suffix.lower())
    writer = ffmpeg.write_frames(str(path), even, fps=frames_per_second, macro_block_size=1, codec=codec, ffmpeg_log_level="error")
    writer.send(None)
    try:
        for frame in same:
            writer.send(np.ascontiguousarray(np.asarray(frame.crop((0, 0, *even)))))
    except OSError:  # ffmpeg gave up; what there is of the file is looked at below
        pass
    finally:
        writer.close()
    if not _has_frames(path, ffmpeg):
        raise ArgumentError(f"A film is written by ffmpeg. It wrote none into {path.name}. Take another suffix, such as .mp4 or .gif.")


def _has_frames(path: Path, ffmpeg: Any) -> bool:
    try:
        return ffmpeg.count_frames_and_secs(str(path))[0] > 0
    except (RuntimeError, OSError):
        return False


def _of_size(frame: Any, size: tuple[int, int]) -> Any:
    if frame.size != size:
        came = f"{size[0]}x{size[1]} and {frame.size[0]}x{frame.size[1]} came"
        raise ArgumentError(f"The frames of a film have one size. {came}. Save the pictures one by one: 'frame.png'.")
    return frame
