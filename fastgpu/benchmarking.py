"""Benchmark: what the formats of a network cost and what they are worth, side by side."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fastgpu.compress.quantize import quantized_layers
from fastgpu.errors import ArgumentError, ExportError, UnknownNameError
from fastgpu.export.base import FORMATS, Format
from fastgpu.export.eager import EAGER
from fastgpu.export.worker import Worker
from fastgpu.exportable import agreement_of, by_learner, make_source, metrics_of, samples_of
from fastgpu.exporting import precision_of, refuse_own
from fastgpu.optional import require
from fastgpu.quantizing import int8_sources

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.learner import Learner

__all__ = ["Benchmark", "benchmark"]

BATCHES = (1, 32)
"""Items of the batches that are timed."""

SAMPLES = 512
"""Items of the val split, at most, of which the metric is taken."""

ROUNDS, SECONDS = 5, 0.05
"""How often each format is timed in turn, and for how long at the least."""

THREADS = 1


class Benchmark:
    """What was measured, a row a format.

    A row has `format`, the task's `metric` and its value, `difference` (the largest from the learner's own outputs, as a share
    of the largest), `ms_1` and `ms_32` (median CPU milliseconds of a batch of 1 and of 32), `spread_1` and `spread_32` (from the
    fastest round to the slowest), `per_second` (items, in batches of 32), `size_mb` of the file, `memory_mb` (the most that a
    process held which loaded and ran it), `threads`.

    Args:
        rows: one a format, plain numbers and words.
        left_out: format that could not be measured -> why not.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], left_out: Mapping[str, str] | None = None) -> None:
        self.rows, self.left_out = list(rows), dict(left_out or {})

    def __repr__(self) -> str:
        head = ["format", "numbers", str(self.rows[0]["metric"]), "differs", "ms at 1", "ms at 32", "items/s", "MB", "memory MB"]
        cells = [head, *map(_cells, self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        lines = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]) for row in cells]
        lines.append(f"CPU time of {self.rows[0]['threads']} thread, median of {ROUNDS} alternating rounds (slowest - fastest)")
        return "\n".join([*lines, *(f"{name} is left out: {why}" for name, why in self.left_out.items())])

    def __getitem__(self, format: str) -> dict[str, Any]:
        for row in self.rows:
            if row["format"] == format:
                return row
        raise UnknownNameError("format in this benchmark", format, [row["format"] for row in self.rows])

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows, plain data for JSON."""
        return [dict(row) for row in self.rows]

    def to_frame(self) -> DataFrame:
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def benchmark(learner: Learner, formats: str | Sequence[str]) -> Benchmark:
    """Measure formats of a learner's network; see `Learner.benchmark`."""
    if not isinstance(formats, (str, list, tuple)) or not formats:
        raise ArgumentError(f"A benchmark needs at least one format. {formats!r} came. Give for example formats=('torch', 'onnx').")
    names = [formats] if isinstance(formats, str) else formats
    kinds = {name: _format(name) for name in names}
    batches = samples_of(learner, SAMPLES)
    for kind in kinds.values():
        refuse_own(learner, kind)
    source = make_source(learner, batches, 0.0)
    target, whole = next((layer.target for layer in quantized_layers(learner.module).values()), None), None
    given = [{name: batch["x"][name].numpy() for name in source.graph.inputs} for batch in batches]
    expected = by_learner(learner, source.graph, batches)
    rows: dict[str, dict[str, Any]] = {}
    left_out: dict[str, ExportError] = {}
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        timed = _timed_batches(given, folder)
        workers = {}
        for name, kind in kinds.items():
            file = folder / f"model{kind.suffix}"
            written = source.stating(precision=precision_of(learner, kind))
            try:
                if target in kind.targets:
                    # as export writes it, where it proves it
                    whole = whole or next(int8_sources(learner, batches, written, forced=False), written)
                    written = whole
                kind.write(written, file)
                worker = stack.enter_context(Worker(kind.load, file, threads=THREADS))
                found = worker.run(given, folder)
            except ExportError as error:
                left_out[name] = error
                continue
            workers[name] = worker
            sizes = [file.with_name(file.stem + suffix) for suffix in kind.companions]
            rows[name] = {
                "format": name,
                "precision": written.manifest["precision"],
                **_metric(learner, metrics_of(learner, batches, [{k: torch.from_numpy(v) for k, v in each.items()} for each in found])),
                "difference": agreement_of(learner, found, expected).largest,
                "size_mb": sum(path.stat().st_size for path in (file, *sizes)) / 2**20,
            }
        if not rows:
            raise next(iter(left_out.values()))
        _time(workers, timed, kinds, rows)
    return Benchmark(list(rows.values()), {name: str(error) for name, error in left_out.items()})


def _time(workers: Mapping[str, Worker], timed: Mapping[int, Path], kinds: Mapping[str, Format], rows: dict[str, dict[str, Any]]) -> None:
    """Let the processes take turns, and note their times and memory."""
    for size, file in timed.items():
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                times[name].append(worker.time(file, SECONDS, kinds[name].clock))
        for name, each in times.items():
            rows[name] |= {f"ms_{size}": statistics.median(each), f"spread_{size}": max(each) - min(each)}
    for name, worker in workers.items():
        rows[name] |= {"per_second": 32000 / rows[name]["ms_32"], "memory_mb": worker.memory(), "threads": THREADS}


def _format(name: str) -> Format:
    if name == "torch":
        return EAGER
    if name not in FORMATS:
        raise UnknownNameError(FORMATS.kind, name, [*FORMATS, "torch"])
    for package in FORMATS[name].needs:
        require(package, need=f"Export to {name}")
    FORMATS[name].ready()
    return FORMATS[name]


def _timed_batches(given: Sequence[dict[str, np.ndarray]], folder: Path) -> dict[int, Path]:
    """Batches of each size, repeated where there are fewer items, as files."""
    whole = max(given, key=lambda batch: len(next(iter(batch.values()))))
    files = {}
    for size in BATCHES:
        files[size] = folder / f"timed-{size}.npz"
        np.savez(files[size], **{name: np.resize(value, (size, *value.shape[1:])) for name, value in whole.items()})  # type: ignore[arg-type]
    return files


def _metric(learner: Learner, values: dict[str, float]) -> dict[str, Any]:
    name = learner.data.task.monitor if learner.data.task.monitor in values else next(iter(values), "metric")
    return {"metric": name, "value": values.get(name)}


def _cells(row: dict[str, Any]) -> list[str]:
    number = lambda value, form: "-" if value is None else format(value, form)  # noqa: E731
    return [
        row["format"],
        row["precision"],
        number(row["value"], ".4f"),
        number(row["difference"], ".1g"),
        *(f"{row[f'ms_{size}']:.3g} ({row[f'spread_{size}']:.1g})" for size in BATCHES),
        number(row["per_second"], ",.0f"),
        number(row["size_mb"], ".3g"),
        number(row["memory_mb"], ",.0f"),
    ]
