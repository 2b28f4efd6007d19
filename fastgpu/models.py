"""Networks for people who write their own loop: each works with no arguments and is a plain `torch.nn.Module`.

They are the zoo's networks (timm's underneath, for pictures), built for a size of picture; `fastgpu.zoo.list_models()`
names all of them, and `fastgpu.zoo.build` builds any.

Example:
    >>> import torch
    >>> net = ResNet(classes=10, channels=1, image_size=8)
    >>> net(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastgpu.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ConvNeXt", "EfficientNet", "MLP", "MobileNet", "ResNet", "TableResNet", "TextEncoder", "ViT"]

Pixels = int | tuple[int, int]


def ResNet(
    depth: int = 18,
    classes: int = 1000,
    channels: int = 3,
    image_size: Pixels = 224,
    pretrained: bool | str = False,
) -> nn.Module:
    """ResNet (He et al., 2016, "Deep Residual Learning for Image Recognition").

    Args:
        depth: layers: 10, 14, 18, 26, 34, 50, 101 or 152.
        classes: numbers that a picture gets; 1 for a regression.
        channels: channels of a picture: 1 for grey, 3 for colour.
        image_size: side of a picture in pixels, or `(height, width)`. Under 96 the stem keeps more of the pixels.
        pretrained: False; True for published weights; `"auto"` for them where they can be had.

    Returns:
        A module: `(batch, channels, height, width)` float -> `(batch, classes)` logits.

    Raises:
        ArgumentError: there is no such depth.
        NetworkError: `pretrained` is True and the weights cannot be had.
    """
    # 10 and 14 exist in timm's lighter build only.
    names = {d: f"resnet{d}{'t' if d < 18 else ''}" for d in (10, 14, 18, 26, 34, 50, 101, 152)}
    return _image_net(_pick("depth", depth, names), classes, channels, image_size, pretrained)


def MobileNet(
    size: str = "small",
    classes: int = 1000,
    channels: int = 3,
    image_size: Pixels = 224,
    pretrained: bool | str = False,
) -> nn.Module:
    """MobileNetV3 (Howard et al., 2019, "Searching for MobileNetV3").

    Args:
        size: `"tiny"` (the small one at half its width), `"small"` or `"large"`.
        classes: numbers that a picture gets; 1 for a regression.
        channels: channels of a picture.
        image_size: side of a picture in pixels, or `(height, width)`; small ones are enlarged inside.
        pretrained: as in `ResNet`.

    Returns:
        A module: `(batch, channels, height, width)` float -> `(batch, classes)` logits.
    """
    names = {"tiny": "mobilenetv3_small_050", "small": "mobilenetv3_small_100", "large": "mobilenetv3_large_100"}
    return _image_net(_pick("size", size, names), classes, channels, image_size, pretrained)


def EfficientNet(
    size: int = 0,
    classes: int = 1000,
    channels: int = 3,
    image_size: Pixels = 224,
    pretrained: bool | str = False,
) -> nn.Module:
    """EfficientNet (Tan and Le, 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks").

    Args:
        size: 0 to 7, for B0 to B7.
        classes: numbers that a picture gets; 1 for a regression.
        channels: channels of a picture.
        image_size: side of a picture in pixels, or `(height, width)`; small ones are enlarged inside.
        pretrained: as in `ResNet`.

    Returns:
        A module: `(batch, channels, height, width)` float -> `(batch, classes)` logits.
    """
    names = {n: f"efficientnet_b{n}" for n in range(8)}
    return _image_net(_pick("size", size, names), classes, channels, image_size, pretrained)


def ConvNeXt(
    size: str = "atto",
    classes: int = 1000,
    channels: int = 3,
    image_size: Pixels = 224,
    pretrained: bool | str = False,
) -> nn.Module:
    """ConvNeXt (Liu et al., 2022, "A ConvNet for the 2020s"; the sizes below tiny are timm's).

    Args:
        size: `"atto"`, `"femto"`, `"pico"`, `"nano"`, `"tiny"`, `"small"`, `"base"` or `"large"`.
        classes: numbers that a picture gets; 1 for a regression.
        channels: channels of a picture.
        image_size: side of a picture in pixels, or `(height, width)`; small ones are enlarged inside.
        pretrained: as in `ResNet`.

    Returns:
        A module: `(batch, channels, height, width)` float -> `(batch, classes)` logits.
    """
    names = {s: f"convnext_{s}" for s in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large")}
    return _image_net(_pick("size", size, names), classes, channels, image_size, pretrained)


def ViT(
    size: str = "tiny",
    classes: int = 1000,
    channels: int = 3,
    image_size: Pixels = 224,
    pretrained: bool | str = False,
) -> nn.Module:
    """Vision Transformer with patches of 16 pixels (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words").

    Args:
        size: `"tiny"`, `"small"`, `"base"` or `"large"`.
        classes: numbers that a picture gets; 1 for a regression.
        channels: channels of a picture.
        image_size: side of a picture in pixels, or `(height, width)`; it is resized inside where patches need it.
        pretrained: as in `ResNet`.

    Returns:
        A module: `(batch, channels, height, width)` float -> `(batch, classes)` logits.
    """
    names = {s: f"vit_{s}_patch16_224" for s in ("tiny", "small", "base", "large")}
    return _image_net(_pick("size", size, names), classes, channels, image_size, pretrained)


def MLP(features: int = 784, classes: int = 10, hidden: Sequence[int] = (128,)) -> nn.Sequential:
    """Multilayer perceptron: linear layers with ReLU between them.

    Args:
        features: values an item has.
        classes: numbers that an item gets; 1 for a regression.
        hidden: widths of the hidden layers.

    Returns:
        A module: `(batch, features)` float -> `(batch, classes)` logits.
    """
    from fastgpu.zoo.table.mlp import layers

    return layers(features, hidden, classes)


def TextEncoder(size: str = "tiny", classes: int = 2, vocabulary: int = 8000, max_length: int = 256, pad: int = 0) -> nn.Module:
    """Small Transformer encoder for texts, see `fastgpu.zoo.text.encoder.TextEncoder`.

    Args:
        size: `"tiny"`, `"mini"` or `"small"`.
        classes: numbers that a text gets; 1 for a regression.
        vocabulary: how many token ids there are.
        max_length: most tokens a text has.
        pad: id of the token that fills up.

    Returns:
        A module: ids `(batch, length)` int64, mask `(batch, length)` bool -> `(batch, classes)` logits.
    """
    names = {s: f"text_encoder/{s}" for s in ("tiny", "mini", "small")}
    facts = {"kind": "text", "vocabulary": vocabulary, "max_length": max_length, "pad": pad}
    return _build(_pick("size", size, names), facts, classes)


def TableResNet(
    numbers: int = 16, cardinalities: Sequence[int] = (), classes: int = 2, width: int = 192, blocks: int = 2
) -> nn.Module:
    """ResNet for tables (Gorishniy et al., 2021), see `fastgpu.zoo.table.resnet.TableResNet`.

    Args:
        numbers: numeric columns.
        cardinalities: how many codes each category column has.
        classes: numbers that a row gets; 1 for a regression.
        width: values a row has between blocks.
        blocks: residual blocks.

    Returns:
        A module: numbers `(batch, numbers)` float and, where there are any, categories `(batch, columns)` int64 ->
        `(batch, classes)` logits.
    """
    from fastgpu.zoo.table.resnet import TableResNet as Net

    return Net(numbers, cardinalities, classes, width=width, blocks=blocks)


def _pick(what: str, given: Any, names: Mapping[Any, str]) -> str:
    if given not in names:
        raise ArgumentError(f"There is no such {what}. Got {given!r}. Take one of {', '.join(map(repr, names))}.")
    return names[given]


def _build(name: str, facts: dict[str, Any], outputs: int) -> nn.Module:
    from fastgpu import zoo

    return zoo.build(name, facts, outputs).net


def _image_net(name: str, classes: int, channels: int, image_size: Pixels, pretrained: bool | str) -> nn.Module:
    from torch import nn

    from fastgpu import zoo

    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    built = zoo.build(name, {"kind": "image", "channels": channels, "size": size}, classes, pretrained)
    if "network_size" not in built.declares:
        return built.net
    # In a loop of one's own nobody else resizes.
    return nn.Sequential(nn.Upsample(built.declares["network_size"], mode="bilinear"), built.net)
