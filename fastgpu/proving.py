"""The proof of an exported file: how far it may be from the learner, what was found, and the certificate that says so."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

import fastgpu
from fastgpu.data.loaders import Batch
from fastgpu.errors import ExportError
from fastgpu.export.base import FORMATS, Format, Source
from fastgpu.export.verify import Agreement, outputs_of
from fastgpu.exportable import agreement_of, by_learner, metrics_of

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["Limits", "certificate_of", "limits_of"]

INT8_TOLERANCE = 0.1
"""Mean distance between a file and the quantized network that it is made from, as a share of the outputs: values that lie between two
steps of a grid fall to either side, and files that compute with floats do not round them. So an item that the network can hardly decide
may come out otherwise, and the largest difference says little."""

HALF = 0.05
"""Tolerance where the learner's own weights are of half precision: those of the file are not."""

METRIC_TOLERANCE = 0.01
"""Largest difference of a metric, as a share of it, however large that of an output may be."""

INT8_METRIC_TOLERANCE = 0.02
"""The same of a quantized network: where one of 75 items falls to the other side, so many of 256 may be one way by chance."""


class Limits(NamedTuple):
    """How far a file may be from the learner.

    Args:
        output: largest difference of an output, as a share of the largest; of a network that rounds the mean distance, see `Agreement`.
        metric: loss of a metric, as a share of it.
        rounds: whether the network rounds.
    """

    output: float
    metric: float
    rounds: bool


def limits_of(kind: Format, tolerance: float | None, *, rounds: bool, half: bool) -> Limits:
    """What a format allows, or the user's own limit, which then holds for the metrics too."""
    if tolerance is not None:
        return Limits(float(tolerance), float(tolerance), rounds)
    output = max(kind.tolerance, INT8_TOLERANCE if rounds else HALF if half else 0.0)
    return Limits(output, min(output, INT8_METRIC_TOLERANCE if rounds else METRIC_TOLERANCE), rounds)


def certificate_of(
    learner: Learner, format: str, staged: Path, source: Source, batches: Sequence[Batch], limits: Limits
) -> dict[str, Any]:
    """Run the written file and the learner on the same items, and say how far apart they are.

    Raises:
        ExportError: further than the limits.
    """
    given = [{name: batch["x"][name].numpy() for name in source.graph.inputs} for batch in batches]
    found = outputs_of(FORMATS[format], staged, given)
    expected = by_learner(learner, source.graph, batches)
    agreement = agreement_of(learner, found, expected)
    before = metrics_of(learner, batches, expected)
    after = metrics_of(learner, batches, [{name: torch.from_numpy(value) for name, value in each.items()} for each in found])
    samples = sum(batch["n"] for batch in batches)
    directions: dict[str, Any] = {name: metric.higher_is_better for name, metric in learner.task_module().val_metrics.items()}
    lost = {name: _lost(value, after.get(name, float("nan")), directions.get(name)) for name, value in before.items()}
    _refuse(staged.name, agreement, lost, limits, samples)
    return {
        "file": staged.name,
        "format": format,
        "precision": source.manifest["precision"],
        "samples": samples,
        "entries": agreement.entries,
        "split": "val" if "val" in learner.data.splits else "train",
        "tolerance": limits.output,
        "measure": "mean distance" if limits.rounds else "largest difference",
        "largest_difference": agreement.largest,
        "mean_distance": max(agreement.distance.values(), default=0.0),
        "differences": agreement.difference,
        "distances": agreement.distance,
        "disagree": agreement.disagree,
        "metrics": {name: {"learner": before[name], "file": after[name]} for name in before},
        "versions": _versions(FORMATS[format].needs),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _lost(before: float, after: float, higher_is_better: bool | None) -> float:
    """How much worse a metric became, as a share of what it was where that is above 1; how much it changed, where its direction is not known."""
    worse = abs(after - before) if higher_is_better is None else before - after if higher_is_better else after - before
    return worse / max(1.0, abs(before))


def _refuse(name: str, agreement: Agreement, lost: Mapping[str, float], limits: Limits, samples: int) -> None:
    measured = agreement.distance if limits.rounds else agreement.difference
    output = max(measured, key=lambda k: measured[k], default="")
    advice = f"on {samples} items, and is not kept. Take another format, or a larger tolerance=."
    if output and not measured[output] <= limits.output:
        raise ExportError(
            f"An exported file must give what the learner gives. {name} differs by {measured[output]:.2g} in {output}{' on average' * limits.rounds} "
            f"(tolerance {limits.output:g}) {advice}"
        )
    slack = 1 / samples  # one item may fall to the other side of a threshold that it lies on
    for output, share in agreement.disagree.items():
        if share > limits.output + slack:
            raise ExportError(
                f"An exported file must give what the learner gives. {name} has other {output} in {share:.1%} of all (tolerance {limits.output:g}) "
                f"{advice} Where they hardly differ in score, either may come out: train longer."
            )
    for metric, share in lost.items():
        if not share <= limits.metric + slack:
            raise ExportError(
                f"An exported file must be as good as the learner. {name} loses {share:.2g} of {metric} (tolerance {limits.metric:g}) {advice}"
            )


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"fastgpu": fastgpu.__version__}
    for package in ("torch", *packages):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
