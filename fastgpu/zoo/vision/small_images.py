"""How a picture of any size goes into a network made for 224 pixels.

Small pictures would vanish: ResNet-18 halves a picture five times, so 8 pixels are gone before the last block. The rule,
for a picture whose shorter side is under 96 pixels and a network that starts from random weights:

- Networks that shrink a picture step by step and take any size: their stem's halvings (the pooling, then the stride of
  the first convolution) are undone until the last map has 4x4 places, as in the ResNets for CIFAR (He et al., 2016,
  section 4.2). Where all of it was undone, the picture is enlarged only as far as one place in the last map needs;
  where some of it cannot be, to 32 pixels.
- Networks with a fixed size that shrink step by step: built for twice the picture, at least 2x2 places in the last map.
- Networks of equal patches: built so that a patch covers 4 pixels of the picture, 4x4 to 8x8 patches in all.

With pretrained weights the stem stays as it was trained, and the picture is enlarged to 96 pixels, or to the network's own
size where that is fixed. Larger pictures keep their size where the network takes it. Whether it does is tried on the
`meta` device, which computes shapes only; when all else fails a picture is resized to the network's own size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import nn

from fastgpu.errors import ModelError

__all__ = ["Fit", "Shape", "candidates", "choose", "gives_scores", "stem_steps", "undo"]

Size = tuple[int, int]

SMALL = 96
"""Shorter side under which a picture is small: from here a map of 3x3 places is left after five halvings."""
MAP = 4
"""Places a side that the last map is given where the stem allows it."""
LEAST = 32
"""Shorter side for networks that still shrink a picture 16 times or more with their stem undone. On the 8x8 digits a
MobileNetV3 came to 0.94 with it and to 0.87 with one place in the last map."""
STEM_POOLS = ("maxpool", "stem.pool", "features.pool0", "features.conv1_pool", "pool0")
"""Where timm's networks keep the pooling of their stem."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a network does to the size of a picture.

    Args:
        own: `(height, width)` that it was made for.
        reduction: pixels a side that one place of its last map stands for.
        even: whether all its maps have one size (equal patches).
        fixed: whether the size is fixed when it is built (`img_size=`).
        steps: halvings of the stem that can be undone.
    """

    own: Size
    reduction: int
    even: bool
    fixed: bool
    steps: int


@dataclasses.dataclass(frozen=True)
class Fit:
    """One way to bring picture and network together.

    Args:
        size: `(height, width)` that the network sees.
        undo: how many halvings of the stem are undone.
        img_size: whether the network is built for `size`; else it is built as it is.
    """

    size: Size
    undo: int = 0
    img_size: bool = False


def candidates(size: Size, shape: Shape, pretrained: bool) -> Iterator[Fit]:
    """Ways to fit pictures of `size`, the best first, the network's own size last."""
    short = min(size)
    if pretrained:
        if not shape.fixed:
            enlarged = _scaled(size, max(short, SMALL))
            yield Fit(enlarged)
            yield Fit(_multiple(enlarged, shape.reduction))
    elif short >= SMALL:
        if not shape.fixed:
            yield Fit(size)
            yield Fit(_multiple(size, shape.reduction))
        elif size != shape.own:
            bounded = (min(size[0], shape.own[0]), min(size[1], shape.own[1]))
            yield Fit(_multiple(bounded, shape.reduction), img_size=True)
    elif shape.even:
        side = min(max(4 * short, 4 * shape.reduction), 8 * shape.reduction, min(shape.own))
        yield from _both(_multiple(_scaled(size, side), shape.reduction), img_size=shape.fixed)
    elif shape.fixed:
        for least in (2, 4):
            side = min(max(2 * short, least * shape.reduction), min(shape.own))
            yield from _both(_multiple(_scaled(size, side), shape.reduction), img_size=True)
    else:
        undo = next((k for k in range(shape.steps) if short * 2**k >= MAP * shape.reduction), shape.steps)
        left = max(1, shape.reduction >> undo)
        enlarged = _scaled(size, max(short, left if left <= 8 else max(left, LEAST)))
        yield Fit(enlarged, undo=undo)
        yield Fit(_multiple(enlarged, left), undo=undo)
        for least in (1, 2, 3, 4):
            yield Fit(_multiple(_scaled(size, max(short, least * shape.reduction)), shape.reduction))
    yield Fit(shape.own)


def choose(name: str, size: Size, shape: Shape, pretrained: bool, works: Callable[[Fit], bool]) -> tuple[Fit, str]:
    """The first fit that works, and one line that says what it does (`""` where nothing had to be done).

    Raises:
        ModelError: the network takes no picture, not even of its own size.
    """
    tried: set[Fit] = set()
    for fit in candidates(size, shape, pretrained):
        if fit in tried:
            continue
        tried.add(fit)
        if works(fit):
            return fit, _describe(name, size, shape, fit)
    raise ModelError(f"{name} gives no scores for pictures of {_x(size)}, nor of its own size {_x(shape.own)}. Choose another.")


def stem_steps(net: nn.Module, first_convs: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Names of the layers that hold the stem's halvings: the pooling, then the first convolutions."""
    modules = dict(net.named_modules())
    steps: list[tuple[str, ...]] = []
    for name in STEM_POOLS:
        if not isinstance(modules.get(name), nn.Identity | None):
            steps.append((name,))
            break
    convs = [modules.get(name) for name in first_convs]
    if convs and all(isinstance(c, nn.Conv2d) and c.stride in ((2, 2), (4, 4)) for c in convs):
        steps.append(first_convs)
    return steps


def undo(net: nn.Module, steps: list[tuple[str, ...]]) -> None:
    """Undo halvings of the stem in place: a pooling becomes the identity, a convolution's stride is halved."""
    for names in steps:
        for name in names:
            layer = net.get_submodule(name)
            if not isinstance(layer, nn.Conv2d):
                parent, _, child = name.rpartition(".")
                setattr(net.get_submodule(parent), child, nn.Identity())
                continue
            patches = layer.stride == layer.kernel_size
            layer.stride = (layer.stride[0] // 2, layer.stride[1] // 2)
            if patches:
                # Patches that did not overlap now do: a margin keeps the map at exactly twice its size.
                layer.padding = ((layer.kernel_size[0] - layer.stride[0]) // 2, (layer.kernel_size[1] - layer.stride[1]) // 2)


def gives_scores(net: nn.Module, channels: int, size: Size, outputs: int) -> bool:
    """Whether a network on the `meta` device turns two pictures into `(2, outputs)`."""
    try:
        with torch.no_grad():
            scores = net.eval()(torch.empty(2, channels, *size, device="meta"))
    # A network may refuse a size with any error at all: an assertion, a shape that does not match, a division by zero.
    except Exception:
        return False
    return isinstance(scores, torch.Tensor) and scores.shape == (2, outputs)


def _both(size: Size, *, img_size: bool) -> Iterator[Fit]:
    yield Fit(size, img_size=img_size)
    if size[0] != size[1]:
        yield Fit((max(size), max(size)), img_size=img_size)


def _scaled(size: Size, short: int) -> Size:
    """`size` with its shorter side at `short`, in the same proportion."""
    factor = short / min(size)
    return round(size[0] * factor), round(size[1] * factor)


def _multiple(size: Size, of: int) -> Size:
    return -(-size[0] // of) * of, -(-size[1] // of) * of


def _x(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _describe(name: str, size: Size, shape: Shape, fit: Fit) -> str:
    done = []
    if fit.undo:
        done.append(f"{2**fit.undo} times less shrinking in its stem")
    if fit.img_size:
        done.append(f"built for {_x(fit.size)}")
    if fit.size != size:
        done.append(f"pictures resized to {_x(fit.size)}")
    if not done:
        return ""
    return f"{name} was made for pictures of {_x(shape.own)}, these have {_x(size)}: {', '.join(done)}"
