"""SpeechT5: characters to a mel spectrogram, frame after frame, from random weights."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[int, int, int, int]] = {"speecht5/tiny": (96, 2, 2, 2), "speecht5/base": (768, 12, 6, 12)}
"""Name -> width, layers of the encoder and of the decoder, heads; base is that of the paper's section 3.1."""

_TEXT = {"kind": "characters", "vocabulary": 40, "pad": 0}
_TARGET = {"task": "synthesis", "outputs": 80, "sampling_rate": 16000}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Text and speech may be as long as the published model takes, or a minute, whichever is more."""
    transformers = require("transformers", need=f"The architecture {name}", extra="audio")
    width, layers, more, heads = SIZES[name]
    config = transformers.SpeechT5Config(
        vocab_size=facts["vocabulary"],
        pad_token_id=facts["pad"],
        num_mel_bins=target["outputs"],
        hidden_size=width,
        encoder_layers=layers,
        decoder_layers=more,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        speech_decoder_prenet_units=min(256, 2 * width),
        speech_decoder_postnet_units=min(256, 2 * width),
        speaker_embedding_dim=16 if name.endswith("tiny") else 512,
        max_text_positions=1500,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
    )
    net = transformers.SpeechT5ForTextToSpeech(config)
    return Built(net=net, head=("speech_decoder_postnet",))


def entry(name: str) -> Entry:
    """Facts about a SpeechT5."""
    width, layers, more, _ = SIZES[name]
    return Entry(
        name=name,
        inputs=("characters",),
        tasks=("synthesis",),
        source=f"Ao et al., 2021, arXiv 2110.07205; transformers' implementation, {layers} + {more} layers of width {width}",
        licence="Apache-2.0",
        typical=(_TEXT, _TARGET),
        extra="audio",
    )


FAMILIES.register("speecht5")(Family(names=lambda: list(SIZES), entry=entry, build=build))
