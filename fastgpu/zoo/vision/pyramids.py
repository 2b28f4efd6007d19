"""timm's networks as pyramids: which of them give maps of several sizes, and building one for detection."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgpu.errors import ModelError, UnknownNameError
from fastgpu.nn.pyramid import Pyramid
from fastgpu.zoo.entry import Entry
from fastgpu.zoo.pretrained import fitting, weights_file

__all__ = ["Levels", "backbone_config", "build_backbone", "build_pyramid", "choose_levels", "pyramid_entry", "pyramid_names"]

# Modules of timm whose networks keep one size from the first layer to the last, or shrink by other factors than 2.
_NO_PYRAMID = frozenset(
    "beit cait convit convmixer crossvit deepseek_vit deit eva gemma4_vit mlp_mixer naflexvit pit qwen3_vit sequencer tnt "
    "vision_transformer vision_transformer_hybrid vision_transformer_relpos vision_transformer_sam volo xcit".split()
)


@dataclasses.dataclass(frozen=True)
class Levels:
    """The maps that a detector looks at.

    Args:
        strides: pixels of the picture that a cell of each map covers, finest first.
        coarser: whether two levels more, each of half the size, are made on top.
    """

    strides: tuple[int, ...]
    coarser: bool

    @property
    def all(self) -> tuple[int, ...]:
        """Strides of all levels."""
        top = self.strides[-1]
        return (*self.strides, 2 * top, 4 * top) if self.coarser else self.strides


def pyramid_names(family: str) -> list[str]:
    """`"fcos/resnet18"`, ...: a family's name with each of timm's networks that give maps of several sizes."""
    import timm

    without = {name for module in _NO_PYRAMID for name in timm.list_models(module=module)}
    return [f"{family}/{name}" for name in timm.list_models() if name not in without]


def pyramid_entry(name: str, task: str, source: str) -> Entry:
    """Facts about a detector on one of timm's networks; the name may carry the tag of particular weights."""
    config = backbone_config(name)
    return Entry(
        name=name,
        inputs=("image",),
        tasks=(task,),
        source=f"{source}; backbone: timm {config.architecture or name.partition('/')[2]}",
        licence=f"BSD-3-Clause (torchvision), {config.license or 'unknown'} (backbone)",
        pretrained=bool(config.has_weights),
        typical=(
            {"kind": "image", "channels": 3, "size": (512, 512)},
            {"task": task, "outputs": 80, "box_sizes": (12.0, 320.0)},
        ),
        extra="vision",  # its metric
    )


def choose_levels(box_sizes: tuple[float, float], strides: tuple[int, ...]) -> Levels:
    """Levels for boxes of these sizes, of those that a backbone has.

    The finest level has cells of at most two thirds of a small box, 4 to 8 pixels (FCOS, Tian et al., 2019, and RetinaNet
    begin at 8, for boxes from 32 pixels on); a level answers for boxes of up to eight cells, and there are two levels at
    least, so that a coarser view takes part.

    Args:
        box_sizes: side of a small and of a large box, in pixels.
        strides: what the backbone offers, finest first.
    """
    small, large = box_sizes
    wanted = min(8, max(4, 2 ** int(math.log2(max(small / 1.5, 1)))))
    first = max((i for i, s in enumerate(strides) if s <= wanted), default=0)
    last = next((i for i, s in enumerate(strides) if 8 * s >= large), len(strides) - 1)
    last = max(last, min(first + 1, len(strides) - 1))
    return Levels(strides[first : last + 1], coarser=8 * strides[last] < large)


def build_pyramid(
    name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str
) -> tuple[Pyramid, Levels, dict[str, Any]]:
    """The backbone behind a detector's name with a feature pyramid on it.

    Args:
        name: `family/<timm name>`.
        facts: of the pictures: `"channels"`, `"size"`.
        target: of the task: `"box_sizes"`.
        pretrained: see `fastgpu.zoo.build`.

    Returns:
        The pyramid, its levels, and what `Built` takes of the weights: `declares`, `pretrained`, `notes`.

    Raises:
        ModelError: the backbone gives no pyramid for pictures of this size.
    """
    chosen: list[Levels] = []

    def choose(strides: tuple[int, ...], trained: bool) -> tuple[int, ...]:
        chosen.append(choose_levels(target["box_sizes"], strides))
        return chosen[-1].strides

    body, about = build_backbone(name, facts, pretrained, choose)
    levels = chosen[-1]
    widths: list[int] = body.feature_info.channels()
    # As wide as its finest map, in 32s, which group normalisation asks for; 256 is the papers' width.
    width = min(256, max(64, -(-widths[0] // 32) * 32))
    said = f"levels: strides {', '.join(map(str, levels.all))}, {width} channels"
    return Pyramid(body, widths, width, coarser=levels.coarser), levels, {**about, "notes": (*about["notes"], said)}


def build_backbone(
    name: str, facts: dict[str, Any], pretrained: bool | str, choose: Callable[[tuple[int, ...], bool], tuple[int, ...]]
) -> tuple[Any, dict[str, Any]]:
    """One of timm's networks as a function from pictures to a list of maps, finest first.

    Args:
        name: `family/<timm name>`.
        facts: of the pictures: `"channels"`, `"size"`.
        pretrained: see `fastgpu.zoo.build`.
        choose: strides that there are, finest first, and whether weights are loaded -> strides of the maps wanted.

    Returns:
        The backbone, with timm's `feature_info`, and what `Built` takes of the weights: `declares`, `pretrained`, `notes`.

    Raises:
        ModelError: the network gives no pyramid for pictures of this size.
    """
    backbone = name.partition("/")[2]
    config = backbone_config(name)
    weights, note = weights_file(
        backbone, False if pretrained == "layout" else pretrained, hub=config.hf_hub_id or "", url=config.url or ""
    )
    channels, size = facts["channels"], tuple(facts["size"])
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        options, reductions = _options(backbone, channels, size, name)
    strides = choose(tuple(reductions), weights is not None or pretrained == "layout")
    body = _create(backbone, channels, {**options, "out_indices": tuple(reductions[stride] for stride in strides)}, weights)
    declares: dict[str, Any] = {}
    if weights:
        declares = {"mean": _per_channel(config.mean, channels), "std": _per_channel(config.std, channels)}
    return body, {"declares": declares, "pretrained": weights is not None, "notes": (note,) if note else ()}


def backbone_config(name: str) -> Any:
    """What timm knows of the weights behind `family/<timm name>`.

    Raises:
        UnknownNameError: the name carries a tag of weights that there are not.
    """
    import timm

    backbone = name.partition("/")[2]
    try:
        return timm.get_pretrained_cfg(backbone)
    except RuntimeError:
        known = timm.list_pretrained(f"{backbone.partition('.')[0]}.*")
        raise UnknownNameError("weights", name, [f"{name.partition('/')[0]}/{k}" for k in known]) from None


def _options(backbone: str, channels: int, size: tuple[int, int], name: str) -> tuple[dict[str, Any], dict[int, int]]:
    """Keywords with which the backbone takes pictures of this size, and stride -> number of the map."""
    reason = ""
    ways: tuple[dict[str, Any], ...] = ({}, {"img_size": size})
    # timm's second way of taking maps out is the one that gives channels first where a network works with channels last.
    for options in (*ways, *({**way, "feature_cls": "getter"} for way in ways)):
        # Not every network can be built for every size, and each says so in its own way.
        try:
            body: Any = _create(backbone, channels, options)
            maps = body.eval()(torch.empty(1, channels, *size))
        except Exception as error:
            reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
            continue
        found = {}
        for i, (info, each) in enumerate(zip(body.feature_info.get_dicts(), maps)):
            stride = info["reduction"]
            if each.ndim == 4 and tuple(each.shape[1:]) == (info["num_chs"], -(-size[0] // stride), -(-size[1] // stride)):
                found.setdefault(stride, i)
        if len(found) > 1:
            return options, dict(sorted(found.items()))
        reason = reason or "its maps are all of one size"
    raise ModelError(
        f"A detector needs a backbone that gives maps of several sizes. {name} gives none for pictures of {size[0]}x{size[1]}: "
        f"{reason}. Take another, such as {name.partition('/')[0]}/resnet18, or another image_size."
    )


def _create(backbone: str, channels: int, options: dict[str, Any], weights: Path | None = None) -> nn.Module:
    import timm

    given = {"features_only": True, "in_chans": channels, **options}
    if weights is not None:
        given["pretrained_cfg_overlay"] = {"file": str(weights)}
    with fitting(backbone, weights):
        return timm.create_model(backbone, pretrained=weights is not None, **given)


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    # timm spreads the trained first layer over other channels; their statistics are then the average.
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
