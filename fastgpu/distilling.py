"""Distilling into a learner's network: the fit with a teacher, and what was measured around it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from fastgpu.callbacks.distillation import Distillation
from fastgpu.compress.report import CompressionReport
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.judging import evaluate
from fastgpu.shrinking import add_latencies, example_of, measured
from fastgpu.train.preflight import check_teacher

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_distill"]


def run_distill(
    learner: Learner, teacher: nn.Module, epochs: int, lr: float | None, temperature: float, alpha: float, callbacks: Sequence[Any]
) -> CompressionReport:
    """Train with a teacher, and measure before and after; see `Learner.distill`."""
    if "train" in learner.data.splits:
        check_teacher(learner.task_module(), teacher, learner.data.split("train").head(2))
    distillation = Distillation(teacher, temperature=temperature, alpha=alpha)
    plan = plan_fit(learner, epochs, lr, "constant")
    learner.refuse_missing()
    report = CompressionReport(f"{learner.architecture} on {learner.data.name}, timed in torch")
    example, before = example_of(learner), copy.deepcopy(learner.module)
    report.add("as it came", **measured(learner, example))
    run_fit(learner, plan, callbacks=[*callbacks, distillation])
    report.add("distilled", **measured(learner, example))
    add_latencies(report, [before, learner.module], example)
    if learner.history.interrupted:
        report.note("The fit was interrupted: the numbers are those of the epochs before.")
    report.note(_of_teacher(learner, teacher))
    learner.say(str(report))
    return report


def _of_teacher(learner: Learner, teacher: nn.Module) -> str:
    """What the teacher itself reaches on the items that the learner is judged by."""
    key = learner.task_module().monitor[0].removeprefix("val_")
    asked = copy.copy(learner)
    asked.module, asked.settings = copy.deepcopy(teacher), dataclasses.replace(learner.settings, verbose=False)
    try:
        return f"the teacher's own {key} on the same items: {evaluate(asked)[key]:.4f}"
    except Exception as error:  # its own: it was good enough to learn from
        return f"the teacher's own {key} is not known: {type(error).__name__}: {' '.join(str(error).split())}"
