"""Films as items: the frames of a video file, or of an animated picture, read in order."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.errors import DataError
from fastgpu.optional import require
from fastgpu.results import VIDEOS

__all__ = ["Film", "Frames", "is_film"]

ANIMATED = (".gif", ".webp", ".apng", ".png")
RATE = 10.0
"""Frames a second of an animation that does not say."""


def is_film(path: str | Path) -> bool:
    """Whether a file is a video, by its suffix, or a picture of several frames."""
    path = Path(path)
    if path.suffix.lower() in VIDEOS:
        return True
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return False
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return getattr(opened, "n_frames", 1) > 1
    except Exception:  # a broken picture is spoken of where it is read
        return False


class Film:
    """A film: a sequence of PIL pictures that is read from the beginning, whenever one before the last read is asked for.

    Args:
        path: a video (needs imageio-ffmpeg), or an animated GIF, WebP or PNG.

    Attributes:
        frames_per_second: of the film, the mean where its speed changes.

    Raises:
        DataError: it cannot be read, or has no frames.
        MissingPackageError: videos need imageio-ffmpeg.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"A film to predict must be there. {self.path} is not. Check the path.")
        self._length, self.frames_per_second = self._facts()
        if not self._length:
            raise DataError(f"A film must have frames. {self.path} has none. Check the file.")

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return str(self.path)

    def __iter__(self) -> Generator[Any, None, None]:
        yield from self._video() if self.path.suffix.lower() in VIDEOS else self._animation()

    def _facts(self) -> tuple[int, float]:
        if self.path.suffix.lower() in VIDEOS:
            ffmpeg: Any = require("imageio_ffmpeg", need="Reading videos")
            try:
                count, seconds = ffmpeg.count_frames_and_secs(str(self.path))
            except (RuntimeError, OSError) as error:
                raise self._unreadable(error) from None
            return count, count / seconds if seconds else RATE
        from PIL import Image

        with Image.open(self.path) as opened:
            length, millis = getattr(opened, "n_frames", 1), opened.info.get("duration", 0)
        return length, 1000 / millis if millis else RATE

    def _video(self) -> Iterator[Any]:
        from PIL import Image

        ffmpeg: Any = require("imageio_ffmpeg", need="Reading videos")
        # Each frame as it is stored: of a film of changing speed ffmpeg would repeat or drop frames to make it even.
        reader = ffmpeg.read_frames(str(self.path), pix_fmt="rgb24", output_params=["-fps_mode", "passthrough"])
        try:
            about = next(reader)
            width, height = about["size"]
            for frame in reader:
                yield Image.fromarray(np.frombuffer(frame, np.uint8).reshape(height, width, 3))
        except (RuntimeError, OSError) as error:
            raise self._unreadable(error) from None
        finally:
            reader.close()

    def _animation(self) -> Iterator[Any]:
        from PIL import Image, ImageSequence

        # From memory: a film that is not read to its end then leaves no open file behind.
        for frame in ImageSequence.Iterator(Image.open(io.BytesIO(self.path.read_bytes()))):
            yield frame.convert("RGB")

    def _unreadable(self, error: Exception) -> DataError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:160]
        return DataError(f"A film must be readable. {self.path} is not: {reason}. Mend or convert the file.")


class Frames:
    """The frames of a film by number; asked for in ascending order, each is read once.

    Args:
        film: the film.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self._frames: Generator[Any, None, None] = iter(film)
        self._at, self._last = -1, None

    def __call__(self, number: int) -> Any:
        """Frame `number`, from 0, as a PIL picture.

        Raises:
            DataError: the film breaks off before it.
        """
        if number < self._at:
            self._frames, self._at = iter(self.film), -1
        while self._at < number:
            self._last = next(self._frames, None)
            if self._last is None:
                raise DataError(
                    f"A film must be readable to its end. {self.film} breaks off after frame {self._at + 1} of {len(self.film)}. Mend the file."
                )
            self._at += 1
        if self._at == len(self.film) - 1:
            self._frames.close()
        return self._last
