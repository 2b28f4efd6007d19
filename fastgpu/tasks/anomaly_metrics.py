"""Metrics of the task `anomaly`: torchmetrics' own, for scores on any scale and for data where only normal items are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["Alarms", "AreaUnderCurve", "Threshold"]


class _Gathered(Metric):
    """Keeps scores and targets of all updates, over all processes."""

    full_state_update = False
    scores: Any
    targets: Any

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Keep a batch.

        Args:
            scores: any shape, higher is more anomalous.
            target: the same shape, 0 normal, 1 anomalous, 255 not counted.
        """
        self.scores.append(scores.detach().float().flatten())
        self.targets.append(target.detach().to(torch.uint8).flatten())

    def _all(self) -> tuple[Tensor, Tensor]:
        scores, targets = (part if isinstance(part, Tensor) else torch.cat(part or [torch.zeros(0)]) for part in (self.scores, self.targets))
        return scores[targets != 255], targets[targets != 255].long()


class AreaUnderCurve(_Gathered):
    """Area under the ROC curve, 0 to 1; no value where only normal or only anomalous items came."""

    higher_is_better = True

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The area: the chance that an anomalous item scores above a normal one."""
        from torchmetrics.functional.classification import binary_auroc

        scores, targets = self._all()
        if not len(targets) or bool((targets == targets[0]).all()):
            return {}
        # By rank: torchmetrics takes scores outside of 0 to 1 for logits, and large ones would all become 1.
        ranks = scores.unique(return_inverse=True)[1].double()
        return binary_auroc(ranks / ranks.max().clamp_min(1), targets, validate_args=False)


class Threshold(_Gathered):
    """A quantile of the scores of normal items; no value where none came.

    Args:
        quantile: share of the normal items that score below, 0 to 1.
    """

    higher_is_better = None

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.quantile = quantile

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The score below which that share of normal items lies."""
        scores, targets = self._all()
        normal = scores[targets == 0].sort().values
        if not len(normal):
            return {}
        place = self.quantile * (len(normal) - 1)  # torch.quantile takes 16 million values at most
        low, high = normal[int(place)], normal[min(int(place) + 1, len(normal) - 1)]
        return low + (high - low) * (place - int(place))


class Alarms(_Gathered):
    """How good alarms are, 0 to 1; no value where no item is anomalous.

    Args:
        name: `"f1"`, `"precision"` (the share of alarms that are right) or `"recall"` (the share of anomalies found).
    """

    higher_is_better = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The value; `update` takes 1 for an alarm and 0 for none as scores."""
        from torchmetrics.functional import classification

        alarms, targets = self._all()
        if not bool((targets == 1).any()):
            return {}
        made = {"f1": classification.binary_f1_score, "precision": classification.binary_precision, "recall": classification.binary_recall}
        return made[self.name](alarms.long(), targets, validate_args=False)
