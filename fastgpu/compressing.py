"""Compressing to a target: prune, distill, train with quantization, and keep the smallest network that is good enough."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.distillation import Distillation
from fastgpu.callbacks.pruning import Pruning
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.budget import check_max_drop, drop
from fastgpu.compress.measure import macs, parameters
from fastgpu.compress.quantize import quantized_layers, take_floats
from fastgpu.compress.report import CompressionReport
from fastgpu.errors import ArgumentError, ExportError, ModelError, NonFiniteLossError, UnknownNameError
from fastgpu.exportable import make_source, samples_of
from fastgpu.exporting import export
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.judging import evaluate
from fastgpu.optional import require
from fastgpu.quantizing import agreed, graph_facts, share_of_weights
from fastgpu.quantizing_places import CPU
from fastgpu.reporting import keep_compression
from fastgpu.shrinking import example_of
from fastgpu.trials import become, discard, trial_folder, trial_of

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_compress"]

TARGETS = {"size": 0.99, "latency": 0.97}
"""What a target bounds, both of the ONNX file: bytes, and CPU time of one item on one thread; and the largest share of what there was
that counts as a gain: times of one and the same file differ by some per cent."""

INTERRUPTED = "interrupted"

AMOUNTS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7)
"""Shares of the channels that are tried, mildest first."""


def run_compress(learner: Learner, target: Mapping[str, float], max_drop: float, epochs: int) -> CompressionReport:
    """Prune more and more until the target is met or the budget is spent; see `Learner.compress`."""
    key, share = _checked(target, max_drop)
    plan_fit(learner, epochs, None, "constant")
    if quantized_layers(learner.module):
        raise ArgumentError("compress begins with a network that computes with floats. This one is quantized. Load the learner from before.")
    own = [each for each in map(as_callback, learner.callbacks) if isinstance(each, (Pruning, QuantizationAwareTraining, Distillation))]
    if own:
        raise ArgumentError(f"compress brings its own {type(own[0]).__name__}. The learner has one among its callbacks. Make a learner without.")
    metric = learner.task_module().monitor[0].removeprefix("val_")
    aim = f"{key} at most {share:g}, at most {max_drop:g} points lost"
    report = CompressionReport(f"{learner.architecture} on {learner.data.name}, timed {CPU.clocked}: {aim}")
    floats, _ = _exported(learner)
    values, _ = _measured(learner, floats, floats)
    report.add("as it came", **{metric: evaluate(learner)[metric]}, **values)
    try:
        with trial_folder(learner) as folder:
            _search(_Search(learner, report, folder, floats, key, share, max_drop), epochs)
    finally:
        learner.say(str(report))
        keep_compression(learner, report)
    return report


def _search(search: _Search, epochs: int) -> None:
    """Try; whatever ends it, the report says so, and the best so far is kept."""
    ended = ""
    try:
        search.run(epochs)
    except KeyboardInterrupt:
        ended = INTERRUPTED
    except Exception as error:
        ended = f"ended by {type(error).__name__}: {' '.join(str(error).split())}"
        raise
    finally:
        if ended:
            search.report.note(f"{ended}: what was being tried is left out")
        search.adopt()
        if ended == INTERRUPTED or ended and search.best is not None:
            search.learner.unrepeatable = "compress was cut off"


class _Search:
    """Trials, mildest first, and the best of them so far."""

    def __init__(
        self, learner: Learner, report: CompressionReport, folder: Path, floats: Any, key: str, share: float, max_drop: float
    ) -> None:
        self.learner, self.report, self.folder, self.floats = learner, report, folder, floats
        self.key, self.share, self.max_drop = key, share, max_drop
        self.teacher = copy.deepcopy(learner.module)
        self.best: tuple[float, Learner, str] | None = None

    def run(self, epochs: int) -> None:
        for amount in AMOUNTS:
            trial = trial_of(self.learner, self.folder)
            trial.state_file = None  # it begins with the network that is judged, which need not be the last epoch's
            try:
                _train(trial, amount, epochs, self.teacher)
            except (ModelError, NonFiniteLossError) as error:
                if not amount:
                    raise
                self.report.note(f"no more is pruned: {error}")
                return
            if trial.history.interrupted:
                raise KeyboardInterrupt
            goes_on = self._goes_on(trial, amount)
            if self.best is None or self.best[1] is not trial:
                discard(trial)
            if not goes_on:
                return

    def _goes_on(self, trial: Learner, amount: float) -> bool:
        """Measure a trial, keep it where it is the best, and say whether a smaller one is worth a trial."""
        name = f"pruned {amount:.0%}, " if amount else ""
        metric, higher = trial.task_module().monitor
        metric = metric.removeprefix("val_")
        outcome = agreed(trial, self._file(trial))
        if isinstance(outcome, str):
            self.report.note(f"{name}int8: refused: {outcome}")
            return True
        precision, values, shares = outcome
        found = evaluate(trial)[metric]  # of what the file computes
        step = f"{name}{precision}"
        if precision != "int8":
            self.report.note(f"{step}: so export writes it, since computing with whole numbers is slower here or too far from the network")
        self.report.add(step, **{metric: found}, **values)
        self.report.note(f"{step}: {share_of_weights(trial.module)}")
        lost = drop(self.report.steps[0][metric], found, higher)
        if not lost <= self.max_drop:
            self.report.note(f"{step}: {metric} drops by {lost:.2f} points, more than {self.max_drop:g}; no more is pruned")
            return False
        plain = self.key == "latency" and not amount and precision != "int8"  # the graph as it came: what its time differs by is noise
        reached = 1.0 if plain else shares[self.key]
        if reached <= TARGETS[self.key] and (self.best is None or reached < self.best[0]):
            before, self.best = self.best, (reached, trial, step)
            if before is not None:  # after the new one is kept: an interrupt may come between
                discard(before[1])
        return reached > self.share

    def _file(self, trial: Learner) -> tuple[str, dict[str, Any], dict[str, float]] | str:
        """Precision of a trial's file, and what was measured of it; or why there is none.

        Where whole numbers do not pay, the network computes with floats from here on, as the file does.
        """
        try:
            model, precision = _exported(trial)
        except ExportError:
            model, precision = None, ""
        try:
            if agreed(trial, precision) != "int8":
                take_floats(trial.module)
                trial.remember_weights()
                model, precision = _exported(trial)
        except ExportError as error:
            return str(error)
        return precision, *_measured(trial, model, self.floats)

    def adopt(self) -> None:
        """Let the learner be the best trial, where there is one."""
        if self.best is None:
            why = "; nothing smaller or faster is within the budget" if len(self.report.steps) > 1 else ""
            self.report.note(f"kept: the network as it came{why}")
            return
        reached, trial, step = self.best
        become(self.learner, trial)
        met = "met" if reached <= self.share else f"not met; {reached:.2f} is the best within the budget"
        self.report.note(f"kept: {step}; {self.key} {reached:.2f} of what it was, target {self.share:g} {met}")


def _checked(target: Mapping[str, float], max_drop: float) -> tuple[str, float]:
    if not isinstance(target, Mapping) or len(target) != 1:
        raise ArgumentError(f"target is one of {{'size': share}} and {{'latency': share}}. {target!r} came. Give for example {{'size': 0.1}}.")
    [(key, share)] = target.items()
    if key not in TARGETS:
        raise UnknownNameError("target of compression", str(key), TARGETS)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ArgumentError(f"A target is a share of what there was, above 0 and below 1. {share!r} came. Give for example {{'size': 0.1}}.")
    check_max_drop(max_drop)
    return key, float(share)


def _train(trial: Learner, amount: float, epochs: int, teacher: nn.Module) -> None:
    """Prune a learner, then train it with quantization; it learns from the network as it came."""
    if amount:
        run_fit(trial, plan_fit(trial, epochs, None, "constant"), callbacks=[Pruning(amount), Distillation(teacher)], resumable=False)
    if not trial.history.interrupted:
        plan = plan_fit(trial, epochs, trial.lr / 10, "constant")
        run_fit(trial, plan, callbacks=[QuantizationAwareTraining(distill=False), Distillation(teacher)], resumable=False)


def _exported(learner: Learner) -> tuple[Any, str]:
    """The graph that `export` writes of a learner where nothing else is asked, and its precision: what is promised is what comes.

    Raises:
        ExportError: it writes none.
    """
    quiet = copy.copy(learner)
    quiet.settings = dataclasses.replace(learner.settings, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        made = export(quiet, Path(folder) / "model.onnx", None, "auto", True, None)
        return require("onnx", need="compress").load(made.path), made.certificate["precision"]  # type: ignore[index]


def _measured(learner: Learner, model: Any, first: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """What a graph is, for the report, and its size and latency as shares of the first's, timed in turns."""
    before, now = graph_facts([first, model], make_source(learner, samples_of(learner), 0.0).example)
    values = {"parameters": parameters(learner.module), "macs": macs(learner.module, example_of(learner)), **now}
    return values, {target: now[key] / before[key] for target, key in (("size", "size_kb"), ("latency", "latency_1_ms"))}
