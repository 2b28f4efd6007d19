"""What happens to recordings on the device: log-mel spectrograms or levelled waves, and masks over them in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastgpu.inputs.base import Preparation
from fastgpu.nn.speech import LogMel

__all__ = ["RANGE", "MelPreparation", "WavePreparation"]


RANGE = 7.0
"""Natural logarithm of the loudest magnitude over the softest that is told apart: 60 dB, as between a voice and a quiet room."""


class MelPreparation(Preparation):
    """Waves to log-mel frames of 25 ms every 10 ms, each band of each recording brought to mean 0 and deviation 1.

    Levelling each recording by itself makes rooms, microphones and volumes alike; what is 60 dB below its loudest is silence.
    Frames that only pad are 0.

    Args:
        rate: samples a second.
        mels: mel bands.
    """

    def __init__(self, rate: int, mels: int) -> None:
        super().__init__()
        self.mel = LogMel(rate, mels, hop=rate // 100, window=rate // 40)

    def forward(self, x: dict[str, Any]) -> dict[str, Any]:
        wave, mask = x["wave"], x["attention_mask"]
        mel = self.mel(wave.float() / 32768)
        lengths = mask.sum(1) // self.mel.hop
        frames = torch.arange(mel.shape[1], device=mel.device) < lengths[:, None]
        # Perfect silence lies so far below all speech that it alone would make the deviation.
        peak = mel.masked_fill(~frames[:, :, None], -torch.inf).amax((1, 2), keepdim=True)
        mel = mel.clamp_min(peak - RANGE)
        return {"input_features": _levelled(mel, frames).to(self.mel.filters.dtype), "attention_mask": frames}

    def augment(self, x: dict[str, Any], y: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Blank two stretches of time and two of bands (SpecAugment: Park et al., 2019, https://arxiv.org/abs/1904.08779)."""
        mel, mask = x["input_features"], x["attention_mask"]
        longest = mask.sum(1) // 10  # of time at most a tenth each
        for _ in range(2):
            mel = mel.masked_fill(_stretch(mel.shape[1], longest, mask.sum(1))[:, :, None], 0.0)
            bands = torch.full_like(longest, mel.shape[2])
            mel = mel.masked_fill(_stretch(mel.shape[2], bands // 5, bands)[:, None, :], 0.0)
        return {**x, "input_features": mel}, y


class WavePreparation(Preparation):
    """Waves brought to mean 0 and deviation 1 over each recording; samples that only pad are 0."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()), persistent=False)  # tells device and precision

    def forward(self, x: dict[str, Any]) -> dict[str, Any]:
        mask = x["attention_mask"]
        wave = _levelled(x["wave"].float()[:, :, None], mask)[:, :, 0]
        return {"input_values": wave.to(self.scale.dtype), "attention_mask": mask}

    def augment(self, x: dict[str, Any], y: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Silence two stretches of each recording, of at most a tenth of it each."""
        wave, length = x["input_values"], x["attention_mask"].sum(1)
        for _ in range(2):
            wave = wave.masked_fill(_stretch(wave.shape[1], length // 10, length), 0.0)
        return {**x, "input_values": wave}, y


def _levelled(values: Tensor, mask: Tensor) -> Tensor:
    """`(b, t, k)` -> mean 0 and deviation 1 over the steps where `mask` `(b, t)` is True, 0 elsewhere."""
    on = mask[:, :, None]
    count = on.sum(1, keepdim=True).clamp_min(1)
    centred = (values - (values * on).sum(1, keepdim=True) / count) * on
    return centred / (centred.square().sum(1, keepdim=True) / count).sqrt().clamp_min(1e-3)


def _stretch(size: int, longest: Tensor, within: Tensor) -> Tensor:
    """A random stretch of each row, `(b, size)` bool: up to `longest` `(b,)` places of the first `within` `(b,)`."""
    length = torch.rand_like(longest, dtype=torch.float32) * (longest + 1)
    start = torch.rand_like(length) * (within - length).clamp_min(0)
    at = torch.arange(size, device=longest.device)
    return (at >= start[:, None].floor()) & (at < (start.floor() + length.floor())[:, None])
