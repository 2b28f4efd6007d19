"""Curves over thresholds, and calibration: torchmetrics counts, DataFrames hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from fastgpu.errors import ArgumentError

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["Curves", "curves_of", "plot_calibration", "plot_curves", "reliability"]

MOST_LINES = 10
"""Classes that one panel shows; of more those with the lowest average precision."""


class Curves(NamedTuple):
    """Precision-recall and ROC curves, each class against the rest.

    Args:
        pr: columns `class`, `threshold`, `precision`, `recall`; the last point of a class has no threshold.
        roc: columns `class`, `threshold`, `false_positive_rate`, `true_positive_rate`.
        areas: one row a class: `average_precision` and `auroc`.
    """

    pr: DataFrame
    roc: DataFrame
    areas: DataFrame


def curves_of(probabilities: np.ndarray, given: np.ndarray, names: Sequence[str | int], thresholds: int | None) -> Curves:
    """Curves of each class that has both items and others.

    Args:
        probabilities: `(n, classes)`.
        given: `(n, classes)` 0 and 1: whether an item has the class.
        names: of the classes.
        thresholds: how many; None: each probability that occurs.
    """
    import pandas as pd
    from torchmetrics.functional import classification as tm

    if thresholds is not None and (not isinstance(thresholds, int) or thresholds < 2):
        raise ArgumentError(f"thresholds is None or a whole number, at least 2. {thresholds!r} came.")
    kept = np.flatnonzero((given.sum(0) > 0) & (given.sum(0) < len(given))).tolist()
    columns = {"pr": ("precision", "recall"), "roc": ("false_positive_rate", "true_positive_rate")}
    if not kept:
        empty = {kind: pd.DataFrame(columns=["class", "threshold", *both]) for kind, both in columns.items()}
        return Curves(**empty, areas=pd.DataFrame(columns=["average_precision", "auroc"]))
    p, t = torch.from_numpy(probabilities[:, kept]), torch.from_numpy(given[:, kept].astype(np.int64))
    options: dict[str, Any] = {"num_labels": len(kept), "validate_args": False}
    found = {
        "pr": tm.multilabel_precision_recall_curve(p, t, thresholds=thresholds, **options),
        "roc": tm.multilabel_roc(p, t, thresholds=thresholds, **options),
    }
    classes = [names[i] for i in kept]
    frames = {kind: _frame(classes, *found[kind], columns[kind]) for kind in columns}
    areas = {
        "average_precision": tm.multilabel_average_precision(p, t, average=None, **options).numpy(),  # type: ignore[arg-type]
        "auroc": tm.multilabel_auroc(p, t, average=None, **options).numpy(),  # type: ignore[arg-type]
    }
    return Curves(**frames, areas=pd.DataFrame(areas, index=pd.Index(classes, name="class")))


def _frame(classes: Sequence[Any], first: Any, second: Any, thresholds: Any, names: tuple[str, str]) -> DataFrame:
    import pandas as pd

    parts = []
    for i, name in enumerate(classes):
        at = (thresholds if isinstance(thresholds, torch.Tensor) else thresholds[i]).numpy()
        part = {"class": name, "threshold": np.append(at, [np.nan] * (len(first[i]) - len(at)))}
        parts.append(pd.DataFrame(part | {names[0]: first[i].numpy(), names[1]: second[i].numpy()}))
    return pd.concat(parts, ignore_index=True)


def plot_curves(curves: Curves) -> Figure:
    """Precision over recall on the left, true over false positives on the right, a line a class."""
    from fastgpu.figures import Figure, literal

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    hardest = curves.areas["average_precision"].nsmallest(MOST_LINES).index
    for name in curves.areas.index[curves.areas.index.isin(hardest)]:
        area = curves.areas.loc[name]
        pr, roc = (frame[frame["class"] == name] for frame in (curves.pr, curves.roc))
        axes[0].plot(pr["recall"], pr["precision"], label=f"{literal(name)}  {area['average_precision']:.3f}", linewidth=1.2)
        axes[1].plot(roc["false_positive_rate"], roc["true_positive_rate"], label=f"{literal(name)}  {area['auroc']:.3f}", linewidth=1.2)
    axes[0].set(title="precision-recall", xlabel="recall", ylabel="precision")
    axes[1].set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    for each in axes:
        each.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        each.grid(alpha=0.3)
        if len(hardest):
            each.legend(fontsize=7, title="class, area", title_fontsize=7)
    return figure


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> DataFrame:
    """How often predictions of like confidence are right.

    Args:
        confidence: `(n,)` probabilities.
        correct: `(n,)` whether each was right.
        bins: parts of equal width that 0 to 1 is cut into.

    Returns:
        A row for each bin that has items: `confidence` (the mean), `accuracy`, `count`; the index is the bin's lower edge.
    """
    import pandas as pd

    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise ArgumentError(f"bins is a whole number, at least 1. {bins!r} came.")
    edges = np.linspace(0, 1, bins + 1)
    low = edges[(np.digitize(confidence, edges) - 1).clip(0, bins - 1)]  # 1.0 itself belongs to the last bin
    frame = pd.DataFrame({"confidence": confidence.astype(float), "accuracy": correct.astype(float), "from": low})
    found = frame.groupby("from")
    return pd.DataFrame(found.mean()).assign(count=found.size())


def plot_calibration(table: DataFrame, error: float) -> Figure:
    """Accuracy over confidence; on the diagonal a probability means what it says."""
    from fastgpu.figures import Figure

    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    axes.plot(table["confidence"], table["accuracy"], marker="o", markersize=4)
    axes.set(title=f"calibration error {error:.3f}", xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return figure
