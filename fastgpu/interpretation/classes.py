"""Interpretation of a classification: confusion, classes, calibration, curves."""

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

__all__ = ["ClassInterpretation"]


class ClassInterpretation(Interpretation):
    """What a classifier gets right and wrong: `learn.interpret()`.

    Attributes:
        targets: `(n,)` class numbers.
        probabilities: `(n, classes)`.

    Example:
        >>> from fastgpu import Learner
        >>> learn = Learner("mlp", "digits", verbose=False, out=tmp)
        >>> history = learn.fit(1)
        >>> seen = learn.interpret()
        >>> seen.confusion_matrix().shape, list(seen.most_confused().columns)
        ((10, 10), ['truth', 'predicted', 'count'])
    """

    task: ClassVar[str] = "classification"

    @property
    def class_names(self) -> tuple[str | int, ...]:
        return self.names

    @property
    def probabilities(self) -> np.ndarray:
        """`(n, classes)` probabilities, 0 to 1."""
        return self._outputs

    @property
    def labels(self) -> np.ndarray:
        """`(n,)` numbers of the predicted classes."""
        return self._outputs.argmax(1)

    def truth(self, i: int) -> Any:
        return self.names[self.targets[i]]

    def predicted(self, i: int) -> Any:
        return self.names[self._outputs[i].argmax()]

    def title(self, i: int) -> str:
        return f"{self.predicted(i)} {self._outputs[i].max():.0%}\ntruth {self.truth(i)}"

    def _further(self, index: list[int]) -> dict[str, Any]:
        return {"probability": self._outputs[index].max(1)}

    # Confusion

    def confusion_matrix(self) -> DataFrame:
        """How many items of each class (rows) were given each class (columns)."""
        import pandas as pd
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        counts = multiclass_confusion_matrix(*self._labels(), len(self.names), validate_args=False)
        rows, columns = (pd.Index(self.names, name=name) for name in ("truth", "predicted"))
        return pd.DataFrame(counts.numpy(), index=rows, columns=columns)

    def plot_confusion_matrix(self) -> Figure:
        """The confusion matrix as a heat map, each row in shares of its class."""
        return heat_map(self.confusion_matrix())

    def most_confused(self, min_count: int = 1) -> DataFrame:
        """Pairs of classes that are taken for each other, most often first: columns `truth`, `predicted`, `count`.

        Args:
            min_count: how often at least.
        """
        wrong = np.flatnonzero(self.labels != self.targets).tolist()
        return confused([self.truth(i) for i in wrong], [self.predicted(i) for i in wrong], min_count)

    # Classes

    def per_class(self) -> DataFrame:
        """`precision`, `recall`, `f1`, 0 to 1, and `support` (items) of each class."""
        import pandas as pd
        from torchmetrics.functional import classification as tm

        options: dict[str, Any] = {"num_classes": len(self.names), "average": None, "validate_args": False}
        found = {"precision": tm.multiclass_precision, "recall": tm.multiclass_recall, "f1": tm.multiclass_f1_score}
        columns = {name: metric(*self._labels(), **options).numpy() for name, metric in found.items()}
        columns["support"] = np.bincount(self.targets, minlength=len(self.names))
        return pd.DataFrame(columns, index=pd.Index(self.names, name="class"))

    def _labels(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.labels), torch.from_numpy(self.targets)

    # Probabilities

    def calibration(self, bins: int = 15) -> DataFrame:
        """How often the predicted class is right, by its probability; columns `confidence`, `accuracy`, `count`.

        Args:
            bins: parts of equal width that 0 to 1 is cut into; those without items are left out.
        """
        return reliability(self._outputs.max(1), self.labels == self.targets, bins)

    @property
    def calibration_error(self) -> float:
        """Mean gap between confidence and accuracy over 15 bins, weighed by their items (Guo et al. 2017); 0 is best."""
        from torchmetrics.functional.classification import multiclass_calibration_error

        p, t = torch.from_numpy(self._outputs), torch.from_numpy(self.targets)
        return float(multiclass_calibration_error(p, t, len(self.names), n_bins=15, norm="l1", validate_args=False))

    def plot_calibration(self, bins: int = 15) -> Figure:
        """Accuracy over confidence; on the diagonal a probability means what it says."""
        return plot_calibration(self.calibration(bins), self.calibration_error)

    def curves(self, thresholds: int | None = None) -> Curves:
        """Precision-recall and ROC curves of each class against the rest, and the areas under them.

        Args:
            thresholds: how many; None: each probability that occurs.
        """
        given = np.eye(len(self.names), dtype=np.int64)[self.targets]
        return curves_of(self._outputs, given, self.names, thresholds)

    def plot_curves(self) -> Figure:
        """Precision-recall and ROC curves, a line a class; of many classes the ten with the lowest average precision."""
        return plot_curves(self.curves(thresholds=200))
