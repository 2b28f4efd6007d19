"""The mean loss of an epoch, summed on the device and over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric

__all__ = ["MeanLoss"]


class MeanLoss(nn.Module):
    """Mean over items of batches' mean losses.

    torchmetrics' `MeanMetric(nan_strategy="disable")` would drop its weights (1.9), and its other strategies read a
    value from the device at each update.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total, self.count = SumMetric(nan_strategy="disable"), SumMetric(nan_strategy="disable")
        self._items = 0

    def update(self, losses: Tensor, sizes: Sequence[int]) -> None:
        """Add batches: `losses` `(k,)` mean losses, `sizes` `k` numbers of items."""
        alike = len(set(sizes)) == 1  # a tensor of sizes would have to be sent to the device
        weighted = losses * (sizes[0] if alike else torch.tensor(sizes, dtype=losses.dtype, device=losses.device))
        self.total.update(weighted)
        self._items += sum(sizes)

    def compute(self) -> float:
        """The mean, over all processes."""
        self.count.update(self._items)
        mean = self.total.compute() / self.count.compute()
        return float(mean)

    def reset(self) -> None:
        """Begin anew."""
        self.total.reset()
        self.count.reset()
        self._items = 0
