"""Decoders of segmentation-models-pytorch on any encoder: timm's pyramids by their own names, and the package's own encoders."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgpu.errors import ModelError
from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.pretrained import fitting, weights_file
from fastgpu.zoo.vision.pyramids import backbone_config, pyramid_names

__all__ = ["DECODERS", "ENCODERS"]

NEED = "Segmentation decoders"


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A decoder of the package.

    Args:
        kind: name of its class in `segmentation_models_pytorch`.
        paper: where it comes from.
        transformers: whether it takes encoders that keep one size (vision transformers), and only those.
    """

    kind: str
    paper: str
    transformers: bool = False


DECODERS: dict[str, Decoder] = {
    "unet": Decoder("Unet", "U-Net, Ronneberger et al., 2015, arXiv 1505.04597"),
    "unetplusplus": Decoder("UnetPlusPlus", "UNet++, Zhou et al., 2018, arXiv 1807.10165"),
    "manet": Decoder("MAnet", "MA-Net, Fan et al., 2020, doi 10.1109/ACCESS.2020.3025372"),
    "linknet": Decoder("Linknet", "LinkNet, Chaurasia and Culurciello, 2017, arXiv 1707.03718"),
    "fpn": Decoder("FPN", "Panoptic FPN, Kirillov et al., 2019, arXiv 1901.02446"),
    "pspnet": Decoder("PSPNet", "PSPNet, Zhao et al., 2017, arXiv 1612.01105"),
    "pan": Decoder("PAN", "Pyramid attention network, Li et al., 2018, arXiv 1805.10180"),
    "deeplabv3": Decoder("DeepLabV3", "DeepLabV3, Chen et al., 2017, arXiv 1706.05587"),
    "deeplabv3plus": Decoder("DeepLabV3Plus", "DeepLabV3+, Chen et al., 2018, arXiv 1802.02611"),
    "upernet": Decoder("UPerNet", "UPerNet, Xiao et al., 2018, arXiv 1807.10221"),
    "segformer": Decoder("Segformer", "SegFormer's decoder, Xie et al., 2021, arXiv 2105.15203"),
    "dpt": Decoder("DPT", "Dense prediction transformer, Ranftl et al., 2021, arXiv 2103.13413", transformers=True),
}
"""Family -> decoder."""

ENCODERS: tuple[str, ...] = (
    "resnext101_32x48d", "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d",
    "inceptionresnetv2", "inceptionv4", "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3",
    "efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7", "mobilenet_v2", "xception", "mit_b0", "mit_b1",
    "mit_b2", "mit_b3", "mit_b4", "mit_b5",
)  # fmt: skip
"""Encoders that segmentation-models-pytorch has and timm has not, or not by this name."""

PLAIN_MODULES = ("vision_transformer", "deit", "beit", "eva")
"""Modules of timm whose networks keep one size."""


def names(family: str) -> list[str]:
    """`"unet/resnet34"`, ...: a decoder with every encoder that may serve it."""
    if not DECODERS[family].transformers:
        return [*pyramid_names(family), *(f"{family}/{encoder}" for encoder in ENCODERS)]
    import timm

    return [f"{family}/{name}" for module in PLAIN_MODULES for name in timm.list_models(module=module)]


def entry(name: str) -> Entry:
    """Facts about a decoder on an encoder; the encoder's name may carry the tag of particular weights."""
    family, _, encoder = name.partition("/")
    config = None if encoder in ENCODERS else backbone_config(name)
    return Entry(
        name=name,
        inputs=("image",),
        tasks=("segmentation",),
        source=f"{DECODERS[family].paper}, as in segmentation-models-pytorch; encoder: {encoder}",
        licence=f"MIT (segmentation-models-pytorch), {(config.license if config else '') or 'unknown'} (encoder)",
        pretrained=config is not None and bool(config.has_weights),
        typical=(
            {"kind": "image", "channels": 3, "size": (224, 224) if DECODERS[family].transformers else (256, 256)},
            {"task": "segmentation", "outputs": 19},
        ),
        extra="vision",
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build a decoder on an encoder for framed pictures; weights of the encoder alone, and only where asked for.

    Raises:
        ModelError: the decoder does not take this encoder, or not for pictures of this size.
    """
    family, _, encoder = name.partition("/")
    config = None if encoder in ENCODERS else backbone_config(name)
    weights, note = None, ""
    if config is not None and pretrained != "layout":
        weights, note = weights_file(encoder, pretrained, hub=config.hf_hub_id or "", url=config.url or "")
    channels, size, outputs = facts["channels"], tuple(facts["size"]), target["outputs"]
    make = functools.partial(_create, family, encoder, channels, outputs)
    options = _options(make, name, channels, size, outputs)
    declares: dict[str, Any] = {}
    if weights is not None and config is not None:
        mean, std = ((tuple(v) if len(v) == channels else (sum(v) / len(v),) * channels) for v in (config.mean, config.std))
        declares = {"mean": mean, "std": std}
    return Built(
        net=make(options, weights),
        declares=declares,
        pretrained=weights is not None,
        head=("decoder", "segmentation_head"),
        notes=(note,) if note else (),
    )


def _create(
    family: str, encoder: str, channels: int, outputs: int, options: dict[str, Any], weights: Path | None = None
) -> nn.Module:
    smp = require("segmentation_models_pytorch", need=NEED)
    own = encoder in ENCODERS
    given = {} if weights is None else {"pretrained_cfg_overlay": {"file": str(weights)}}
    # Some of the package's own encoders read numbers of tensors while they are built: never on the meta device.
    with torch.device("cpu") if own else contextlib.nullcontext(), fitting(encoder, weights):
        return getattr(smp, DECODERS[family].kind)(
            encoder_name=encoder if own else f"tu-{encoder}",
            encoder_weights=None if weights is None else True,
            in_channels=channels,
            classes=outputs,
            **options,
            **given,
        )


def _options(make: Any, name: str, channels: int, size: tuple[int, int], outputs: int) -> dict[str, Any]:
    """Keywords with which the network takes pictures of this size."""
    require("segmentation_models_pytorch", need=NEED)
    reason = ""
    # Trials draw no random numbers, so that a seed gives the same weights whatever was tried.
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("meta"):
        for options in ({}, {"img_size": size}):
            # Not every decoder takes every encoder, and each says so in its own way.
            try:
                net = make(options).eval()
                logits = net(torch.empty(1, channels, *size, device=next(net.parameters()).device))
            except Exception as error:
                reason = reason or (str(error).splitlines()[0] if str(error) else type(error).__name__)
                continue
            if tuple(logits.shape) == (1, outputs, *size):
                return options
            reason = reason or f"it gives {tuple(logits.shape[2:])}"
    other = "dpt/vit_tiny_patch16_224" if name.startswith("dpt/") else f"{name.partition('/')[0]}/resnet18"
    raise ModelError(
        f"A decoder has to go with its encoder. {name} does not work for pictures of {size[0]}x{size[1]}: {reason.rstrip('.')}. "
        f"Take another encoder, such as {other}, or another image_size."
    )


for _family in DECODERS:
    FAMILIES.register(f"{_family}_decoder" if _family == "segformer" else _family)(
        Family(names=functools.partial(names, _family), entry=entry, build=build, prefixes=(f"{_family}/",))
    )
