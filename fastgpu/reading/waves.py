"""Recordings: what a sound file is by its header, and its samples in one channel at one rate."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.errors import DataError
from fastgpu.optional import require

__all__ = ["LONGEST", "LOWEST_RATE", "SHORTEST", "Sound", "find_sounds", "header", "is_sound", "read", "read_all"]

LONGEST = 60.0
"""Seconds that one recording may last: attention costs the square of it."""
SHORTEST = 0.1
"""Seconds that one recording must last."""
LOWEST_RATE = 8000
"""Samples a second that speech needs: telephones have as many."""

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")
_SILENT = 1e-4  # largest deviation from the mean, as a share of full scale: 3 steps of 16 bits
_THREADS = min(8, (os.cpu_count() or 1) * 2)
_NEED = "Reading sounds"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sound:
    """What the header of a sound file says.

    Args:
        rate: samples a second.
        channels: 1 for mono, 2 for stereo.
        seconds: how long it lasts.
    """

    rate: int
    channels: int
    seconds: float


def is_sound(path: str | Path) -> bool:
    """Whether a file name ends like a sound's that libsndfile reads: `.wav`, `.flac`, `.mp3`, ..."""
    return os.path.splitext(path)[1].lower() in SUFFIXES


def find_sounds(folder: Path) -> list[str]:
    """Sounds anywhere below a folder, in sorted order."""
    found = sorted(str(file) for file in folder.rglob("*") if is_sound(file) and file.is_file())
    if not found:
        raise DataError(f"A folder of recordings must hold sounds ({', '.join(SUFFIXES)}). {folder} holds none. Check the path.")
    return found


def header(path: str, longest: float = LONGEST) -> tuple[Sound | None, str]:
    """What a sound file is, without decoding it.

    Returns:
        The facts and `""`, or None and why the file cannot be used.
    """
    soundfile = require("soundfile", need=_NEED)
    try:
        info = soundfile.info(path)
    except Exception as error:  # libsndfile's errors have no narrower class in all versions
        return None, "no such file" if not os.path.isfile(path) else f"no readable sound ({_line(error)})"
    sound = Sound(rate=info.samplerate, channels=info.channels, seconds=info.frames / max(1, info.samplerate))
    reason = _unusable(sound, longest)
    return (None, reason) if reason else (sound, "")


def _unusable(sound: Sound, longest: float) -> str:
    if sound.rate < LOWEST_RATE:
        return f"{sound.rate:,} samples a second, speech needs {LOWEST_RATE:,}: record it anew"
    if sound.seconds > longest:
        minutes, seconds = divmod(round(sound.seconds), 60)
        lasts = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} hours" if minutes >= 60 else f"{sound.seconds:.1f} seconds"
        return f"lasts {lasts}, the limit is {longest:g} seconds: cut it at pauses"
    return f"lasts {sound.seconds:.2f} seconds, at least {SHORTEST} are needed" if sound.seconds < SHORTEST else ""


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rsplit(": ", 1)[-1].rstrip(".")


def read(item: Any, rate: int, longest: float = LONGEST) -> tuple[np.ndarray | None, str]:
    """Samples of one recording: channels mixed down, brought to `rate`.

    Args:
        item: path of a sound file, or `(samples, rate)` with samples `(n,)` or `(n, channels)`: integers on the scale of
            their type, or floats from -1 to 1.
        rate: samples a second that are wanted.
        longest: seconds that it may last.

    Returns:
        `(n,)` int16 and `""`, or None and why it cannot be used.
    """
    if isinstance(item, tuple):
        samples, given = np.asarray(item[0]), int(item[1])
        if samples.dtype.kind in "iu":
            samples = samples / float(np.iinfo(samples.dtype).max)
        reason = _unusable(Sound(rate=given, channels=1, seconds=len(samples) / given), longest)
    else:
        sound, reason = header(str(item), longest)
        if sound is not None:
            try:
                samples, given = require("soundfile", need=_NEED).read(str(item), dtype="float32", always_2d=True)
            except Exception as error:  # as above; a file may break off after a sound header
                return None, f"no readable sound ({_line(error)})"
    if reason:
        return None, reason
    return _levelled(samples, given, rate)


def _levelled(samples: np.ndarray, given: int, rate: int) -> tuple[np.ndarray | None, str]:
    """Samples as they came -> one channel of int16 at `rate`."""
    wave = samples.astype(np.float32)
    wave = wave.mean(1) if wave.ndim == 2 else wave
    if not np.isfinite(wave).all():
        return None, "holds NaN or infinite samples"
    if not len(wave) or np.abs(wave - wave.mean()).max() < _SILENT:
        return None, "silent"
    if given != rate:
        wave = require("soxr", need="Resampling sounds").resample(wave, given, rate)
    return (np.clip(wave, -1, 1) * 32767).round().astype(np.int16), ""


def read_all(items: Iterable[Any], rate: int, longest: float = LONGEST) -> Iterator[tuple[np.ndarray | None, str]]:
    """`read` of each item, in order, several at once in threads."""
    items = list(items)
    window = 16 * _THREADS  # recordings read ahead at most
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(items), window):
            yield from pool.map(lambda item: read(item, rate, longest), items[start : start + window])
