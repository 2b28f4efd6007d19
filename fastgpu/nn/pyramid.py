"""A feature pyramid on any backbone that gives maps of several sizes."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["Pyramid"]


class Pyramid(nn.Module):
    """Maps of a backbone, brought to one width and joined from coarse to fine (Lin et al., 2017, arXiv 1612.03144).

    Args:
        body: pictures `(b, c, h, w)` -> list of maps `(b, channels[i], h / stride, w / stride)`, finest first.
        channels: channels of each map.
        width: channels of each level of the pyramid.
        coarser: whether two levels more are made from the coarsest, each of half its size (P6 and P7 of Lin et al., 2017,
            arXiv 1708.02002).

    Attributes:
        out_channels: the width, under the name by which torchvision's detectors ask for it.
    """

    def __init__(self, body: nn.Module, channels: list[int], width: int, *, coarser: bool = False) -> None:
        super().__init__()
        from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

        self.body = body
        self.fpn = FeaturePyramidNetwork(channels, width, LastLevelP6P7(width, width) if coarser else None)
        self.out_channels = width

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        """Pictures `(b, c, h, w)` -> level -> `(b, width, h / stride, w / stride)`, finest first."""
        return self.fpn(OrderedDict((str(i), each) for i, each in enumerate(self.body(image))))
