"""What networks share that learn what is normal: the threshold that is kept with their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AnomalyNetwork"]


class AnomalyNetwork(nn.Module):
    """Base of networks for the task `anomaly`.

    Called with the parts of a batch in order, `forward` gives a dict: `"score"` `(b,)`, higher is more anomalous;
    `"losses"` `(b,)`, what training lowers, item by item; and, where it can tell the place, `"map"` `(b, h, w)`, the score
    of each place.

    Attributes:
        threshold: scalar buffer, the score above which an item counts as anomalous; NaN until a validation found it.
    """

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(float("nan")))
