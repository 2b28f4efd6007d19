"""Whisper: a Transformer from log-mel frames to text, from random weights."""

from __future__ import annotations

import math
from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[int, int, int]] = {
    "whisper/nano": (128, 2, 4),
    "whisper/tiny": (384, 4, 6),
    "whisper/base": (512, 6, 8),
    "whisper/small": (768, 12, 12),
}
"""Name -> width, layers on either side, heads; tiny, base and small are those of the paper's table 1."""

STEPS_A_SECOND = 50  # of the encoder
CHARACTERS_A_SECOND = 25  # no one speaks faster

_SPEECH = {"kind": "audio", "sampling_rate": 16000, "seconds": 15.0, "mels": 80}
_TARGET = {"task": "recognition", "outputs": 30, "blank": 0, "end": 1, "longest": 200}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """The encoder has places for recordings half as long again as the longest of training; published Whispers have 30 s."""
    transformers = require("transformers", need=f"The architecture {name}", extra="audio")
    width, layers, heads = SIZES[name]
    limit = max(2, math.ceil(1.5 * facts["seconds"]))
    config = transformers.WhisperConfig(
        vocab_size=target["outputs"],
        num_mel_bins=facts["mels"],
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_source_positions=limit * STEPS_A_SECOND,
        max_target_positions=max(limit * CHARACTERS_A_SECOND, target["longest"]) + 2,
        pad_token_id=target["blank"],
        bos_token_id=target["end"],
        eos_token_id=target["end"],
        decoder_start_token_id=target["end"],
        begin_suppress_tokens=None,
    )
    net = transformers.WhisperForConditionalGeneration(config)
    return Built(net=net, declares={"features": "mel", "limit": float(limit)}, head=("model.decoder",))


def entry(name: str) -> Entry:
    """Facts about a Whisper."""
    width, layers, _ = SIZES[name]
    return Entry(
        name=name,
        inputs=("audio",),
        tasks=("recognition",),
        source=f"Radford et al., 2022, arXiv 2212.04356; transformers' implementation, {layers} + {layers} layers of width {width}",
        licence="Apache-2.0",
        typical=(_SPEECH, _TARGET),
        extra="audio",
    )


FAMILIES.register("whisper")(Family(names=lambda: list(SIZES), entry=entry, build=build))
