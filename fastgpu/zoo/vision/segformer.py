"""SegFormer by configuration, as transformers builds it."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SIZES"]

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "segformer/b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "segformer/b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "segformer/b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "segformer/b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "segformer/b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "segformer/b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}
"""Name -> layers and width of each stage, and width of the decoder: table 6 of Xie et al., 2021, https://arxiv.org/abs/2105.15203."""


def entry(name: str) -> Entry:
    """Facts about a size of SegFormer."""
    return Entry(
        name=name,
        inputs=("image",),
        tasks=("segmentation",),
        source="SegFormer, Xie et al., 2021, arXiv 2105.15203, as in transformers",
        licence="Apache-2.0 (transformers)",
        typical=({"kind": "image", "channels": 3, "size": (512, 512)}, {"task": "segmentation", "outputs": 19}),
        extra="vision",
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build SegFormer with random weights; it gives logits at a quarter of the picture's size, its adapter enlarges them."""
    transformers = require("transformers", need="SegFormer", extra="vision")
    depths, widths, decoder = SIZES[name]
    config = transformers.SegformerConfig(
        num_channels=facts["channels"],
        depths=list(depths),
        hidden_sizes=list(widths),
        decoder_hidden_size=decoder,
        num_labels=target["outputs"],
    )
    return Built(net=transformers.SegformerForSemanticSegmentation(config), head=("decode_head",))


FAMILIES.register("segformer")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("segformer/b",)))
