"""Speech synthesis: every item is a text, its target a recording in which it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.data.columns import Columns, JoinedColumns, RaggedColumns
from fastgpu.errors import ArgumentError, BadItemError, DataError, ExportError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.nn.speech import LogMel
from fastgpu.optional import require
from fastgpu.reading.waves import read_all
from fastgpu.tasks.base import TASKS, Task

__all__ = ["Synthesis"]

MELS = 80
FRAMES_A_SECOND = 62.5
PAD = -100.0
_MEASURED_ON = 500


@TASKS.register("synthesis")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesis(Task):
    """A mel spectrogram for a text: 80 bands, 62.5 frames a second, each band standardised over the training recordings.

    The network owns the loss. Where it needs to know how long each character lasts, the frames of a recording are dealt out
    evenly. A spectrogram becomes sound by the method of Griffin and Lim, without a network.

    Args:
        sampling_rate: samples a second of the sounds.
        mean: `(80,)` mean of each band.
        std: `(80,)` standard deviation of each band.
    """

    name: ClassVar[str] = "synthesis"
    kinds: ClassVar[tuple[str, ...]] = ("characters",)
    metric_names: ClassVar[tuple[str, ...]] = ("mel_l1",)
    default_metrics: ClassVar[tuple[str, ...]] = ("mel_l1",)
    options: ClassVar[tuple[str, ...]] = ("sampling_rate",)
    output: ClassVar[str] = "mel band"
    writes: ClassVar[bool] = True
    monitor: ClassVar[str] = "mel_l1"

    sampling_rate: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
        sampling_rate: int = 16000,
    ) -> Synthesis:
        """Measure the bands of up to 500 recordings.

        Args:
            targets: `(n,)` paths of sounds, or `(samples, rate)` pairs.
            classes: unused.
            target: unused.
            input: unused.
            sampling_rate: samples a second of the sounds, 8,000 or more; recordings are brought to it.

        Raises:
            DataError: none of the recordings can be read.
        """
        if sampling_rate < 8000:
            raise ArgumentError(f"Speech needs 8,000 samples a second. sampling_rate={sampling_rate} came. Give 8000 or 16000.")
        some = targets[np.linspace(0, len(targets) - 1, min(len(targets), _MEASURED_ON)).astype(int)]
        mels = [_mel(wave, sampling_rate) for wave, _ in read_all(some, sampling_rate) if wave is not None]
        if not mels:
            raise DataError(f"Training needs recordings. None of the {len(some)} looked at can be read, for example {some[0]}.")
        frames = torch.cat(mels).double()
        mean, std = frames.mean(0), frames.std(0).clamp_min(1e-3)
        return cls(sampling_rate=sampling_rate, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @property
    def outputs(self) -> int:
        return MELS

    def facts(self) -> dict[str, Any]:
        """Beside the usual `"sampling_rate"`."""
        return {**super().facts(), "sampling_rate": self.sampling_rate}

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> Columns:
        """Recordings -> `spectrogram` `(b, longest, 80)`, filled up with -100, and `durations` `(b, characters)` int64 in frames.

        Raises:
            BadItemError: recordings cannot be used; the error has their `indices`.
        """
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        mels, reasons = [], []
        for wave, reason in read_all(targets, self.sampling_rate):  # a wave is let go once its mels are made
            reasons.append(reason)
            if wave is not None:
                mels.append((_mel(wave, self.sampling_rate) - mean) / std)
        bad = [i for i, reason in enumerate(reasons) if reason]
        if bad:
            raise BadItemError(
                f"Recordings must be usable. {len(bad)} of {len(targets)} is not: {targets[bad[0]]}: {reasons[bad[0]]}. "
                "Mend or remove it, or leave such out with on_bad_item='skip'.", bad
            )
        frames = torch.tensor([len(mel) for mel in mels])
        spectrogram = RaggedColumns(torch.cat(mels), frames, key="spectrogram", pad=PAD, mask=None)
        if x is None or x.lengths is None:
            return spectrogram
        durations = torch.cat([_dealt_out(int(n), int(k)) for n, k in zip(frames, x.lengths)])
        return JoinedColumns(spectrogram, RaggedColumns(durations, x.lengths, key="durations", mask=None))

    def check_outputs(self, out: Mapping[str, Any]) -> None:
        if "spectrogram" not in out or out["spectrogram"].shape[-1] != MELS:
            raise ModelError(
                f"A network for synthesis gives a 'spectrogram' (items, frames, {MELS}). {', '.join(out)} came. "
                "Take for example 'fastspeech2/tiny'."
            )

    def metric_inputs(self, out: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """The network's spectrogram along the true one, and the true one, `(values,)` each, without what fills up."""
        there = y["spectrogram"] != PAD
        return out["spectrogram"].detach().float()[there], y["spectrogram"][there].float()

    def metric(self, name: str) -> Any:
        """`"mel_l1"`: mean absolute error of the standardised log-mel spectrogram; the mean frame has about 0.8."""
        if name not in self.metric_names:
            raise UnknownNameError("metric of synthesis", name, self.metric_names)
        from torchmetrics import MeanAbsoluteError

        return MeanAbsoluteError()

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        """`"spectrogram"` `(b, frames, 80)` with `"frames"` `(b,)` -> `"sounds"`, a list of `b` waves `(samples,)`."""
        frames = out["frames"].tolist()
        return {"sounds": [self._sound(mel[:n]) for mel, n in zip(out["spectrogram"], frames)]}

    def _sound(self, spectrogram: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=spectrogram.device) for values in (self.mean, self.std))
        # A network at its beginning may give anything; sounds are no louder than their loudest neighbours.
        mel = (spectrogram.float().clamp(-6, 6) * std + mean).clamp_max(4.0)
        return _log_mel(self.sampling_rate).to(mel.device).invert(mel)

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        raise ExportError(
            "Sounds are made step by step, which an exported network cannot. Keep the learner with learn.save, and use Learner.load."
        )

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        sounds = [sound.numpy() for sound in predictions["sounds"]]
        return {"sounds": sounds, "sampling_rates": [self.sampling_rate] * len(sounds)}

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return self.columns(self.decode({**y, "frames": (y["spectrogram"][..., 0] != PAD).sum(1)}))

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        return f"{len(columns['sounds'][index]) / self.sampling_rate:.2f} s"

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        """The wave over the time."""
        sound = columns["sounds"][index]
        axes.plot(np.arange(len(sound)) / self.sampling_rate, sound, linewidth=0.4)
        axes.tick_params(labelsize=6)

    def write(self, columns: Mapping[str, Any], index: int, path: Path) -> None:
        """A sound file in the format that the suffix names, 16 bits: `.wav`, `.flac`, `.ogg`."""
        soundfile = require("soundfile", need="Writing sounds")
        if path.suffix[1:].upper() not in soundfile.available_formats():
            raise ArgumentError(f"A sound is written as .wav, .flac or .ogg. {path.name!r} came. Give such a name.")
        soundfile.write(str(path), columns["sounds"][index], self.sampling_rate)

    def describe(self) -> str:
        return f"synthesis of speech at {self.sampling_rate:,} samples a second, {MELS} mel bands"


@lru_cache(maxsize=4)
def _log_mel(rate: int) -> LogMel:
    return LogMel(rate, MELS, hop=round(rate / FRAMES_A_SECOND), window=round(rate * 0.064))


def _mel(wave: np.ndarray, rate: int) -> Tensor:
    """`(samples,)` int16 -> `(frames, 80)`."""
    return _log_mel(rate).cpu()(torch.from_numpy(wave)[None].float() / 32768)[0]


def _dealt_out(frames: int, characters: int) -> Tensor:
    """How many frames each character gets where all last about as long: `(characters,)` int64 that sum to `frames`."""
    return (torch.arange(1, characters + 1) * frames // characters).diff(prepend=torch.zeros(1, dtype=torch.int64))
