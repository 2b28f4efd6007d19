"""Metrics: torchmetrics underneath; plain ones for an own loop, and the table of names that a task takes.

    accuracy = fastgpu.metrics.Accuracy()
    accuracy.update(logits, target)  # once a batch; accuracy.get() is a float, accuracy.reset() starts again
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from fastgpu.errors import ArgumentError, UnknownNameError

if TYPE_CHECKING:
    from torchmetrics import Metric

    _Builders = dict[str, Callable[[], Metric]]
    _Matched = tuple[Tensor, Tensor, Callable[[], Metric]]

__all__ = ["AUROC", "F1", "R2", "Accuracy", "MeanAbsoluteError", "MeanSquaredError", "Precision", "Recall", "create", "names"]

# Checking the arguments reads values back from the device at each update; the tasks have checked the targets.
_UNCHECKED: dict[str, Any] = {"validate_args": False}


def names(task: str) -> tuple[str, ...]:
    """The names of the metrics that `task` takes from here; none for a task with metrics of its own.

    Example:
        >>> names("regression")
        ('mae', 'mse', 'rmse', 'r2', 'mape')
    """
    return tuple(_BUILDERS[task](2, (), 0.5)) if task in _BUILDERS else ()


def create(task: str, name: str, outputs: int, *, center: tuple[float, ...] = (), threshold: float = 0.5) -> Metric:
    """A fresh torchmetrics metric.

    Accuracy counts all items alike; F1, precision, recall and AUROC are averaged over the classes (macro).

    Args:
        task: `"classification"`, updated with logits `(b, classes)` and labels `(b,)`; `"multilabel"`, updated with
            probabilities and 0/1 targets, both `(b, labels)`; `"regression"`, updated with numbers `(b,)` or `(b, k)`.
        name: one of `names(task)`.
        outputs: number of classes, labels or targets.
        center: about the mean of each target; `"r2"` needs it to stay exact where targets are far from zero.
        threshold: probability above which a label of `"multilabel"` counts as given.

    Raises:
        UnknownNameError: no task has a metric of that name.
        ArgumentError: the metric is one of another task, or needs more classes.

    Example:
        >>> metric = create("classification", "accuracy", 3)
        >>> metric.update(torch.eye(3), torch.tensor([0, 1, 1]))
        >>> round(metric.compute().item(), 3)
        0.667
    """
    builders = _BUILDERS[task](outputs, center, threshold)
    if name in builders:
        return builders[name]()
    if any(name in names(other) for other in _BUILDERS):
        fitting = ", ".join(builders)
        raise ArgumentError(f"The metric must fit the task. {name!r} is not a metric of {task}. Take one of: {fitting}.")
    raise UnknownNameError("metric", name, builders, hint=f"Metrics of {task}: {', '.join(builders)}.")


def _classification(classes: int, center: tuple[float, ...], threshold: float) -> _Builders:
    from torchmetrics import classification as tm

    class Ranked(tm.MulticlassAUROC):
        """AUROC of logits; torchmetrics takes a batch of logits that happen to lie in 0 to 1 for probabilities."""

        def update(self, preds: Tensor, target: Tensor) -> None:
            super().update(preds.softmax(-1), target)

    def top5() -> Metric:
        if classes <= 5:
            raise ArgumentError(f"top5_accuracy needs more than 5 classes. The data have {classes}. Take accuracy.")
        return tm.MulticlassAccuracy(classes, top_k=5, average="micro", **_UNCHECKED)

    return {
        "accuracy": lambda: tm.MulticlassAccuracy(classes, average="micro", **_UNCHECKED),
        "top5_accuracy": top5,
        "f1": lambda: tm.MulticlassF1Score(classes, average="macro", **_UNCHECKED),
        "precision": lambda: tm.MulticlassPrecision(classes, average="macro", **_UNCHECKED),
        "recall": lambda: tm.MulticlassRecall(classes, average="macro", **_UNCHECKED),
        "auroc": lambda: Ranked(classes, average="macro", **_UNCHECKED),
        "mcc": lambda: tm.MulticlassMatthewsCorrCoef(classes, **_UNCHECKED),
        "kappa": lambda: tm.MulticlassCohenKappa(classes, **_UNCHECKED),
    }


def _multilabel(labels: int, center: tuple[float, ...], threshold: float) -> _Builders:
    from torchmetrics import classification as tm

    return {
        "accuracy": lambda: tm.MultilabelAccuracy(labels, average="micro", threshold=threshold, **_UNCHECKED),
        "f1": lambda: tm.MultilabelF1Score(labels, average="macro", threshold=threshold, **_UNCHECKED),
        "precision": lambda: tm.MultilabelPrecision(labels, average="macro", threshold=threshold, **_UNCHECKED),
        "recall": lambda: tm.MultilabelRecall(labels, average="macro", threshold=threshold, **_UNCHECKED),
        "auroc": lambda: tm.MultilabelAUROC(labels, average="macro", **_UNCHECKED),
        "exact_match": lambda: tm.MultilabelExactMatch(labels, threshold=threshold, **_UNCHECKED),
    }


def _regression(targets: int, center: tuple[float, ...], threshold: float) -> _Builders:
    import torchmetrics as tm

    class Centred(tm.R2Score):
        """R2 about `center`: the sum of squares of targets near 2000 with a spread of 5 has no digits left in float32."""

        def update(self, preds: Tensor, target: Tensor) -> None:
            middle = preds.new_tensor(center[0] if len(center) == 1 else center) if center else 0.0
            super().update(preds - middle, target - middle)

        def compute(self) -> Tensor:
            # One item has no variance: torchmetrics would raise at the end of the epoch.
            return super().compute() if int(self.total) > 1 else torch.tensor(float("nan"))

    return {
        "mae": tm.MeanAbsoluteError,
        "mse": tm.MeanSquaredError,
        "rmse": lambda: tm.MeanSquaredError(squared=False),
        "r2": Centred,
        "mape": tm.MeanAbsolutePercentageError,
    }


_BUILDERS = {"classification": _classification, "multilabel": _multilabel, "regression": _regression}


class _Running(ABC):
    """What the metrics for an own loop share: a torchmetrics metric that is built at the first update."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._metric: Metric | None = None

    def reset(self) -> None:
        """Forget every update."""
        if self._metric is not None:
            self._metric.reset()

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count a batch; see the class for the shapes. Nothing is read back from the device.

        Raises:
            ArgumentError: the shapes do not go together.
        """
        with torch.no_grad():
            output, target, build = self._match(output.detach(), target.detach())
            if self._metric is None:
                self._metric = build().to(output.device)
            self._metric.update(output, target)

    def get(self) -> float:
        """The value over all updates since the last `reset`.

        Raises:
            ArgumentError: there was no update.
        """
        if self._metric is None or not self._metric.update_called:
            raise ArgumentError(f"{type(self).__name__}.get() needs at least one update(output, target) before it.")
        return float(self._metric.compute())

    @abstractmethod
    def _match(self, output: Tensor, target: Tensor) -> _Matched: ...


class _OfClasses(_Running):
    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes

    def _match(self, output: Tensor, target: Tensor) -> _Matched:
        if _independent(output, target):
            k = output.shape[1] if output.ndim == 2 else 1
            return output.sigmoid().reshape(-1, k), target.long().reshape(-1, k), lambda: create("multilabel", self.name, k)
        labels = output.shape == target.shape and output.ndim == 1 and not output.is_floating_point()
        if target.is_floating_point() or not (labels or (output.ndim == 2 and target.shape == output.shape[:1])):
            raise ArgumentError(
                f"{type(self).__name__} needs logits (b, classes) or labels (b,) with integer targets (b,). "
                f"Got {tuple(output.shape)} {output.dtype} with {tuple(target.shape)} {target.dtype}."
            )
        return output, target, lambda: create("classification", self.name, self._count(output))

    def _count(self, output: Tensor) -> int:
        if self.classes is None and output.ndim == 2:
            return output.shape[1]
        if self.classes is None and self.name != "accuracy":
            name = type(self).__name__
            raise ArgumentError(f"{name} of labels needs the number of classes. Give {name}(classes=...).")
        # The share of right labels is the same for any number of classes.
        return self.classes or 2


def _independent(output: Tensor, target: Tensor) -> bool:
    """Whether these are logits and 0/1 targets of independent labels, not of classes."""
    # Integers (b,) may be class numbers, and looking at them would wait for the device.
    sure = output.ndim == 2 or (output.ndim == 1 and (target.is_floating_point() or target.dtype == torch.bool))
    return sure and output.is_floating_point() and output.shape == target.shape


class _OfNumbers(_Running):
    def _match(self, output: Tensor, target: Tensor) -> _Matched:
        if output.numel() != target.numel() or len(output) != len(target):
            raise ArgumentError(
                f"{type(self).__name__} needs outputs and targets of one shape, (b,) or (b, k). "
                f"Got {tuple(output.shape)} with {tuple(target.shape)}."
            )
        k = target.numel() // max(1, len(target))
        shape = (-1, k) if k > 1 else (-1,)
        output, target = output.reshape(shape), target.reshape(shape).to(output.dtype)
        middle = target.reshape(-1, k).mean(0)
        return output, target, lambda: create("regression", self.name, k, center=tuple(middle.tolist()))


class Accuracy(_OfClasses):
    """Share of right answers, 0 to 1.

    `update(output, target)`: `output` logits `(b, classes)` or labels `(b,)`, `target` labels `(b,)`. With a float
    `output` and a `target` of the same shape, `(b, k)` or (float or bool) `(b,)`, they are logits and 0/1 targets of
    independent labels.

    Args:
        classes: number of classes; None takes it from the first batch.

    Example:
        >>> accuracy = Accuracy()
        >>> accuracy.update(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        >>> accuracy.get()
        0.5
    """

    name = "accuracy"


class F1(_OfClasses):
    """F1 score, 0 to 1, the mean over the classes; takes what `Accuracy` takes."""

    name = "f1"


class Precision(_OfClasses):
    """Share of the items given a class that have it, 0 to 1, the mean over the classes; takes what `Accuracy` takes."""

    name = "precision"


class Recall(_OfClasses):
    """Share of the items of a class that were given it, 0 to 1, the mean over the classes; takes what `Accuracy` takes."""

    name = "recall"


class AUROC(_OfClasses):
    """Area under the ROC curve, 0 to 1, each class against the rest, the mean over the classes; `output` must be logits.

    It keeps every output until `reset`.
    """

    name = "auroc"

    def _match(self, output: Tensor, target: Tensor) -> _Matched:
        if not output.is_floating_point():
            raise ArgumentError(f"AUROC needs logits (b, classes). Got labels {tuple(output.shape)} {output.dtype}.")
        return super()._match(output, target)


class MeanAbsoluteError(_OfNumbers):
    """Mean absolute error in the target's units; `update` takes numbers `(b,)` or `(b, k)`, both alike."""

    name = "mae"


class MeanSquaredError(_OfNumbers):
    """Mean squared error in the square of the target's units; `update` takes numbers `(b,)` or `(b, k)`, both alike."""

    name = "mse"


class R2(_OfNumbers):
    """Share of the targets' variance that is explained, at most 1; `update` takes numbers `(b,)` or `(b, k)`, both alike."""

    name = "r2"
