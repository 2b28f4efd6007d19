"""Verification: a written file at work in a process of its own, against what the network that it was made from gives."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fastgpu.errors import ExportError
from fastgpu.export.base import Format
from fastgpu.export.worker import Worker

__all__ = ["Agreement", "compare", "outputs_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two sets of outputs are apart.

    Args:
        difference: output with numbers -> largest difference, as a share of the largest value.
        distance: output with numbers -> distance of an item's values (Euclid's), as a share of their length, or of the median one where that is
            larger; the mean over the items.
        disagree: output with classes or yes and no -> share of its entries that differ, 0 to 1.
        entries: how many numbers and classes were compared.
    """

    difference: dict[str, float]
    distance: dict[str, float]
    disagree: dict[str, float]
    entries: int

    @property
    def largest(self) -> float:
        """The largest difference of all outputs; where none has numbers, the largest share that differs."""
        return max((self.difference or self.disagree).values(), default=0.0)


def outputs_of(format: Format, path: Path, batches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What a file gives for each batch, in its own runtime, in a new process.

    Raises:
        ExportError: the file cannot be loaded there, or not be run.
    """
    with tempfile.TemporaryDirectory() as folder, Worker(format.load, path) as worker:
        return worker.run(batches, Path(folder))


def compare(found: Sequence[Mapping[str, np.ndarray]], expected: Sequence[Mapping[str, np.ndarray]]) -> Agreement:
    """Compare outputs, batch by batch; a value that is not a number agrees with another such.

    Raises:
        ExportError: the outputs have other names or shapes.

    Example:
        >>> a = {"labels": np.array([0, 1]), "values": np.array([1.0, 2.0])}
        >>> compare([a], [{**a, "values": np.array([1.0, 2.5])}]).difference
        {'values': 0.2}
    """
    scales = {name: max((_largest(batch[name]) for batch in expected), default=0.0) or 1.0 for name in expected[0]}
    difference: dict[str, float] = {}
    lengths: dict[str, list[np.ndarray]] = {}
    wrong: dict[str, list[np.ndarray]] = {}
    entries = 0
    for mine, theirs in zip(found, expected, strict=True):
        for name, right in theirs.items():
            if name not in mine or mine[name].shape != right.shape:
                came = f"shape {mine[name].shape}" if name in mine else f"only {', '.join(mine)}"
                raise ExportError(f"The file must give {name} of shape {right.shape}. It gave {came}. Export again, or take another format.")
            entries += right.size
            if right.dtype.kind != "f":
                wrong.setdefault(name, []).append(mine[name] != right)
                continue
            a, b = mine[name].astype(np.float64), right.astype(np.float64)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            apart = np.where(same, 0.0, np.abs(np.subtract(a, b, where=~same, out=np.zeros_like(a)))) / scales[name]
            worst = float(np.max(apart, initial=0.0))
            difference[name] = max(difference.get(name, 0.0), worst if np.isfinite(worst) else float("inf"))
            lengths.setdefault(name, []).append(np.stack([_lengths(apart * scales[name]), _lengths(np.where(np.isfinite(b), b, 0))]))
    flat = {name: np.concatenate([each.ravel() for each in parts]) for name, parts in wrong.items()}
    shares = {name: float(each.mean()) if each.size else 0.0 for name, each in flat.items()}
    distance = {name: _mean_share(*np.concatenate(parts, 1)) for name, parts in lengths.items()}
    return Agreement(difference=difference, distance=distance, disagree=shares, entries=entries)


def _lengths(values: np.ndarray) -> np.ndarray:
    """Length of each item's values; none where there are no values."""
    return np.linalg.norm(values.reshape(len(np.atleast_1d(values)), -1), axis=1) if values.size else np.zeros(0)


def _mean_share(apart: np.ndarray, length: np.ndarray) -> float:
    """Mean of the distances as shares of the lengths; small items count as those in the middle."""
    usual = float(np.median(length)) if len(length) else 0.0
    shares = apart / np.maximum(np.maximum(length, usual), np.finfo(np.float32).tiny)
    return float(np.mean(shares)) if len(shares) else 0.0


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)]) if values.dtype.kind == "f" else np.zeros(0)
    return float(np.max(finite, initial=0.0))
