"""Recordings: sound files and arrays -> waves in one channel at one rate; spectrograms are made on the device."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch

from fastgpu.data.columns import Columns, columns_of
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.sounds import AudioReader, seconds_of

__all__ = ["AudioInput"]


@INPUTS.register("audio")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioInput(AudioReader, Input):
    """Recordings as waves `(b, longest)` int16 with a mask; the network gets log-mel frames, or levelled waves.

    Prepared on the device, a batch has `input_features` `(b, frames, mels)`, 100 frames a second, or, with
    `features="wave"`, `input_values` `(b, samples)`; `attention_mask` is True where there is sound.

    Args:
        sampling_rate: as limit of an `AudioReader`.
        seconds: length of the longest training recording.
        features: `"mel"` or `"wave"`, as the network declares.
        mels: mel bands, as the network declares.
    """

    options: ClassVar[tuple[str, ...]] = ("sampling_rate",)

    seconds: float
    features: str = "mel"
    mels: int = 80

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None, sampling_rate: int = 16000) -> AudioInput:
        """Measure the longest recording.

        Args:
            items: `(n,)` paths or `(samples, rate)` pairs.
            size: unused.
            sampling_rate: samples a second that the network gets, 8,000 or more.
        """
        if sampling_rate < 8000:
            raise DataError(f"Speech needs 8,000 samples a second. sampling_rate={sampling_rate} came. Give 8000 or 16000.")
        seconds = max((seconds_of(item) for item in items), default=0.0)
        return cls(sampling_rate=sampling_rate, seconds=round(seconds, 3))

    def encode(self, items: Any) -> Columns:
        return columns_of(self.arrays(items))

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "sampling_rate": self.sampling_rate, "seconds": self.seconds, "mels": self.mels}

    def describe(self) -> str:
        seen = f"{self.mels} mel bands" if self.features == "mel" else "waves"
        return f"recordings at {self.sampling_rate:,} samples a second, the longest {self.seconds:.1f} s, seen as {seen}"

    def preparation(self) -> Preparation:
        from fastgpu.inputs.audio_preparation import MelPreparation, WavePreparation

        return MelPreparation(self.sampling_rate, self.mels) if self.features == "mel" else WavePreparation()

    def plain(self, columns: Columns, index: int) -> tuple[np.ndarray, int]:
        batch = columns.gather(torch.tensor([index]))
        return batch["wave"][0][batch["attention_mask"][0]].numpy(), self.sampling_rate

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        batch = columns.gather(torch.tensor([index]))
        x = self.preparation()(batch)
        seconds = int(batch["attention_mask"].sum()) / self.sampling_rate
        if self.features == "mel":
            mel = x["input_features"][0][x["attention_mask"][0]].T.numpy()
            axes.imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, self.mels))
        else:
            wave = x["input_values"][0][x["attention_mask"][0]].numpy()
            axes.plot(np.arange(len(wave)) / self.sampling_rate, wave, linewidth=0.4)
        axes.set(yticks=[])
        axes.tick_params(labelsize=6)
