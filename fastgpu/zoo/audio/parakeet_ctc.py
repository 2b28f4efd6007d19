"""Parakeet: FastConformer encoders with CTC, from random weights."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "parakeet_ctc/tiny": (96, 3, 4, 32, 40),
    "parakeet_ctc/mini": (144, 6, 4, 64, 80),
    "parakeet_ctc/small": (176, 16, 4, 176, 80),
    "parakeet_ctc/medium": (256, 16, 4, 256, 80),
    "parakeet_ctc/large": (512, 17, 8, 256, 80),
}
"""Name -> width, layers, heads, channels of the subsampling, mel bands; tiny and mini are for minutes of speech on a CPU."""

_SPEECH = {"kind": "audio", "sampling_rate": 16000, "seconds": 15.0, "mels": 80}
_TARGET = {"task": "recognition", "outputs": 30, "blank": 0, "end": 1, "longest": 200}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """One step is 40 ms: published Parakeets take 80, which suits their longer tokens, but not single characters.

    Weights begin at a deviation of 1 / sqrt(width), not the library's 0.02: so small, a narrow network hears nothing for
    hundreds of steps (204 digit strings, 10 epochs: character error rate 0.00 against 0.65).
    """
    transformers = require("transformers", need=f"The architecture {name}", extra="audio")
    width, layers, heads, channels, mels = SIZES[name]
    encoder = transformers.ParakeetEncoderConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        subsampling_factor=4,
        subsampling_conv_channels=channels,
        num_mel_bins=mels,
        layerdrop=0.0,
        initializer_range=width**-0.5,
    )
    config = transformers.ParakeetCTCConfig(
        vocab_size=target["outputs"], pad_token_id=target["blank"], encoder_config=encoder.to_dict()
    )
    return Built(net=transformers.ParakeetForCTC(config), declares={"features": "mel", "mels": mels}, head=("ctc_head",))


def entry(name: str) -> Entry:
    """Facts about a Parakeet."""
    width, layers, *_ = SIZES[name]
    return Entry(
        name=name,
        inputs=("audio",),
        tasks=("recognition",),
        source=f"FastConformer, Rekesh et al., 2023, arXiv 2305.05084; transformers' implementation, {layers} layers of width {width}",
        licence="Apache-2.0",
        typical=(_SPEECH, _TARGET),
        extra="audio",
    )


FAMILIES.register("parakeet_ctc")(Family(names=lambda: list(SIZES), entry=entry, build=build))
