"""Speech: tones for characters, heard and spoken."""

from __future__ import annotations

from pathlib import Path

from spoken_tones import RATE, ljspeech, wave

from fields import Field

AUDIO = ("soundfile", "soxr", "transformers")
SETTINGS = {"sampling_rate": RATE, "batch_size": 16}


def sounds(folder: Path) -> list:
    paths = sorted((folder / "speech" / "wavs").glob("*.wav"))
    return [str(paths[0]), (wave("abc"), RATE), wave("ed")]


FIELDS = [
    Field(
        name="recognition",
        architecture="parakeet_ctc/tiny",
        data=lambda folder: ljspeech(folder / "speech"),
        items=sounds,
        task="recognition",
        column="texts",
        packages=AUDIO,
        settings=SETTINGS,
    ),
    Field(
        name="recognition_seq2seq",
        architecture="whisper/nano",
        data=lambda folder: ljspeech(folder / "speech"),
        items=sounds,
        task="recognition",
        column="texts",
        packages=AUDIO,
        settings=SETTINGS,
    ),
    Field(
        name="synthesis",
        architecture="fastspeech2/tiny",
        data=lambda folder: ljspeech(folder / "speech"),
        items=lambda folder: ["abc", "Eda", "b"],
        task="synthesis",
        column="sounds",
        packages=AUDIO,
        settings=SETTINGS,
    ),
]
