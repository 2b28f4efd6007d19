"""The adapter of transformers' networks that give a class a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library

__all__ = ["SemanticSegmentation"]


@ADAPTERS.register("semantic_segmentation")
class SemanticSegmentation(Adapter):
    """Calls a `...ForSemanticSegmentation` with the picture; its logits, of a quarter of the size, are enlarged to the picture's."""

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return type(net).__name__.endswith("ForSemanticSegmentation") and of_library(net, "transformers")

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        logits = self.net(pixel_values=x["image"]).logits
        return {"logits": F.interpolate(logits, x["image"].shape[-2:], mode="bilinear", align_corners=False)}
