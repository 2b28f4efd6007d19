"""Speech for tests: each character is a tone of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LETTERS = "abcde"
RATE = 8000


def wave(text: str, seconds: float = 0.12, rate: int = RATE) -> np.ndarray:
    """`(samples,)` float32: a tone a letter, silence for a space."""
    time = np.arange(int(seconds * rate)) / rate
    fade = np.sin(np.pi * np.arange(len(time)) / len(time))
    parts = [np.sin(2 * np.pi * (300 + 350 * LETTERS.find(c)) * time) * fade * (c != " ") for c in text]
    return (0.5 * np.concatenate(parts)).astype(np.float32)


def texts(n: int) -> list[str]:
    """`n` different texts of 3 to 6 letters, always the same."""
    random = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(random.choice(list(LETTERS), random.integers(3, 7)))] = None
    return list(found)


def ljspeech(folder: Path, n: int = 40) -> Path:
    """A folder as LJSpeech's, with `metadata.csv`; returns its path."""
    import soundfile

    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    lines = []
    for i, text in enumerate(texts(n)):
        soundfile.write(folder / "wavs" / f"clip-{i:03d}.wav", wave(text), RATE)
        lines.append(f"clip-{i:03d}|{text.upper()}.|{text}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "metadata.csv"
