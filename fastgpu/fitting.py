"""One call of `fit`: the run around Lightning's, from the check of a first batch to the weights of the best epoch."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from torch import nn

from fastgpu.callbacks.checkpoints import Checkpoints
from fastgpu.callbacks.trackers.base import INTERRUPTED
from fastgpu.errors import ArgumentError
from fastgpu.fit_ending import Before, best_of, conclude, restore, take_state
from fastgpu.fit_planning import asked, callbacks_of, duration
from fastgpu.history import History
from fastgpu.reporting import after_fit
from fastgpu.train.checkpoint import LearnerCheckpointIO
from fastgpu.train.groups import frozen_modules, layer_groups
from fastgpu.train.module import FitPlan, TaskModule
from fastgpu.train.preflight import check_batch, check_precision
from fastgpu.train.reproducible import own_randomness
from fastgpu.train.schedules import SCHEDULES
from fastgpu.train.trainer import interruptible, make_trainer, quiet

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_fit"]


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
    resumable: bool = True,
) -> History:
    """Train as `plan` says and leave the best weights in the network.

    Args:
        callbacks: names or Lightning callbacks of this fit alone, beside the learner's own.
        watching: the library's own callbacks, which nobody asked for: they are not in `args.yaml`.
        patience: epochs without improvement after which the fit ends; None: the learner's.
        max_time: seconds, a timedelta or Lightning's `"DD:HH:MM:SS"`, after which the fit ends; None: the learner's.
        same_fit: whether this goes on with a fit that was cut off, not with a new one.
        resumable: whether a call of `fit` goes on with it after an interrupt, as the user is then told.
    """
    learner.refuse_missing()
    module, few = learner.task_module(), learner.data.split("train").head(2)
    check_batch(module, few)
    check_precision(module, few, learner.hardware.precision)
    state = _state(learner)
    _tell(module, learner, plan, same_fit)
    checkpoints = Checkpoints(learner.run_folder, carried=_best_so_far(learner, module))
    if not learner.run_folder.made:
        learner.run_folder.settings |= asked(learner, plan, callbacks, patience, max_time)
    settings = learner.settings
    trainer = make_trainer(
        learner.hardware,
        strategy=settings.strategy,
        callbacks=[*callbacks_of(learner, module, callbacks, settings.patience if patience is None else patience), *watching, checkpoints],
        max_epochs=plan.last - learner.epoch_offset,
        max_time=duration(settings.max_time if max_time is None else max_time),
        deterministic=settings.deterministic,
        plugins=[LearnerCheckpointIO(keep=learner.changed_weights())],
    )
    learner.trainer, learner.plan = trainer, plan
    before = Before.of(learner, with_weights=state is None)
    adapter: Any = module.model
    try:
        with own_randomness(), quiet(), _compiled(adapter.called() if settings.compile else []):
            _train(trainer, module, learner, state)
    except BaseException:
        take_state(learner, checkpoints)
        restore(learner, before)
        raise
    learner.history.interrupted = trainer.interrupted
    if trainer.interrupted:
        learner.unrepeatable = "a fit was interrupted"
    if not learner.run_folder.made:
        learner.say("interrupted before the first epoch: nothing is changed")
        return learner.history.since(plan.first)
    take_state(learner, checkpoints)
    conclude(learner, module, trainer, checkpoints, before, _again(learner, plan, callbacks) if resumable else None)
    after_fit(learner, trainer)
    return learner.history.since(plan.first)


def _again(learner: Learner, plan: FitPlan, callbacks: Sequence[Any]) -> str:
    """What a call of `fit` has to be given, beside the epochs, to go on as this one went."""
    rate = "" if plan.lr == learner.lr else f", lr={plan.lr:g}"
    schedule = "" if plan.schedule == "constant" else f", schedule={plan.schedule!r}" if isinstance(plan.schedule, str) else ", schedule=..."
    return f"{rate}{schedule}{', callbacks=...' if callbacks else ''}"


def _tell(module: TaskModule, learner: Learner, plan: FitPlan, same_fit: bool) -> None:
    """Tell the module that Lightning trains what this fit is."""
    module.plan, module.history, module.describe = plan, learner.history, lambda: _described(learner, module)
    module.groups = layer_groups(learner.module, learner.head)
    module.schedule = SCHEDULES[plan.schedule] if isinstance(plan.schedule, str) else plan.schedule
    module.frozen = frozen_modules(learner.module)
    module.keep_callback_states = same_fit
    module.epoch_offset = learner.data.epoch_offset = learner.epoch_offset
    module.step_offset, module.best_from = learner.step_offset, learner.best_from


def _described(learner: Learner, module: TaskModule) -> dict[str, Any]:
    """The facts of a checkpoint while training runs."""
    learner.steps = module.step_offset + module.trainer.global_step
    return learner.facts(module.plan, plan_epoch(module))


def plan_epoch(module: TaskModule) -> int | None:
    """Number of the epoch that the network's weights are of, while it trains: the last row's."""
    return int(module.history.rows[-1]["epoch"]) if module.history.rows else None


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


def _best_so_far(learner: Learner, module: TaskModule) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Weights and facts of the best epoch, where the network holds them and the run's folder is yet to be made."""
    best = best_of(learner, module)
    if best is None or learner.run_folder.made or learner.weights_epoch != best["epoch"]:
        return None
    return {k: v.detach().clone() for k, v in learner.module.state_dict().items()}, learner.facts(None, learner.weights_epoch)


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
