"""What a fit is asked for: checked before anything begins, and written down for `args.yaml`."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import WeightAveraging

from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.distillation import Distillation
from fastgpu.callbacks.early_stopping import EarlyStopping
from fastgpu.callbacks.log_rows import with_trackers
from fastgpu.callbacks.progress import Progress
from fastgpu.callbacks.pruning import Pruning
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.config import plain
from fastgpu.errors import ArgumentError
from fastgpu.train.module import FitPlan, TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.schedules import SCHEDULES, Schedule
from fastgpu.train.trainer import restarted

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["asked", "callbacks_of", "duration", "plan_fit"]


def plan_fit(
    learner: Learner, epochs: int, lr: float | None, schedule: str | Schedule, shares: tuple[float, ...] = (1.0,)
) -> FitPlan:
    """What a call of `fit` asks for, checked.

    Args:
        epochs: epochs to train, at least 1.
        lr: learning rate of the head; None: the learner's.
        schedule: name of the schedule, or the function itself.
        shares: learning rate of each layer group as a share of `lr`.

    Raises:
        ArgumentError: epochs or learning rate are out of range, or the schedule is neither name nor function.
        UnknownNameError: there is no such schedule.
    """
    if not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 1:
        raise ArgumentError(f"epochs is a whole number, at least 1. {epochs!r} came. Give for example epochs=5.")
    if lr is not None and not (isinstance(lr, Real) and 0 < lr < math.inf):
        raise ArgumentError(f"lr is a number above 0. {lr!r} came. Give for example lr=1e-3.")
    if isinstance(schedule, str):
        SCHEDULES[schedule]
    elif not callable(schedule):
        raise ArgumentError(f"A schedule is a name or a function of progress. {schedule!r} came. Known names: {', '.join(SCHEDULES)}.")
    done, rate = len(learner.history), learner.lr if lr is None else float(lr)
    return FitPlan(first=done, last=done + int(epochs), lr=rate, schedule=schedule, lr_shares=shares)


def asked(learner: Learner, plan: FitPlan, callbacks: Sequence[Any], patience: int | None, max_time: Any) -> dict[str, Any]:
    """What this fit was asked for, for `args.yaml`: where it was asked for more than the learner, that takes the learner's place."""
    asked = {"epochs": plan.last - plan.first, "schedule": plain(plan.schedule), "patience": plain(patience), "max_time": plain(max_time)}
    rate = {} if plan.lr == learner.lr else {"lr": plan.lr}
    return {**{k: v for k, v in asked.items() if v is not None}, **rate, "callbacks": plain([*learner.callbacks, *callbacks])}


def callbacks_of(learner: Learner, module: TaskModule, given: Sequence[Any], patience: int | None) -> list[Callback]:
    """All callbacks of a fit but the library's own that write its run folder, in the order in which they act.

    Args:
        given: those of this fit, by name or as objects; trackers among them begin with it and end with it.
        patience: epochs without improvement after which the fit ends; None or 0: it does not.

    Raises:
        ArgumentError: callbacks that do not go together, or not with this learner.
    """
    others, loggers = with_trackers(given, ())
    learner.log_rows.for_this_fit = list(loggers)
    named = [as_callback(c) for c in (*learner.callbacks, *others)]
    if patience:
        named.append(EarlyStopping(patience))
    _refuse_two(named)
    named.sort(key=lambda callback: isinstance(callback, WeightAveraging))  # what changes the network comes before what copies it
    for callback in named:
        if isinstance(callback, EarlyStopping):
            callback.check(module, "val" in learner.data.splits)
        if isinstance(callback, Pruning):
            callback.check(module, lambda: check_batch(module, learner.data.split("train").head(2)))
    restarted(named)
    if learner.settings.verbose and not any(isinstance(callback, Progress) for callback in named):
        named.insert(0, Progress())
    return [learner.run_folder, learner.log_rows, *named]


def _refuse_two(callbacks: Sequence[Callback]) -> None:
    for kind in (Pruning, QuantizationAwareTraining, Distillation):
        if sum(isinstance(each, kind) for each in callbacks) > 1:
            raise ArgumentError(f"A fit takes one {kind.__name__}. Several came, those of the learner counted in. Leave the others out.")


def duration(given: Any) -> Any:
    """Seconds as a timedelta; what Lightning itself takes stays as it is."""
    if isinstance(given, Real) and not isinstance(given, bool):
        return datetime.timedelta(seconds=float(given))
    return given
