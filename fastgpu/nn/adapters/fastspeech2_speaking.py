"""Speaking by FastSpeech 2: the steps of transformers' network with tensors alone, several texts at once, which do not change one another."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.nn.adapters.speaking import filled_up

__all__ = ["spoken"]


def spoken(net: Any, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Texts -> spectrograms, by the network's own modules.

    Args:
        net: transformers' `FastSpeech2ConformerModel`, its duration predictor in evaluation mode.
        ids: `(b, characters)` int64.
        mask: `(b, characters)` bool, True on characters.

    Returns:
        spectrogram: `(b, most frames, mels)`, filled up with 0.
        durations: `(b, characters)` int64, frames of each character, at least one for each text.
    """
    ids, mask = F.pad(ids, (0, 1)), F.pad(mask, (0, 1))  # one more place: the library's attention shifts along two or more
    with filled_up(net, ~mask):
        hidden = _blocks(net.encoder, net.encoder.embed(ids), mask)
        pitch, energy = (predictor(hidden, ~mask[..., None]) for predictor in (net.pitch_predictor, net.energy_predictor))
        durations = net.duration_predictor(hidden).masked_fill(~mask, 0)
        hidden = hidden + net.energy_embed(energy) + net.pitch_embed(pitch)
    durations = (durations * net.config.speaking_speed).round().long()
    durations = torch.where(durations.sum(1, keepdim=True) > 0, durations, mask.long())  # as the library has it: no text is without any frame
    hidden, there = _stretched(hidden, durations)
    with filled_up(net, ~there):
        spectrogram = net.speech_decoder_postnet(_blocks(net.decoder, hidden, there))[1]
    return spectrogram.masked_fill(~there[..., None], 0)[:, :-1], durations[:, :-1]


def _stretched(hidden: Tensor, durations: Tensor) -> tuple[Tensor, Tensor]:
    """Characters `(b, n, width)` -> their frames, one place more than the most, and which are there `(b, frames)`."""
    ends = durations.cumsum(1)
    most: Any = ends[:, -1].max().item()
    torch._check(most >= 1)
    places = torch.arange(most + 1, device=hidden.device)
    # How many characters end at a frame, added up: the number of the one that is spoken in it.
    ended = torch.zeros_like(ends[:, :1]).expand(-1, most + 1).scatter_add(1, ends, torch.ones_like(ends)).cumsum(1)
    index = ended.clamp_max(hidden.shape[1] - 1)[..., None].expand(-1, -1, hidden.shape[2])
    return hidden.gather(1, index), places < ends[:, -1:]


def _blocks(encoder: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    """The Conformer blocks of an encoder or a decoder, which is one too."""
    position = _positions(hidden.shape[1], hidden)
    hidden = hidden * math.sqrt(hidden.shape[2])
    for block in encoder.conformer_layers:
        hidden = block(hidden, position, mask[:, None])[0]
    return hidden


def _positions(length: Any, hidden: Tensor) -> Tensor:
    """Sines and cosines of the distances from `length - 1` down to `1 - length`: `(1, 2 * length - 1, width)`."""
    distances = torch.arange(length - 1, -length, -1, device=hidden.device).float()
    even = torch.arange(0, hidden.shape[2], 2, device=hidden.device).float()
    angles = distances[:, None] * torch.exp(even * -(math.log(10000.0) / hidden.shape[2]))
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[None].to(hidden.dtype)
