"""Mel spectrograms in NumPy: the filters that make one of a spectrum, and the way back to sound."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

__all__ = ["fourier_size", "mel_filters", "sound_of"]

_MOMENTUM = 0.9
"""Of what a round changes. With 0.99, its usual value, a spectrogram that is 1e-6 away has a sound that is 4 times as far away, and no better one."""

_LINEAR = 200 / 3
"""Hertz of a mel of Slaney's scale below 1,000 Hz; above, 27 of them are a factor of 6.4."""


def fourier_size(window: int) -> int:
    """Samples of the Fourier transform of a frame of `window` samples: a power of two, at least 512."""
    return max(512, 1 << (window - 1).bit_length())


def mel_filters(rate: int, mels: int, size: int) -> np.ndarray:
    """Triangles that add up a spectrum to mel bands, from 0 Hz to half of `rate`.

    Slaney, 1998, Auditory Toolbox: the scale is linear up to 1,000 Hz and logarithmic above; each triangle has an area of 1.

    Args:
        rate: samples a second.
        mels: mel bands.
        size: samples of the Fourier transform.

    Returns:
        `(size // 2 + 1, mels)` float64, 0 or more.

    Example:
        >>> mel_filters(16000, 40, 512).shape
        (257, 40)
    """
    highest = 15 + np.log(rate / 2000) * 27 / np.log(6.4) if rate > 2000 else rate / 2 / _LINEAR
    steps = np.linspace(0, highest, mels + 2)
    edges = np.where(steps < 15, steps * _LINEAR, 1000 * np.exp((steps - 15) * np.log(6.4) / 27))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def sound_of(mel: np.ndarray, rate: int, *, hop: int, window: int, rounds: int = 60) -> np.ndarray:
    """A wave with about this spectrogram, by Griffin and Lim's rounds with momentum.

    Griffin and Lim, 1984, https://doi.org/10.1109/TASSP.1984.1164317; Perraudin et al., 2013,
    https://doi.org/10.1109/WASPAA.2013.6701851. No randomness: each band begins as one tone that goes on from frame to frame, by which
    spectrograms that are nearly the same get sounds that are.

    Args:
        mel: `(frames, mels)` natural logarithms of magnitudes, at least one frame.
        rate: samples a second.
        hop: samples from one frame to the next.
        window: samples of a frame.
        rounds: how often phases are made to agree.

    Returns:
        `(frames * hop,)` float32 from -1 to 1.

    Example:
        >>> sound_of(np.full((3, 40), -5.0), 16000, hop=160, window=400).shape
        (480,)
    """
    size = fourier_size(window)
    magnitude = np.maximum(np.exp(mel) @ _back_from_mels(rate, mel.shape[1], size), 0).astype(np.float32)
    transform, wave = _transforms(len(mel), size, hop, window)
    turns = hop * np.arange(len(mel))[:, None] * np.arange(size // 2 + 1) % size / size
    spectrum, before = (magnitude * np.exp(2j * np.pi * turns)).astype(np.complex64), np.zeros((), np.complex64)
    for _ in range(rounds):
        again = transform(wave(spectrum))
        ahead = again - np.float32(_MOMENTUM / (1 + _MOMENTUM)) * before
        spectrum, before = ahead * (magnitude / np.maximum(np.abs(ahead), np.float32(1e-12))), again
    return np.clip(wave(spectrum), -1, 1)


@functools.cache
def _back_from_mels(rate: int, mels: int, size: int) -> np.ndarray:
    """`(mels, size // 2 + 1)`: from bands to magnitudes, the pseudoinverse of the filters."""
    return np.linalg.pinv(mel_filters(rate, mels, size))


def _transforms(frames: int, size: int, hop: int, window: int) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """From a wave `(frames * hop,)` to its spectrum `(frames, size // 2 + 1)` by frames around every `hop`th sample, and back."""
    taper = np.zeros(size, np.float32)
    left = (size - window) // 2
    taper[left : left + window] = np.hanning(window + 1)[:-1]
    length, parts = frames * hop, -(-size // hop)

    def laid(pieces: np.ndarray) -> np.ndarray:
        """Frames `(frames + 1, size)` added up where each of them stands: `(frames * hop,)`."""
        whole = np.zeros((frames + parts, hop), np.float32)
        cut = np.pad(pieces, ((0, 0), (0, parts * hop - size))).reshape(frames + 1, parts, hop)
        for i in range(parts):
            whole[i : i + frames + 1] += cut[:, i]
        return whole.reshape(-1)[size // 2 : size // 2 + length]

    weight = np.maximum(laid(np.broadcast_to(taper**2, (frames + 1, size))), np.float32(1e-11))

    def transform(wave: np.ndarray) -> np.ndarray:
        every = np.lib.stride_tricks.sliding_window_view(np.pad(wave, size // 2), size)[: length : hop]
        return np.fft.rfft(every * taper).astype(np.complex64, copy=False)

    def wave(spectrum: np.ndarray) -> np.ndarray:
        # The frame after the last is missing: its place is filled by the last one.
        pieces = np.fft.irfft(np.concatenate((spectrum, spectrum[-1:])), size).astype(np.float32, copy=False)
        return laid(pieces * taper) / weight

    return transform, wave
