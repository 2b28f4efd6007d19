"""What detectors of all libraries have in common: boxes are made from what the forward pass gave, when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fastgpu.nn.adapters.base import Adapter

__all__ = ["Detector", "boxes_of"]


class Detector(Adapter):
    """A network that finds objects in pictures; it owns its loss.

    `forward` gives what the network computes; `detect` turns it into boxes, which training never needs.
    """

    @abstractmethod
    def detect(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, list[Tensor]]:
        """Objects in each picture of a batch, from what `forward` gave for it in evaluation mode.

        Returns:
            A list of `b` tensors each: `"boxes"` `(k, 4)` corners in pixels of the batch's pictures, `"labels"` `(k,)` int64
            class numbers, `"scores"` `(k,)` from 0 to 1, highest first; `"masks"` `(k, side, side)` shares of each box
            where the network draws them.
        """

    @abstractmethod
    def detect_in_graph(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, Tensor]:
        """The same as `detect`, with as many objects in every picture, for an exported network.

        Returns:
            `"boxes"` `(b, n, 4)`, `"labels"` `(b, n)`, `"scores"` `(b, n)`, highest first, 0 where there is no object; `"masks"`
            `(b, n, side, side)` where the network draws them.
        """


def boxes_of(y: Mapping[str, Any], first: int = 0) -> list[dict[str, Tensor]]:
    """Padded targets -> one dict a picture, as libraries take them.

    Args:
        y: `"boxes"` `(b, k, 4)`, `"labels"` `(b, k)`, `"count"` `b` numbers of objects, `"masks"` `(b, k, h, w)` where there are any.
        first: number of the library's first class: 1 where 0 is the background.
    """
    listed = []
    for i, count in enumerate(y["count"]):
        each = {"boxes": y["boxes"][i, :count], "labels": y["labels"][i, :count] + first}
        if "masks" in y:
            each["masks"] = y["masks"][i, :count]
        listed.append(each)
    return listed
