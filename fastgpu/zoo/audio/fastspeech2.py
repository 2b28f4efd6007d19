"""FastSpeech 2 with Conformer blocks: characters to a mel spectrogram, all frames at once, from random weights."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[int, int, int]] = {
    "fastspeech2/tiny": (96, 2, 2),
    "fastspeech2/small": (192, 3, 2),
    "fastspeech2/base": (384, 4, 2),
}
"""Name -> width, blocks on either side, heads; base has those of the published model."""

_TEXT = {"kind": "characters", "vocabulary": 40, "pad": 0}
_TARGET = {"task": "synthesis", "outputs": 80, "sampling_rate": 16000}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Predictors and feed-forward parts shrink with the width."""
    transformers = require("transformers", need=f"The architecture {name}", extra="audio")
    width, layers, heads = SIZES[name]
    narrow = width * 2 // 3
    config = transformers.FastSpeech2ConformerConfig(
        vocab_size=facts["vocabulary"],
        num_mel_bins=target["outputs"],
        hidden_size=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_num_attention_heads=heads,
        decoder_num_attention_heads=heads,
        encoder_linear_units=4 * width,
        decoder_linear_units=4 * width,
        duration_predictor_channels=narrow,
        energy_predictor_channels=narrow,
        pitch_predictor_channels=narrow,
        pitch_predictor_layers=2,
        speech_decoder_postnet_units=narrow,
        encoder_normalize_before=True,
        decoder_normalize_before=True,
    )
    net = transformers.FastSpeech2ConformerModel(config)
    return Built(net=net, head=("speech_decoder_postnet",))


def entry(name: str) -> Entry:
    """Facts about a FastSpeech 2."""
    width, layers, _ = SIZES[name]
    return Entry(
        name=name,
        inputs=("characters",),
        tasks=("synthesis",),
        source=f"Ren et al., 2020, arXiv 2006.04558, with Conformer blocks; transformers' implementation, {layers} + {layers} of width {width}",
        licence="Apache-2.0",
        typical=(_TEXT, _TARGET),
        extra="audio",
    )


FAMILIES.register("fastspeech2")(Family(names=lambda: list(SIZES), entry=entry, build=build))
