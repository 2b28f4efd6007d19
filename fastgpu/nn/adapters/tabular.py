"""Adapters of the authors' networks for tables: FT-Transformer and TabM."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library

__all__ = ["FTTransformerAdapter", "TabMAdapter"]


@ADAPTERS.register("ft_transformer")
class FTTransformerAdapter(Adapter):
    """`rtdl_revisiting_models.FTTransformer`: called with numbers and categories, None for those that a table lacks."""

    @classmethod
    def suits(cls, net: Any) -> bool:
        return of_library(net, "rtdl_revisiting_models") and type(net).__name__ == "FTTransformer"

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        return {"logits": self.net(x.get("numbers"), x.get("categories"))}


@ADAPTERS.register("tabm")
class TabMAdapter(Adapter):
    """`tabm.TabM`: many members in one network; each has its loss, and what they say together is the mean of them.

    Gives `"members"` `(b, k, outputs)` and `"logits"` `(b, outputs)`. What is averaged is what `net.average` says:
    `"softmax"` probabilities of classes, `"sigmoid"` probabilities of independent labels, `"mean"` numbers as they are;
    where the network does not say, probabilities of classes, and a single output as it is.
    """

    @classmethod
    def suits(cls, net: Any) -> bool:
        return of_library(net, "tabm") and type(net).__name__ == "TabM"

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        members = self.net(x.get("numbers"), x.get("categories"))
        average = getattr(self.net, "average", "softmax" if members.shape[-1] > 1 else "mean")
        return {"logits": _AVERAGES[average](members), "members": members}


def _softmax(members: Tensor) -> Tensor:
    """Logarithm of the mean probability of each class."""
    return members.log_softmax(-1).logsumexp(1) - log(members.shape[1])


def _sigmoid(members: Tensor) -> Tensor:
    """Log-odds of the mean probability of each label."""
    return logsigmoid(members).logsumexp(1) - logsigmoid(-members).logsumexp(1)


def _mean(members: Tensor) -> Tensor:
    return members.mean(1)


_AVERAGES = {"softmax": _softmax, "sigmoid": _sigmoid, "mean": _mean}
