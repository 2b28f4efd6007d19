"""RT-DETR v2 and D-FINE from transformers' configurations: objects as queries, trained from the data alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__: list[str] = []

SOURCES = {
    "rt_detr_v2": "RT-DETR v2, Lv et al., 2024, arXiv 2407.17140, as in transformers",
    "d_fine": "D-FINE, Peng et al., 2024, arXiv 2410.13842, as in transformers",
}


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers from which a network of one size is made.

    Args:
        stages: channels of the backbone's four stages.
        depths: blocks of each stage.
        basic: whether its blocks are the two-layer ones of ResNet-18.
        width: values a query has.
        layers: layers of the decoder.
        queries: objects looked for in a picture.
    """

    stages: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    basic: bool
    width: int
    layers: int
    queries: int


SIZES = {
    "tiny": Size((16, 32, 64, 128), (1, 1, 1, 1), True, 64, 2, 50),
    "small": Size((64, 128, 256, 512), (2, 2, 2, 2), True, 128, 3, 100),  # a ResNet-18
    "base": Size((256, 512, 1024, 2048), (3, 4, 6, 3), False, 256, 6, 300),  # a ResNet-50 and the paper's decoder
}


def names() -> list[str]:
    """Names of all sizes of all of them."""
    return [f"{family}/{size}" for family in SOURCES for size in SIZES]


def entry(name: str) -> Entry:
    """Facts about a detector of the family."""
    return Entry(
        name=name,
        inputs=("image",),
        tasks=("detection",),
        source=SOURCES[name.partition("/")[0]],
        licence="Apache-2.0",
        typical=(
            {"kind": "image", "channels": 3, "size": (512, 512)},
            {"task": "detection", "outputs": 80, "box_sizes": (12.0, 320.0)},
        ),
        extra="vision",
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build a detector from its configuration, without any weights that were trained before."""
    transformers: Any = require("transformers", need=f"The architecture {name}", extra="vision")
    require("scipy", need=f"The architecture {name}")  # its loss matches queries and boxes by scipy's assignment
    family, _, size = name.partition("/")
    config = {"rt_detr_v2": _rt_detr, "d_fine": _d_fine}[family](transformers, SIZES[size], facts["channels"])
    config.id2label = {i: str(i) for i in range(target["outputs"])}
    config.label2id = {str(i): i for i in range(target["outputs"])}
    net = transformers.AutoModelForObjectDetection.from_config(config)
    return Built(net=net, head=("model.enc_score_head", "model.enc_bbox_head", "model.decoder"))


def _resnet(transformers: Any, size: Size, channels: int) -> Any:
    return transformers.RTDetrResNetConfig(
        num_channels=channels,
        embedding_size=_stem(size),
        hidden_sizes=list(size.stages),
        depths=list(size.depths),
        layer_type="basic" if size.basic else "bottleneck",
        out_indices=[2, 3, 4],
    )


def _stem(size: Size) -> int:
    """Channels before the first stage: a basic block keeps them, a bottleneck multiplies them by four."""
    return size.stages[0] if size.basic else size.stages[0] // 4


def _shared(size: Size) -> dict[str, Any]:
    """What RT-DETR and D-FINE are both told; their heads have 32 values each, as in the papers."""
    return {
        "freeze_backbone_batch_norms": False,  # nothing was trained before
        "encoder_in_channels": list(size.stages[1:]),
        "encoder_hidden_dim": size.width,
        "encoder_ffn_dim": 4 * size.width,
        "encoder_attention_heads": size.width // 32,
        "d_model": size.width,
        "decoder_in_channels": [size.width] * 3,
        "decoder_ffn_dim": 4 * size.width,
        "decoder_layers": size.layers,
        "decoder_attention_heads": size.width // 32,
        "num_queries": size.queries,
    }


def _rt_detr(transformers: Any, size: Size, channels: int) -> Any:
    return transformers.RTDetrV2Config(backbone_config=_resnet(transformers, size, channels), **_shared(size))


def _d_fine(transformers: Any, size: Size, channels: int) -> Any:
    return transformers.DFineConfig(
        backbone_config=_resnet(transformers, size, channels), **_shared(size), hidden_expansion=0.5, depth_mult=1.0
    )


FAMILIES.register("detr")(
    Family(names=names, entry=entry, build=build, prefixes=tuple(f"{family}/" for family in SOURCES))
)
