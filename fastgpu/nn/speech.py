"""Log-mel spectrograms of waves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgpu.answers.spectrograms import fourier_size, mel_filters

__all__ = ["LogMel"]

_FLOOR = 1e-5  # magnitudes below are silence; a logarithm needs a floor


class LogMel(nn.Module):
    """Waves to the logarithm of their mel spectrogram: magnitudes, Slaney's mel scale; `fastgpu.answers.spectrograms` has the way back.

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
        self.hop, self.window = hop, window
        self.size = fourier_size(window)
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.register_buffer("filters", torch.as_tensor(mel_filters(rate, mels, self.size), dtype=torch.float32), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """`(b, samples)` from -1 to 1 -> `(b, samples // hop, mels)` float32, natural logarithms of magnitudes."""
        spectrum = torch.stft(
            wave.float(), self.size, self.hop, self.window, self.taper.float(), center=True, pad_mode="constant", return_complex=True
        )
        magnitude = spectrum.abs().transpose(1, 2)[:, : wave.shape[-1] // self.hop]
        return (magnitude @ self.filters.float()).clamp_min(_FLOOR).log()
