"""How a text sounds: spectrograms -> sounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers
from fastgpu.answers.spectrograms import sound_of
from fastgpu.optional import require

__all__ = ["MELS", "SoundAnswers", "frame_sizes"]

MELS = 80
"""Bands of a spectrogram."""

FRAMES_A_SECOND = 62.5
WINDOW = 0.064
"""Seconds of a frame."""


def frame_sizes(rate: int) -> dict[str, int]:
    """How a sound of `rate` samples a second is cut into frames: `"hop"` from one to the next, `"window"` of each, in samples.

    Example:
        >>> frame_sizes(16000)
        {'hop': 256, 'window': 1024}
    """
    return {"hop": round(rate / FRAMES_A_SECOND), "window": round(rate * WINDOW)}


@ANSWERS.register("synthesis")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundAnswers(Answers):
    """Spectrograms -> sounds, by the method of Griffin and Lim.

    Args:
        sampling_rate: samples a second of the sounds.
        mean: `(80,)` mean of each band.
        std: `(80,)` standard deviation of each band.

    Example:
        >>> answers = SoundAnswers(sampling_rate=8000, mean=(-5.0,) * 80, std=(1.0,) * 80)
        >>> spoken = {"spectrogram": np.zeros((1, 9, 80)), "frames": np.array([7])}
        >>> len(answers.complete(spoken, {})["sounds"][0])
        896
    """

    name: ClassVar[str] = "synthesis"
    files: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg")
    tabled: ClassVar[bool] = False

    sampling_rate: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """`spectrogram` `(b, frames, 80)`, standardised, and `frames` `(b,)`, how many of them each has -> `sounds`, a list of `b`."""
        return {"sounds": [self._sound(mel[:n]) for mel, n in zip(outputs["spectrogram"], outputs["frames"])]}

    def _sound(self, spectrogram: np.ndarray) -> np.ndarray:
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        # A network at its beginning may give anything; sounds are no louder than their loudest neighbours.
        mel = np.minimum(np.clip(spectrogram, -6, 6) * std + mean, 4.0)
        return sound_of(mel, self.sampling_rate, **frame_sizes(self.sampling_rate))

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        sounds = predictions["sounds"]
        return {"sounds": sounds, "sampling_rates": [self.sampling_rate] * len(sounds)}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        return f"{len(columns['sounds'][index]) / self.sampling_rate:.2f} s"

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        """The wave over the time."""
        sound = columns["sounds"][index]
        axes.plot(np.arange(len(sound)) / self.sampling_rate, sound, linewidth=0.4)
        axes.tick_params(labelsize=6)

    def write(self, columns: Mapping[str, Any], index: int, path: Path) -> None:
        """A sound file in the format that the suffix names, 16 bits."""
        soundfile = require("soundfile", need="Writing sounds")
        path.open("wb").close()  # what the system says is clearer than what the library makes of it
        soundfile.write(str(path), columns["sounds"][index], self.sampling_rate)
