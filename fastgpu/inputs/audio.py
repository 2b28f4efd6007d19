"""Recordings: sound files and arrays -> waves in one channel at one rate; spectrograms are made on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns, RaggedColumns
from fastgpu.errors import BadItemError, DataError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.waves import LONGEST, find_sounds, header, read_all

__all__ = ["AudioInput"]

MEMORY_BUDGET = 2**30  # samples up to 1 GiB (9 hours at 16 kHz) are kept; more are read again each epoch


@INPUTS.register("audio")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioInput(Input):
    """Recordings as waves `(b, longest)` int16 with a mask; the network gets log-mel frames, or levelled waves.

    Prepared on the device, a batch has `input_features` `(b, frames, mels)`, 100 frames a second, or, with
    `features="wave"`, `input_values` `(b, samples)`; `attention_mask` is True where there is sound.

    Args:
        sampling_rate: samples a second; recordings at another rate are brought to it.
        seconds: length of the longest training recording.
        features: `"mel"` or `"wave"`, as the network declares.
        mels: mel bands, as the network declares.
        limit: seconds that a recording may last.
    """

    kind: ClassVar[str] = "audio"
    keys: ClassVar[tuple[str, ...]] = ("input_features", "attention_mask")
    options: ClassVar[tuple[str, ...]] = ("sampling_rate",)

    sampling_rate: int
    seconds: float
    features: str = "mel"
    mels: int = 80
    limit: float = LONGEST

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
        seconds = max((_seconds(item) for item in items), default=0.0)
        return cls(sampling_rate=sampling_rate, seconds=round(seconds, 3))

    def encode(self, items: Any) -> Columns:
        if sum(_seconds(item) for item in items) * self.sampling_rate * 2 > MEMORY_BUDGET:
            # Read once, so that what is silent or breaks off is refused here, and not in the middle of a fit.
            lengths, reasons = zip(*((0 if wave is None else len(wave), why) for wave, why in read_all(items, self.sampling_rate, self.limit)))
            _refuse_bad(items, reasons)
            return _WavesOnDisk(items, self.sampling_rate, self.limit, torch.tensor(lengths))
        return _waves(items, self.sampling_rate, self.limit)

    def as_items(self, given: Any) -> Any:
        """A path, a folder, `(samples, rate)`, samples at `sampling_rate`, or a list of these -> `(n,)` objects."""
        if isinstance(given, (str, Path)):
            path = Path(given).expanduser()
            return _objects(find_sounds(path) if path.is_dir() else [str(path)])
        if _is_pair(given) or isinstance(given, (np.ndarray, Tensor)) and given.dtype != object:
            given = [given]
        if not hasattr(given, "__iter__"):
            raise DataError(f"Recordings are sound files or arrays. {type(given).__name__} came. Give a path, or (samples, rate).")
        return _objects([self._item(one) for one in given])

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        files = [file for path in given for file in self.as_items(path)]
        return files, self.as_items(files)

    def _item(self, given: Any) -> Any:
        if isinstance(given, (str, Path)):
            return str(Path(given).expanduser())
        samples, rate = given if _is_pair(given) else (given, self.sampling_rate)
        samples = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
        if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2) or samples.ndim == 2 and samples.shape[1] > 16:
            raise DataError(
                f"Samples are numbers (n,) or (n, channels). {samples.dtype} of shape {samples.shape} came. Give one recording, or a list."
            )
        return samples, int(rate)

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "sampling_rate": self.sampling_rate, "seconds": self.seconds, "mels": self.mels}

    def describe(self) -> str:
        seen = f"{self.mels} mel bands" if self.features == "mel" else "waves"
        return f"recordings at {self.sampling_rate:,} samples a second, the longest {self.seconds:.1f} s, seen as {seen}"

    def preparation(self) -> Preparation:
        from fastgpu.inputs.audio_preparation import MelPreparation, WavePreparation

        return MelPreparation(self.sampling_rate, self.mels) if self.features == "mel" else WavePreparation()

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


class _WavesOnDisk(Columns):
    """Recordings that are read when they are asked for."""

    in_memory = False

    def __init__(self, items: Any, rate: int, limit: float, lengths: Tensor) -> None:
        self._items, self._rate, self._limit = items, rate, limit
        self.lengths: Tensor = lengths
        self.item_bytes = int(lengths.float().mean()) * 3

    def __len__(self) -> int:
        return len(self._items)

    def gather(self, index: Tensor) -> dict[str, Any]:
        items = [self._items[i] for i in index.tolist()]
        return _waves(items, self._rate, self._limit).gather(torch.arange(len(items)))


def _waves(items: Any, rate: int, limit: float) -> Columns:
    """The recordings, read.

    Raises:
        BadItemError: some cannot be used.
    """
    waves, reasons = zip(*read_all(items, rate, limit))
    _refuse_bad(items, reasons)
    lengths = np.fromiter(map(len, waves), np.int64, len(waves))
    return RaggedColumns(torch.from_numpy(np.concatenate(waves)), torch.from_numpy(lengths), key="wave")


def _seconds(item: Any) -> float:
    """How long an item lasts, 0 for one that cannot be read: it is refused later, by name."""
    if isinstance(item, tuple):
        return len(item[0]) / item[1]
    sound, _ = header(item, float("inf"))
    return 0.0 if sound is None else sound.seconds


def _refuse_bad(items: Any, reasons: Any) -> None:
    bad = [i for i, reason in enumerate(reasons) if reason]
    if bad:
        first = items[bad[0]] if isinstance(items[bad[0]], str) else f"item {bad[0]}"
        raise BadItemError(
            f"Recordings must be usable. {len(bad)} of {len(items)} is not: {first}: {reasons[bad[0]]}. "
            "Mend or remove it, or leave such out with on_bad_item='skip'.", bad
        )


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], (int, np.integer))


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array
