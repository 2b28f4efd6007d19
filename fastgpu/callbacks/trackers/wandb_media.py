"""What Weights & Biases shows beside numbers: charts, tables of items, pictures, reports."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["charts", "pictures", "report_table", "tables"]

MOST_CLASSES = 50
"""Classes of a confusion matrix; one of more is a picture of the run folder."""

MOST_CURVES = 10
"""Classes whose curves are drawn: those with the lowest average precision."""

POINTS = 101
"""Thresholds of a curve."""

SMALL = 64
"""Pixels below which a picture is enlarged."""

CURVE = "wandb/area-under-curve/v0"


def charts(seen: Any) -> dict[str, Any]:
    """Confusion matrix, precision-recall and ROC curves, where the task has them.

    Args:
        seen: the `Interpretation`.
    """
    import wandb

    found: dict[str, Any] = {}
    names = [str(name) for name in seen.class_names]
    if seen.task == "classification" and 1 < len(names) <= MOST_CLASSES:
        found["evaluation/confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=seen.targets.tolist(), preds=seen.labels.tolist(), class_names=names, title="Confusion matrix"
        )
    if names:
        curves = seen.curves(thresholds=POINTS)
        worst = set(curves.areas["average_precision"].sort_values().index[:MOST_CURVES])
        for name, frame, x, y in (("pr", curves.pr, "recall", "precision"), ("roc", curves.roc, "false_positive_rate", "true_positive_rate")):
            rows = frame[frame["class"].isin(worst)].dropna(subset=[x, y])  # where nothing is found there is no precision
            cells: list[Any] = [[str(each), *point] for each, *point in zip(rows["class"], rows[x].tolist(), rows[y].tolist())]
            table = wandb.Table(columns=["class", x, y], data=cells)
            found[f"evaluation/{name}_curve"] = wandb.plot_table(
                CURVE, table, {"x": x, "y": y, "class": "class"}, {"title": name.upper(), "x-axis-title": x, "y-axis-title": y}
            )
    return found


def tables(seen: Any, rows: int) -> dict[str, Any]:
    """Items with truth and prediction, and those with the largest loss, each with the item itself.

    Args:
        seen: the `Interpretation`.
        rows: items of a table.
    """
    found = {"evaluation/predictions": _table(seen, list(range(min(rows, len(seen)))))}
    if seen.losses is not None:
        found["evaluation/worst"] = _table(seen, np.argsort(-seen.losses, kind="stable")[:rows].tolist())
    return found


def pictures(folder: Path) -> dict[str, Any]:
    """The pictures of a run folder."""
    import wandb

    return {f"pictures/{file.stem}": wandb.Image(str(file)) for file in sorted(folder.glob("*.png"))}


def report_table(report: Any) -> Any:
    """A compression report's steps as a table."""
    import wandb

    return wandb.Table(dataframe=report.to_frame())


def _table(seen: Any, index: list[int]) -> Any:
    import wandb

    items = [_cells(seen, i) for i in index]
    columns: list[Any] = ["item", *(items[0] if items else ()), "truth", "predicted", *(["loss"] if seen.losses is not None else [])]
    data: list[Any] = []
    for i, cells in zip(index, items):
        loss = [] if seen.losses is None else [float(seen.losses[i])]
        data.append([int(seen.numbers[i]), *cells.values(), _text(seen.truth(i)), _text(seen.predicted(i)), *loss])
    return wandb.Table(columns=columns, data=data)


def _cells(seen: Any, i: int) -> dict[str, Any]:
    """An item as cells of a table: a picture, a sound, a text; of a row one cell a column; else as it is drawn."""
    import wandb

    plain = seen.items.plain(i)
    if isinstance(plain, str):
        return {seen.items.kind: plain}
    if isinstance(plain, dict):
        return {f"{seen.items.kind}.{name}": value for name, value in plain.items()}
    if isinstance(plain, tuple):
        wave, rate = plain
        return {seen.items.kind: wandb.Audio(np.asarray(wave, np.float32), sample_rate=rate)}
    if isinstance(plain, np.ndarray) and plain.shape[-1] in (1, 3, 4):
        return {seen.items.kind: wandb.Image(_picture(plain))}
    return {seen.items.kind: wandb.Image(_drawn(seen, i))}


def _picture(pixels: np.ndarray) -> Any:
    """A picture large enough to be seen: small ones are enlarged by a whole number."""
    from PIL import Image

    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    factor = SMALL // min(picture.size)
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST) if factor > 1 else picture


def _drawn(seen: Any, i: int) -> Any:
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(2, 2), dpi=80)
    seen.draw(figure.add_subplot(), i)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return Image.open(stream)


def _text(value: Any) -> Any:
    """A truth as a cell: numbers stay numbers, the rest is text."""
    return float(value) if isinstance(value, (float, np.floating)) else str(value)
