"""Pruning a learner's network: the fit in which channels go, what was measured around it, and whether that is kept."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.pruning import Pruning
from fastgpu.compress.budget import check_max_drop, drop
from fastgpu.compress.prune import Pruned
from fastgpu.compress.report import CompressionReport
from fastgpu.errors import ArgumentError
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.shrinking import add_latencies, example_of, measured, weights_file
from fastgpu.trials import become, trial_folder, trial_of

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_prune"]

WORTH_A_WORD = 0.5
"""Points of the metric; where more are lost, the report says so."""


def run_prune(
    learner: Learner, amount: float, epochs: int, lr: float | None, callbacks: Sequence[Any], options: dict[str, Any], max_drop: float | None
) -> CompressionReport:
    """Prune in a fit, and measure before and after; see `Learner.prune`."""
    if any(isinstance(as_callback(each), Pruning) for each in (*learner.callbacks, *callbacks)):
        raise ArgumentError("prune brings its own Pruning callback. There is one among the callbacks already. Call fit, which prunes with that.")
    if max_drop is not None:
        check_max_drop(max_drop)
    pruning, plan = Pruning(amount, **options), plan_fit(learner, epochs, lr, "constant")
    learner.refuse_missing()
    report = CompressionReport(f"{learner.architecture} on {learner.data.name}, timed in torch")
    example, before = example_of(learner), copy.deepcopy(learner.module)
    report.add("as it came", **measured(learner, example))
    with trial_folder(learner) as folder:
        pruned = learner if max_drop is None else trial_of(learner, folder)  # what may be refused leaves the learner alone
        run_fit(pruned, plan, callbacks=[*callbacks, pruning], resumable=False)
        report.add("pruned", **measured(pruned, example))
        add_latencies(report, [before, pruned.module], example)
        if pruning.pruned is None:
            report.note("The fit was interrupted before its end: nothing is cut yet.")
        else:
            _explain(report, pruning.pruned, pruned.module)
        if max_drop is None:
            _advise(report, learner)
        elif pruning.pruned is not None and _holds(report, learner, max_drop):
            become(learner, pruned)
            report.note("kept: pruned")
        else:
            report.note("kept: the network as it came")
    learner.say(str(report))
    return report


def _lost(report: CompressionReport, learner: Learner) -> tuple[str, float]:
    """The task's own metric, and how many points of it are lost."""
    key, higher = learner.task_module().monitor
    key = key.removeprefix("val_")
    return key, drop(report.steps[0][key], report.steps[-1][key], higher)


def _advise(report: CompressionReport, learner: Learner) -> None:
    key, lost = _lost(report, learner)
    if not lost <= WORTH_A_WORD:
        cures = "learn.fit(...) or more epochs= may mend that, a smaller amount= loses less, max_drop= refuses it"
        report.note(f"{key} drops by {lost:.2f} points: {cures}")


def _holds(report: CompressionReport, learner: Learner, max_drop: float) -> bool:
    """Whether the budget is kept to; says so where not."""
    key, lost = _lost(report, learner)
    if not lost <= max_drop:
        cures = "more epochs= may mend that, a smaller amount= loses less"
        report.note(f"pruned: refused, {key} drops by {lost:.2f} points, more than {max_drop:g}; {cures}")
    return lost <= max_drop


def _explain(report: CompressionReport, pruned: Pruned, net: nn.Module) -> None:
    report.note(str(pruned))
    reasons: dict[str, list[str]] = {}
    for name, reason in pruned.left.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        report.note(f"left as it was: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {reason}")
    if pruned.method != "structured":
        file = weights_file(net)
        report.note(f"zeros gain nothing on a CPU, in latency or memory; zipped the file is {len(zlib.compress(file, 1)) / len(file):.0%} as large")
