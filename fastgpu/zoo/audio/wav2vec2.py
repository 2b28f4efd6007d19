"""Wav2Vec 2.0: convolutions over the wave and a Transformer with CTC, from random weights."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[int, int, int, int]] = {
    "wav2vec2/tiny": (128, 3, 4, 64),
    "wav2vec2/small": (384, 6, 6, 256),
    "wav2vec2/base": (768, 12, 12, 512),
    "wav2vec2/large": (1024, 24, 16, 512),
}
"""Name -> width, layers, heads, channels of the convolutions; base and large are those of the paper's section 4.2."""

_SPEECH = {"kind": "audio", "sampling_rate": 16000, "seconds": 15.0, "mels": 80}
_TARGET = {"task": "recognition", "outputs": 30, "blank": 0, "end": 1, "longest": 200}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """One step is 320 samples, 20 ms at 16 kHz; normalised by layers, since a batch pads."""
    transformers = require("transformers", need=f"The architecture {name}", extra="audio")
    width, layers, heads, channels = SIZES[name]
    config = transformers.Wav2Vec2Config(
        vocab_size=target["outputs"],
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        conv_dim=(channels,) * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,  # else there is a vector for what is masked, which nothing trains
        mask_feature_prob=0.0,
        pad_token_id=target["blank"],
    )
    return Built(net=transformers.Wav2Vec2ForCTC(config), declares={"features": "wave"}, head=("lm_head",))


def entry(name: str) -> Entry:
    """Facts about a Wav2Vec 2.0."""
    width, layers, *_ = SIZES[name]
    return Entry(
        name=name,
        inputs=("audio",),
        tasks=("recognition",),
        source=f"Baevski et al., 2020, arXiv 2006.11477; transformers' implementation, {layers} layers of width {width}",
        licence="Apache-2.0",
        typical=(_SPEECH, _TARGET),
        extra="audio",
    )


FAMILIES.register("wav2vec2")(Family(names=lambda: list(SIZES), entry=entry, build=build))
