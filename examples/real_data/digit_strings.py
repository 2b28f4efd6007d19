"""Strings of spoken digits, composed: by espeak-ng's voices, and of single words that a person recorded.

Sources: the speech synthesiser espeak-ng of the system (GPL-3.0; its output is not covered by it), which
`apt-get install espeak-ng` brings, and the words zero to nine of Asterisk's prompts (see `asterisk`, CC BY-SA 3.0).

`folder()` holds lists in the form of NeMo: `train.jsonl` (400 strings in 20 synthetic voices, 400 of recorded words),
`val.jsonl` (100 of recorded words in orders that are not in train), `voices.jsonl` (100 in 5 synthetic voices that are not
in train). Orders, pauses, volumes and speeds are drawn with a fixed seed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

from real_data.asterisk import DIGITS, sounds
from real_data.fetch import Unreachable, cache, making

__all__ = ["folder"]

_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
_KNOWN = tuple(f"{accent}+{variant}" for accent in _ACCENTS for variant in ("m1", "f2", "m3", "f4"))
_UNSEEN = ("en-us+m4", "en-gb+f3", "en-us+f1", "en-gb-x-gbclan+m2", "en-gb-x-rp+f5")


def folder() -> Path:
    """The lists with their sounds; made on first use."""
    made = cache() / "digit-strings-1"
    if made.is_dir():
        return made
    import soundfile

    recordings = [_trimmed(*soundfile.read(sounds() / "digits" / f"{i}.wav")) for i in range(10)]
    if shutil.which("espeak-ng") is None:
        raise Unreachable("espeak-ng is not installed. Run: apt-get install espeak-ng")
    with making(made) as partial:
        (partial / "wavs").mkdir(parents=True)
        random = np.random.default_rng(0)
        orders = _orders(random, 1000)
        plan = {"train": [*_KNOWN * 20, *["recorded"] * 400], "val": ["recorded"] * 100, "voices": list(_UNSEEN) * 20}
        for name, voices in plan.items():
            lines = []
            for i, voice in enumerate(voices):
                path = partial / "wavs" / f"{name}-{i:03d}.wav"
                digits = orders.pop()
                words = " ".join(DIGITS[d] for d in digits)
                if voice == "recorded":
                    soundfile.write(path, _strung([recordings[d] for d in digits], random), 8000)
                else:
                    _speak(voice, words, int(random.integers(130, 190)), path)
                lines.append(json.dumps({"audio_filepath": f"wavs/{path.name}", "text": words, "voice": voice}))
            (partial / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def _orders(random: np.random.Generator, n: int) -> list[tuple[int, ...]]:
    """`n` different orders of three to five digits."""
    found: dict[tuple[int, ...], None] = {}
    while len(found) < n:
        found[tuple(random.integers(0, 10, random.integers(3, 6)).tolist())] = None
    return list(found)


def _trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """A recorded word without the silence around it."""
    if rate != 8000:
        raise ValueError(f"the recordings have 8,000 samples a second, not {rate}")
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    return wave[loud[0] : loud[-1] + 1]


def _strung(words: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Words one after the other with pauses of up to 0.2 seconds, a little noise, at any volume."""
    parts = [np.zeros(800)]
    for word in words:
        parts += [word * random.uniform(0.7, 1.0), np.zeros(int(random.uniform(0.0, 0.2) * 8000))]
    wave = np.concatenate([*parts, np.zeros(800)]) * random.uniform(0.3, 1.0)
    return wave + random.normal(0, 0.001, len(wave))


def _speak(voice: str, words: str, speed: int, path: Path) -> None:
    done = subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(path), words], capture_output=True, text=True, check=False)
    if done.returncode or not path.is_file():
        raise Unreachable(f"espeak-ng cannot speak as {voice}: {done.stderr.strip()}")
