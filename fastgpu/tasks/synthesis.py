"""Speech synthesis: every item is a text, its target a recording in which it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.sounds import MELS, SoundAnswers, frame_sizes
from fastgpu.data.columns import Columns, JoinedColumns, RaggedColumns
from fastgpu.errors import ArgumentError, BadItemError, DataError, ExportError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.nn.speech import LogMel
from fastgpu.reading.waves import read_all
from fastgpu.tasks.base import TASKS, Task

__all__ = ["Synthesis"]

PAD = -100.0
_MEASURED_ON = 500


@TASKS.register("synthesis")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesis(SoundAnswers, Task):
    """A mel spectrogram for a text: 80 bands, 62.5 frames a second, each band standardised over the training recordings.

    The network owns the loss. Where it needs to know how long each character lasts, the frames of a recording are dealt out
    evenly. A spectrogram becomes sound by the method of Griffin and Lim, without a network.

    Args:
        sampling_rate: see `SoundAnswers`, as for the other two.
        mean: likewise.
        std: likewise.
    """

    kinds: ClassVar[tuple[str, ...]] = ("characters",)
    metric_names: ClassVar[tuple[str, ...]] = ("mel_l1",)
    default_metrics: ClassVar[tuple[str, ...]] = ("mel_l1",)
    options: ClassVar[tuple[str, ...]] = ("sampling_rate",)
    output: ClassVar[str] = "mel band"
    monitor: ClassVar[str] = "mel_l1"

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
        """`"spectrogram"` `(b, frames, 80)` with `"frames"` `(b,)` -> `"sounds"`, a list of `b` arrays `(samples,)`."""
        return dict(self.complete({"spectrogram": out["spectrogram"].float().cpu().numpy(), "frames": out["frames"].cpu().numpy()}, {}))

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        """`spectrogram` `(b, frames, 80)`, filled up with 0, `frames` `(b,)` int64, how many each has, and `durations` `(b, characters)`
        int64, how many each character has; `(b, 1)`, those of the text, where the network does not part them."""
        out = model(x)
        return {"spectrogram": out["spectrogram"].float(), "frames": out["frames"], "durations": out.get("durations", out["frames"][:, None])}

    def aligned(self, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], ...]:
        """Spectrograms of the texts whose durations are the same, and whether each frame that a character has in one of the two is there.

        Raises:
            ExportError: none of three texts or more can be compared.

        A duration is rounded: the least difference may add a frame, and everything after it is then elsewhere.
        """
        sides = (found, expected)
        same = (found["durations"] == expected["durations"]).all(1)
        if len(same) > 2 and not same.any():  # nothing would be proved
            raise ExportError(
                f"An exported voice must take its time as the learner does. None of {len(same)} texts has the same durations in both. "
                "Export the network as it was before it was quantized, or leave the proof out with verify=False."
            )
        most = expected["frames"][same].max(initial=0)
        longest = np.arange(max(each["durations"].max() for each in sides))
        there = [longest < each["durations"][..., None] for each in sides]
        return tuple(
            {"spectrogram": each["spectrogram"][same, :most], "durations": frames[there[0] | there[1]]} for each, frames in zip(sides, there)
        )

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return self.columns(self.decode({**y, "frames": (y["spectrogram"][..., 0] != PAD).sum(1)}))

    def describe(self) -> str:
        return f"synthesis of speech at {self.sampling_rate:,} samples a second, {MELS} mel bands"


@lru_cache(maxsize=4)
def _log_mel(rate: int) -> LogMel:
    return LogMel(rate, MELS, **frame_sizes(rate))


def _mel(wave: np.ndarray, rate: int) -> Tensor:
    """`(samples,)` int16 -> `(frames, 80)`."""
    return _log_mel(rate)(torch.from_numpy(wave)[None].float() / 32768)[0]


def _dealt_out(frames: int, characters: int) -> Tensor:
    """How many frames each character gets where all last about as long: `(characters,)` int64 that sum to `frames`."""
    return (torch.arange(1, characters + 1) * frames // characters).diff(prepend=torch.zeros(1, dtype=torch.int64))
