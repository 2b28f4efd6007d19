"""Adapter of torch-rechub's rankers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library
from fastgpu.nn.recommend import widened

__all__ = ["Rechub"]


@ADAPTERS.register("rechub")
class Rechub(Adapter):
    """Rankers of torch-rechub: called with one tensor a feature; their probability becomes log-odds, `{"logits": (b, m)}`.

    The features are `user`, `item`, and `user_0`, `user_1`, ..., `item_0`, ... for the side features in their order.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "torch_rechub")

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        item, item_features = widened(x["item"], x["item_features"])
        users, items = len(x["user"]), item.shape[1]
        fields = {"user": x["user"][:, None].expand(-1, items), "item": item.expand(users, -1)}
        fields |= {f"user_{i}": x["user_features"][:, None, i].expand(-1, items) for i in range(x["user_features"].shape[-1])}
        fields |= {f"item_{i}": item_features[:, :, i].expand(users, -1) for i in range(item_features.shape[-1])}
        probability = self.net({name: values.reshape(-1) for name, values in fields.items()})
        # Binary cross-entropy of probabilities is refused under autocast, and loses digits.
        return {"logits": torch.logit(probability.float(), eps=1e-6).reshape(users, items)}
