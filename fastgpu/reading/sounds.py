"""Recordings: sound files and arrays -> waves in one channel at one rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import BadItemError, DataError
from fastgpu.reading.base import READERS, Reader, as_array, objects
from fastgpu.reading.encoded import Encoded, Ragged
from fastgpu.reading.waves import LONGEST, find_sounds, header, read_all

__all__ = ["AudioReader", "seconds_of"]

MEMORY_BUDGET = 2**30  # samples up to 1 GiB (9 hours at 16 kHz) are kept; more are read again each epoch


@READERS.register("audio")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioReader(Reader):
    """Recordings as waves `(b, longest)` int16 with a mask.

    Args:
        sampling_rate: samples a second; recordings at another rate are brought to it.
        limit: seconds that a recording may last.
    """

    kind: ClassVar[str] = "audio"
    keys: ClassVar[tuple[str, ...]] = ("input_features", "attention_mask")

    sampling_rate: int
    limit: float = LONGEST

    def arrays(self, items: Any) -> Encoded:
        if sum(seconds_of(item) for item in items) * self.sampling_rate * 2 > MEMORY_BUDGET:
            # Read once, so that what is silent or breaks off is refused here, and not in the middle of a fit.
            lengths, reasons = zip(*((0 if wave is None else len(wave), why) for wave, why in read_all(items, self.sampling_rate, self.limit)))
            _refuse_bad(items, reasons)
            return WavesOnDisk(items, self.sampling_rate, self.limit, np.array(lengths, np.int64))
        return _waves(items, self.sampling_rate, self.limit)

    def as_items(self, given: Any) -> Any:
        """A path, a folder, `(samples, rate)`, samples at `sampling_rate`, or a list of these -> `(n,)` objects."""
        if isinstance(given, (str, Path)):
            path = Path(given).expanduser()
            return objects(find_sounds(path) if path.is_dir() else [str(path)])
        if _is_pair(given) or (isinstance(given, np.ndarray) or hasattr(given, "detach")) and given.dtype != object:
            given = [given]
        if not hasattr(given, "__iter__"):
            raise DataError(f"Recordings are sound files or arrays. {type(given).__name__} came. Give a path, or (samples, rate).")
        return objects([self._item(one) for one in given])

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        files = [file for path in given for file in self.as_items(path)]
        return files, self.as_items(files)

    def _item(self, given: Any) -> Any:
        if isinstance(given, (str, Path)):
            return str(Path(given).expanduser())
        samples, rate = given if _is_pair(given) else (given, self.sampling_rate)
        samples = as_array(samples)
        if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2) or samples.ndim == 2 and samples.shape[1] > 16:
            raise DataError(
                f"Samples are numbers (n,) or (n, channels). {samples.dtype} of shape {samples.shape} came. Give one recording, or a list."
            )
        return samples, int(rate)


class WavesOnDisk(Encoded):
    """Recordings that are read when they are asked for."""

    def __init__(self, items: Any, rate: int, limit: float, lengths: np.ndarray) -> None:
        self._items, self._rate, self._limit = items, rate, limit
        self.lengths: np.ndarray = lengths
        self.item_bytes = int(lengths.mean()) * 3

    def __len__(self) -> int:
        return len(self._items)

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        items = [self._items[i] for i in index.tolist()]
        return _waves(items, self._rate, self._limit).gather(np.arange(len(items)))


def _waves(items: Any, rate: int, limit: float) -> Ragged:
    """The recordings, read.

    Raises:
        BadItemError: some cannot be used.
    """
    waves, reasons = zip(*read_all(items, rate, limit))
    _refuse_bad(items, reasons)
    return Ragged(np.concatenate(waves), np.fromiter(map(len, waves), np.int64, len(waves)), key="wave")


def seconds_of(item: Any) -> float:
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
            "Mend or remove it; where data are opened for training, on_bad_item='skip' leaves such out.", bad
        )


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], (int, np.integer))
