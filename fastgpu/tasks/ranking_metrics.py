"""Loss and metrics of ranking: one liked item against others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torchmetrics import Metric

__all__ = ["METRICS", "OF_RANKS", "BPRLoss", "create"]

METRICS = ("auroc", "accuracy", "ndcg@10", "hr@10")
OF_RANKS = ("ndcg@10", "hr@10")
"""Metrics that are updated with ranks; the others with probabilities and 0/1 targets."""


class BPRLoss(nn.Module):
    """Bayesian personalised ranking: `-log(sigmoid(liked - other))`, the mean over the liked items.

    Source: Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, 2009, https://arxiv.org/abs/1205.2618.

    Example:
        >>> BPRLoss()(torch.tensor([9.0, 0.0]), torch.tensor([0.0, 9.0]), torch.tensor([1.0, 0.0])).item() < 0.001
        True
    """

    def forward(self, scores: Tensor, others: Tensor, target: Tensor) -> Tensor:
        """Scores of items and of items drawn beside them, and whether the former are liked, all `(batch,)` -> a scalar."""
        return (nn.functional.softplus(others - scores) * target).sum() / target.sum().clamp(min=1.0)


def create(name: str) -> Any:
    """A fresh metric by its name, one of `METRICS`.

    `hr@10` is the share of liked items among the ten best, `ndcg@10` their discounted gain `1 / log2(1 + rank)`, for one
    liked item a query; they are what torchmetrics' retrieval metrics give for such queries, from ranks alone.

    Example:
        >>> metric = create("hr@10")
        >>> metric.update(torch.tensor([1, 11]))
        >>> metric.compute().item()
        0.5
    """
    from torchmetrics import MeanMetric
    from torchmetrics import classification as tm

    class OfRanks(MeanMetric):
        higher_is_better = True

        def __init__(self, gain: Callable[[Tensor], Tensor]) -> None:
            super().__init__(nan_strategy="disable")
            self.gain = gain

        def update(self, value: Tensor) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            if value.numel():
                super().update(self.gain(value))

    builders: dict[str, Callable[[], Metric]] = {
        "auroc": lambda: tm.BinaryAUROC(validate_args=False),
        "accuracy": lambda: tm.BinaryAccuracy(validate_args=False),
        "ndcg@10": lambda: OfRanks(_ndcg),
        "hr@10": lambda: OfRanks(_hit),
    }
    return builders[name]()


def _hit(ranks: Tensor) -> Tensor:
    return (ranks <= 10).float()


def _ndcg(ranks: Tensor) -> Tensor:
    return torch.where(ranks <= 10, 1 / torch.log2(1 + ranks.float()), 0.0)
