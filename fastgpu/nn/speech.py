"""Log-mel spectrograms of waves, and waves from log-mel spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgpu.optional import require

__all__ = ["LogMel"]

_FLOOR = 1e-5  # magnitudes below are silence; a logarithm needs a floor
_MOMENTUM = 0.99


class LogMel(nn.Module):
    """Waves to the logarithm of their mel spectrogram (magnitudes, Slaney's mel scale), and back.

    Args:
        rate: samples a second.
        mels: mel bands, from 0 Hz to half of `rate`.
        hop: samples from one frame to the next.
        window: samples of a frame; the Fourier transform is as long, rounded up to a power of two, at least 512.

    Example:
        >>> LogMel(16000, 40, hop=160, window=400)(torch.zeros(2, 16000)).shape
        torch.Size([2, 100, 40])
    """

    taper: Tensor
    filters: Tensor

    def __init__(self, rate: int, mels: int, *, hop: int, window: int) -> None:
        super().__init__()
        audio = require("transformers", need="Spectrograms of sounds").audio_utils
        self.hop, self.window = hop, window
        self.size = max(512, 1 << (window - 1).bit_length())
        filters = audio.mel_filter_bank(self.size // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.register_buffer("filters", torch.as_tensor(filters, dtype=torch.float32), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """`(b, samples)` from -1 to 1 -> `(b, samples // hop, mels)` float32, natural logarithms of magnitudes."""
        magnitude = self._transform(wave.float()).abs().transpose(1, 2)[:, : wave.shape[-1] // self.hop]
        return (magnitude @ self.filters.float()).clamp_min(_FLOOR).log()

    def invert(self, mel: Tensor, rounds: int = 60) -> Tensor:
        """A wave with about this spectrogram, by Griffin and Lim's rounds with momentum.

        Griffin and Lim, 1984, https://doi.org/10.1109/TASSP.1984.1164317; Perraudin et al., 2013,
        https://doi.org/10.1109/WASPAA.2013.6701851. No randomness: the phases begin at zero.

        Args:
            mel: `(frames, mels)` as `forward` gives.
            rounds: how often phases are made to agree.

        Returns:
            `(frames * hop,)` from -1 to 1.
        """
        magnitude = (mel.float().exp() @ torch.linalg.pinv(self.filters.float())).clamp_min(0).T
        spectrum, before = magnitude.to(torch.complex64), torch.zeros((), device=mel.device)
        for _ in range(rounds):
            again = self._transform(self._wave(spectrum, mel.shape[0])[None])[0, :, : magnitude.shape[1]]
            ahead = again - _MOMENTUM / (1 + _MOMENTUM) * before
            spectrum, before = magnitude * ahead / ahead.abs().clamp_min(1e-12), again
        return self._wave(spectrum, mel.shape[0]).clamp(-1, 1)

    def _transform(self, wave: Tensor) -> Tensor:
        return torch.stft(
            wave, self.size, self.hop, self.window, self.taper.float(), center=True, pad_mode="constant", return_complex=True
        )

    def _wave(self, spectrum: Tensor, frames: int) -> Tensor:
        # The frame after the last is missing: its place is filled by the last one.
        whole = torch.cat([spectrum, spectrum[:, -1:]], 1)
        return torch.istft(whole, self.size, self.hop, self.window, self.taper.float(), center=True, length=frames * self.hop)
