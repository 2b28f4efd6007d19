"""The adapters of transformers' networks that speak: from characters to a mel spectrogram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.adapters import fastspeech2_speaking, speecht5_speaking
from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library
from fastgpu.nn.adapters.speaking import by_few

__all__ = ["FastSpeech2", "Speaker", "SpeechT5"]

PAD = -100.0
"""What spectrograms of a batch are filled up with."""


class Speaker(Adapter):
    """With `y`: `spectrogram` `(b, frames, mels)` along the given one, and the loss. Without: a spectrogram, `frames` `(b,)`,
    how many of it are spoken, and `durations` `(b, parts)`, how long each part of the text is.

    `y` has `spectrogram` `(b, frames, mels)`, filled up with -100, and `durations` `(b, characters)` in frames.
    """

    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if y is not None:
            return self.along(x, y)
        speak = self.speak if torch.compiler.is_exporting() else partial(by_few, self.speak)
        spectrogram, durations = speak(x["input_ids"], x["attention_mask"])
        return {"spectrogram": spectrogram, "frames": durations.sum(1), "durations": durations}

    def along(self, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        """The spectrogram of each step given those before it or their durations, and the loss."""
        raise NotImplementedError

    def speak(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Texts `(b, characters)` -> spectrograms `(b, frames, mels)`, filled up with 0, and durations `(b, parts)` int64 in frames: of each
        character, or of the whole text as one part. They sum to at least 1."""
        raise NotImplementedError


@ADAPTERS.register("fastspeech2")
class FastSpeech2(Speaker):
    """FastSpeech 2 with Conformer blocks: all frames at once, after predicted durations.

    The energy of a character is the mean of its frames; pitch is held at 0. The library computes a loss only in training
    mode, which is switched on for the two modules that ask for it, and for no other.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "transformers.models.fastspeech2_conformer") and hasattr(net, "duration_predictor")

    def along(self, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        net: Any = self.net
        durations, spectrogram = y["durations"], y["spectrogram"]
        energy = _means(spectrogram.masked_fill(spectrogram == PAD, 0).mean(-1), durations)[..., None]
        with _training(net, net.duration_predictor):
            out = net(
                x["input_ids"],
                attention_mask=x["attention_mask"],
                spectrogram_labels=spectrogram,
                duration_labels=durations,
                pitch_labels=torch.zeros_like(energy),
                energy_labels=energy,
                return_dict=True,
            )
        return {"spectrogram": out.spectrogram, "loss": out.loss}

    def speak(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        net: Any = self.net
        with _training(net.duration_predictor, on=False):
            return fastspeech2_speaking.spoken(net, ids, mask)


@ADAPTERS.register("speecht5")
class SpeechT5(Speaker):
    """SpeechT5: frame after frame until the network ends; the speaker is one and the same."""

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return type(net).__name__ == "SpeechT5ForTextToSpeech" and of_library(net, "transformers")

    def along(self, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        net: Any = self.net
        step = net.config.reduction_factor
        labels = F.pad(y["spectrogram"], (0, 0, 0, -y["spectrogram"].shape[1] % step), value=PAD)
        mask = x["attention_mask"].long()
        out = net(x["input_ids"], attention_mask=mask, labels=labels, speaker_embeddings=self._voice(len(mask)), return_dict=True)
        return {"spectrogram": out.spectrogram[:, : y["spectrogram"].shape[1]], "loss": out.loss}

    def speak(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        spectrogram, frames = speecht5_speaking.spoken(self.net, ids, mask, self._voice(ids.shape[0]))
        return spectrogram, frames[:, None]

    def _voice(self, n: Any) -> Tensor:
        weight = next(self.net.parameters())
        return torch.ones(n, self.net.config.speaker_embedding_dim, dtype=weight.dtype, device=weight.device)  # pyright: ignore


@contextmanager
def _training(*modules: nn.Module, on: bool = True) -> Iterator[None]:
    """Set the mode of just these modules, not of what is inside them, for a while."""
    before = [module.training for module in modules]
    for module in modules:
        module.training = on
    try:
        yield
    finally:
        for module, was in zip(modules, before):
            module.training = was


def _means(values: Tensor, durations: Tensor) -> Tensor:
    """Values of frames `(b, frames)` -> their mean over each character's stretch `(b, characters)`."""
    ends = durations.cumsum(1)
    total = F.pad(values.cumsum(1), (1, 0))
    most = values.shape[1]
    sums = total.gather(1, ends.clamp_max(most)) - total.gather(1, (ends - durations).clamp_max(most))
    return sums / durations.clamp_min(1)
