"""One call of `fit`: the run around Lightning's, from the check of a first batch to the weights of the best epoch."""

from __future__ import annotations

import contextlib
import datetime
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.checkpoints import Checkpoints
from fastgpu.callbacks.distillation import Distillation
from fastgpu.callbacks.early_stopping import EarlyStopping
from fastgpu.callbacks.log_rows import with_trackers
from fastgpu.callbacks.progress import Progress
from fastgpu.callbacks.pruning import Pruning
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.callbacks.trackers.base import INTERRUPTED
from fastgpu.compress.restore import load_weights
from fastgpu.config import plain
from fastgpu.errors import ArgumentError
from fastgpu.history import History
from fastgpu.reporting import after_fit
from fastgpu.train.checkpoint import LearnerCheckpointIO, Saved, holds_training, read, write
from fastgpu.train.groups import frozen_modules, layer_groups
from fastgpu.train.module import FitPlan, TaskModule
from fastgpu.train.preflight import check_batch, check_precision
from fastgpu.train.reproducible import own_randomness
from fastgpu.train.schedules import SCHEDULES, Schedule
from fastgpu.train.trainer import interruptible, make_trainer, quiet, restarted

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["plan_fit", "run_fit"]


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


def _ending_loggers(fit: Callable[..., History]) -> Callable[..., History]:
    """Decorator: loggers are told how a fit ended, whatever its end."""

    @functools.wraps(fit)
    def ended(learner: Learner, *args: Any, **kwargs: Any) -> History:
        exit_code = 1
        try:
            history = fit(learner, *args, **kwargs)
            exit_code = INTERRUPTED if learner.history.interrupted else 0
            return history
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
            raise
        finally:
            learner.log_rows.end(exit_code)

    return ended


@_ending_loggers
def run_fit(
    learner: Learner,
    plan: FitPlan,
    *,
    callbacks: Sequence[Any] = (),
    watching: Sequence[Callback] = (),
    patience: int | None = None,
    max_time: Any = None,
    same_fit: bool = False,
) -> History:
    """Train as `plan` says and leave the best weights in the network.

    Args:
        callbacks: names or Lightning callbacks of this fit alone, beside the learner's own.
        watching: the library's own callbacks, which nobody asked for: they are not in `args.yaml`.
        patience: epochs without improvement after which the fit ends; None: the learner's.
        max_time: seconds, a timedelta or Lightning's `"DD:HH:MM:SS"`, after which the fit ends; None: the learner's.
        same_fit: whether this goes on with a fit that was cut off, not with a new one.
    """
    learner.refuse_missing()
    settings = learner.settings
    module = learner.task_module()
    few = learner.data.split("train").head(2)
    check_batch(module, few)
    check_precision(module, few, learner.hardware.precision)
    state = _state(learner)
    module.plan, module.history, module.describe = plan, learner.history, lambda: _described(learner, module)
    module.groups = layer_groups(learner.module, learner.head)
    module.schedule = SCHEDULES[plan.schedule] if isinstance(plan.schedule, str) else plan.schedule
    module.frozen = frozen_modules(learner.module)
    module.keep_callback_states = same_fit
    module.epoch_offset = learner.data.epoch_offset = learner.epoch_offset
    module.step_offset, module.best_from = learner.step_offset, learner.best_from
    checkpoints = Checkpoints(learner.run_folder, carried=_best_so_far(learner, module))
    if not learner.run_folder.made:
        learner.run_folder.settings |= _asked(learner, plan, callbacks, patience, max_time)
    trainer = make_trainer(
        learner.hardware,
        strategy=settings.strategy,
        callbacks=[*_callbacks(learner, module, callbacks, settings.patience if patience is None else patience), *watching, checkpoints],
        max_epochs=plan.last - learner.epoch_offset,
        max_time=_duration(settings.max_time if max_time is None else max_time),
        deterministic=settings.deterministic,
        plugins=[LearnerCheckpointIO(keep=learner.changed_weights())],
    )
    learner.trainer, learner.plan = trainer, plan
    adapter: Any = module.model
    form = _form(learner)
    before = None if state else {name: t.detach().clone() for name, t in learner.module.state_dict().items()}
    rows = list(learner.history.rows)
    try:
        with own_randomness(), quiet(), _compiled(adapter.called() if settings.compile else []):
            _train(trainer, module, learner, state)
    except BaseException:
        _take_state(learner, checkpoints)
        _restore(learner, before, rows)
        raise
    learner.history.interrupted = trainer.interrupted
    if trainer.interrupted:
        learner.unrepeatable = "a fit was interrupted"
    if not learner.run_folder.made:
        learner.say("interrupted before the first epoch: nothing is changed")
        return learner.history.since(plan.first)
    _take_state(learner, checkpoints)
    if trainer.interrupted:
        _drop_unsaved(learner, rows)
        if learner.state_file is None and before is not None:
            load_weights(learner.module, before)
    if len(learner.history) > plan.first:
        learner.best_from = module.best_from = min(module.best_from, len(learner.history) - 1)
    if _form(learner) != form:
        _start_anew(learner, checkpoints, trainer)
    _settle(learner, module, trainer, checkpoints)
    after_fit(learner, trainer)
    return learner.history.since(plan.first)


def _asked(learner: Learner, plan: FitPlan, callbacks: Sequence[Any], patience: int | None, max_time: Any) -> dict[str, Any]:
    """What this fit was asked for, for `args.yaml`: where it was asked for more than the learner, that takes the learner's place."""
    asked = {"epochs": plan.last - plan.first, "schedule": plain(plan.schedule), "patience": plain(patience), "max_time": plain(max_time)}
    rate = {} if plan.lr == learner.lr else {"lr": plan.lr}
    return {**{k: v for k, v in asked.items() if v is not None}, **rate, "callbacks": plain([*learner.callbacks, *callbacks])}


def _described(learner: Learner, module: TaskModule) -> dict[str, Any]:
    """The facts of a checkpoint while training runs."""
    learner.steps = module.step_offset + module.trainer.global_step
    return learner.facts(module.plan, plan_epoch(module))


def plan_epoch(module: TaskModule) -> int | None:
    """Number of the epoch that the network's weights are of, while it trains: the last row's."""
    return int(module.history.rows[-1]["epoch"]) if module.history.rows else None


def _callbacks(learner: Learner, module: TaskModule, given: Sequence[Any], patience: int | None) -> list[Callback]:
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


def _train(trainer: Trainer, module: TaskModule, learner: Learner, state: Path | None) -> None:
    """Lightning's fit, which Ctrl-C ends early, and no more than that."""
    try:
        with interruptible(trainer, module.interrupts):
            trainer.fit(module, datamodule=learner.data, ckpt_path=state, weights_only=False if state else None)
    except KeyboardInterrupt:
        if not trainer.interrupted:
            raise
    except MisconfigurationException as error:
        raise ArgumentError(f"Lightning does not take this combination: {error}") from error


def _form(learner: Learner) -> dict[str, torch.Size]:
    """Shapes of the parameters, by which a network that was cut is told."""
    return {name: p.shape for name, p in learner.module.named_parameters()}


def _start_anew(learner: Learner, checkpoints: Checkpoints, trainer: Trainer) -> None:
    """A network that was cut when the fit ended: its checkpoints are of the whole one, and the optimizer's state fits no more."""
    last = len(learner.history)
    learner.best_from, learner.state_file = last - 1, None
    if trainer.is_global_zero:
        for name in ("best", "last"):
            write(checkpoints.folder / name, learner.module.state_dict(), learner.facts(None, last))


def _state(learner: Learner) -> Path | None:
    """The checkpoint to go on from; without one epochs and steps are counted on all the same."""
    state = learner.state_file
    if state is not None and not state.is_file():
        learner.say(f"{state} is gone: training goes on from the present weights, with a fresh optimizer")
        state = learner.state_file = None
    if state is None:
        learner.epoch_offset = len(learner.history)
        learner.step_offset = learner.steps if learner.history.rows else 0
    return state


def _take_state(learner: Learner, checkpoints: Checkpoints) -> None:
    last = checkpoints.folder / "last" if learner.run_folder.made else None
    if last is not None and last.is_file() and holds_training(last):
        learner.state_file = last


def _drop_unsaved(learner: Learner, before: list[dict[str, float]]) -> None:
    """A second interrupt ends at once, after an epoch's row and before its checkpoint: the next fit trains that epoch anew."""
    saved = before if learner.state_file is None else read(learner.state_file, training=False).facts["history"]
    if len(saved) < len(learner.history):
        learner.history.rows[:] = saved
        if learner.trainer is not None and learner.trainer.is_global_zero:
            learner.history.to_csv(learner.run_folder.path / "history.csv")


def _best_so_far(learner: Learner, module: TaskModule) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Weights and facts of the best epoch, where the network holds them and the run's folder is yet to be made."""
    best = _best(learner, module)
    if best is None or learner.run_folder.made or learner.weights_epoch != best["epoch"]:
        return None
    return {k: v.detach().clone() for k, v in learner.module.state_dict().items()}, learner.facts(None, learner.weights_epoch)


def _best(learner: Learner, module: TaskModule) -> dict[str, float] | None:
    key, higher = module.monitor
    return learner.history.best(key, higher_is_better=higher, after=module.best_from)


def _settle(learner: Learner, module: TaskModule, trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Put the best weights in place and say which; after an interrupt, say how to go on."""
    rows, best = learner.history.rows, _best(learner, module)
    last = int(rows[-1]["epoch"]) if rows else None
    kept = _kept(checkpoints.folder / "best", best)
    renamed = kept is not None and not dict(learner.module.named_parameters()).keys() <= kept.keys()  # as torch's pruning does
    if renamed:
        kept = None
    if kept is not None and best is not None and best != rows[-1]:
        load_weights(learner.module, kept)
    elif trainer.interrupted and rows and learner.state_file is not None:
        load_weights(learner.module, last_weights(read(learner.state_file)))
    elif trainer.interrupted and not rows and trainer.is_global_zero:
        write(checkpoints.folder / "last", learner.module.state_dict(), learner.facts(module.plan, None))
    ended_early = kept is None and best is not None and best == rows[-1]
    if (ended_early or renamed) and trainer.is_global_zero:  # a fit that compresses compares its last epoch alone, which was to be a later one
        write(checkpoints.folder / "best", learner.module.state_dict(), learner.facts(None, last))
    learner.weights_epoch = int(best["epoch"]) if kept is not None and best is not None else last
    learner.remember_weights()
    if last is not None:
        which = f"epoch {learner.weights_epoch}, the "
        if best is None:
            which += "last (no validation data)"
        elif kept is not None or ended_early:
            which += f"best {module.monitor[0]} ({best[module.monitor[0]]:.4f})"
        else:
            which += f"last; epoch {int(best['epoch'])} was better, but its weights are not in this run"
        learner.say(f"weights: {which}; run folder {learner.run_dir}")
    if last is not None and last < module.plan.last and not trainer.interrupted:
        learner.say(f"stopped after epoch {last} of {module.plan.last}: {module.stopped or 'max_time or a callback ended the fit'}")
    left = module.plan.last - (last or module.plan.first)
    if trainer.interrupted and left:
        learner.say(f"interrupted: the epoch in progress is dropped; fit({left}) goes on")


def _kept(file: Path, best: dict[str, float] | None) -> dict[str, torch.Tensor] | None:
    """The weights in `checkpoints/best`, if they are those of the best epoch."""
    if best is None or not file.is_file():
        return None
    saved = read(file, training=False)
    return saved.weights if saved.facts["weights_epoch"] == best["epoch"] else None


def last_weights(saved: Saved) -> dict[str, torch.Tensor]:
    """Weights at the end of the last epoch, which may not be the best that the file leads with."""
    return (saved.training or {}).get("last_weights") or saved.weights


def _restore(learner: Learner, before: dict[str, torch.Tensor] | None, rows: list[dict[str, float]]) -> None:
    """Undo the epoch that failed: weights and history are again those of the state to go on from."""
    if learner.state_file is not None:
        saved = read(learner.state_file)
        load_weights(learner.module, last_weights(saved))
        rows = saved.facts["history"]
    elif before is not None:
        load_weights(learner.module, before)
    learner.history.rows[:] = rows
    learner.weights_epoch = int(rows[-1]["epoch"]) if rows else None
    learner.remember_weights()


@contextlib.contextmanager
def _compiled(parts: list[nn.Module]) -> Iterator[None]:
    """Compile modules in place for a while: their names, and so the checkpoints, stay as they are."""
    for part in parts:
        part.forward = torch.compile(part.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for part in parts:
            del part.forward  # the class's own shows again


def _duration(given: Any) -> Any:
    if isinstance(given, Real) and not isinstance(given, bool):
        return datetime.timedelta(seconds=float(given))
    return given
