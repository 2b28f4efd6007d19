"""Interpretation of a multilabel task: each label by itself, and whole sets of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fastgpu.interpretation.base import Interpretation
from fastgpu.interpretation.confusion import confused, heat_map
from fastgpu.interpretation.curves import Curves, curves_of, plot_calibration, plot_curves, reliability

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["LabelInterpretation"]

COUNTS = ("true_negative", "false_positive", "false_negative", "true_positive")


class LabelInterpretation(Interpretation):
    """What a network that gives any number of labels gets right and wrong: `learn.interpret()`.

    Args:
        threshold: probability above which a label is given.

    Attributes:
        targets: `(n, labels)` 0 and 1.
        probabilities: `(n, labels)`.
    """

    task: ClassVar[str] = "multilabel"

    def __init__(self, *, threshold: float = 0.5, **given: Any) -> None:
        super().__init__(**given)
        self.threshold = threshold

    @property
    def class_names(self) -> tuple[str | int, ...]:
        return self.names

    @property
    def probabilities(self) -> np.ndarray:
        """`(n, labels)` probabilities, 0 to 1, each of its own."""
        return self._outputs

    @property
    def labels(self) -> np.ndarray:
        """`(n, labels)` 1 where a label was given."""
        return (self._outputs > self.threshold).astype(np.int64)

    def truth(self, i: int) -> str:
        return self._text(self.targets[i])

    def predicted(self, i: int) -> str:
        return self._text(self._outputs[i] > self.threshold)

    def _text(self, row: np.ndarray) -> str:
        return ", ".join(str(self.names[j]) for j in np.flatnonzero(row)) or "no label"

    def confusion_matrix(self) -> DataFrame:
        """Of each label (rows) how many items had it and were given it, or not: `true_negative` to `true_positive`."""
        import pandas as pd
        from torchmetrics.functional.classification import multilabel_confusion_matrix

        counts = multilabel_confusion_matrix(*self._tensors(), len(self.names), threshold=self.threshold, validate_args=False)
        return pd.DataFrame(counts.reshape(-1, 4).numpy(), index=pd.Index(self.names, name="label"), columns=pd.Index(COUNTS))

    def plot_confusion_matrix(self) -> Figure:
        """The counts of each label as a heat map, in shares of all items."""
        return heat_map(self.confusion_matrix())

    def most_confused(self, min_count: int = 1) -> DataFrame:
        """Sets of labels that are taken for others, most often first: columns `truth`, `predicted`, `count`.

        Args:
            min_count: how often at least.
        """
        wrong = np.flatnonzero((self.labels != self.targets).any(1)).tolist()
        return confused([self.truth(i) for i in wrong], [self.predicted(i) for i in wrong], min_count)

    def per_class(self) -> DataFrame:
        """`precision`, `recall`, `f1`, 0 to 1, and `support` (items that have it) of each label."""
        import pandas as pd
        from torchmetrics.functional import classification as tm

        options: dict[str, Any] = {"num_labels": len(self.names), "average": None, "threshold": self.threshold, "validate_args": False}
        found = {"precision": tm.multilabel_precision, "recall": tm.multilabel_recall, "f1": tm.multilabel_f1_score}
        columns = {name: metric(*self._tensors(), **options).numpy() for name, metric in found.items()}
        return pd.DataFrame(columns | {"support": self.targets.sum(0)}, index=pd.Index(self.names, name="label"))

    def _tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self._outputs), torch.from_numpy(self.targets)

    def calibration(self, bins: int = 15) -> DataFrame:
        """How often labels of like probability are there: columns `confidence`, `accuracy` (their share), `count`.

        Args:
            bins: parts of equal width that 0 to 1 is cut into; those without labels are left out.
        """
        return reliability(self._outputs.reshape(-1), self.targets.reshape(-1) > 0, bins)

    @property
    def calibration_error(self) -> float:
        """Mean gap between probability and share over 15 bins, weighed by their labels (Guo et al. 2017); 0 is best."""
        from torchmetrics.functional.classification import binary_calibration_error

        p, t = (each.reshape(-1) for each in self._tensors())
        return float(binary_calibration_error(p, t, n_bins=15, norm="l1", validate_args=False))

    def plot_calibration(self, bins: int = 15) -> Figure:
        """Share over probability; on the diagonal a probability means what it says."""
        return plot_calibration(self.calibration(bins), self.calibration_error)

    def curves(self, thresholds: int | None = None) -> Curves:
        """Precision-recall and ROC curves of each label, and the areas under them.

        Args:
            thresholds: how many; None: each probability that occurs.
        """
        return curves_of(self._outputs, self.targets, self.names, thresholds)

    def plot_curves(self) -> Figure:
        """Precision-recall and ROC curves, a line a label; of many labels the ten with the lowest average precision."""
        return plot_curves(self.curves(thresholds=200))
