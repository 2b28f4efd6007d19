"""One call of `fit`: the run around Lightning's, from the check of a first batch to the weights of the best epoch."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from torch import nn

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.checkpoints import Checkpoints
from fastgpu.callbacks.early_stopping import EarlyStopping
from fastgpu.callbacks.progress import Progress
from fastgpu.config import plain
from fastgpu.errors import ArgumentError, CheckpointError, NonFiniteLossError
from fastgpu.history import History
from fastgpu.train.checkpoint import LearnerCheckpointIO, Saved, read, write
from fastgpu.train.groups import frozen_modules, layer_groups
from fastgpu.train.module import FitPlan, TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.reproducible import own_randomness
from fastgpu.train.schedules import SCHEDULES
from fastgpu.train.trainer import make_trainer, quiet, restarted

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_fit"]


def run_fit(
    learner: Learner,
    plan: FitPlan,
    *,
    callbacks: Sequence[Any] = (),
    patience: int | None = None,
    max_time: Any = None,
    same_fit: bool = False,
) -> History:
    """Train as `plan` says and leave the best weights in the network.

    Args:
        callbacks: names or Lightning callbacks of this fit alone, beside the learner's own.
        patience: epochs without improvement after which the fit ends.
        max_time: seconds, a timedelta or Lightning's `"DD:HH:MM:SS"`, after which the fit ends.
        same_fit: whether this goes on with a fit that was cut off, not with a new one.
    """
    learner.refuse_missing()
    settings = learner.settings
    given = [_callback(c) for c in (*learner.callbacks, *callbacks)]
    module = learner.task_module()
    module.plan, module.history, module.describe = plan, learner.history, lambda: learner.facts(plan)
    module.groups = layer_groups(learner.module, learner.head)
    module.schedule = SCHEDULES[plan.schedule] if isinstance(plan.schedule, str) else plan.schedule
    module.frozen = frozen_modules(learner.module)
    check_batch(module, learner.data.split("train").head(2))
    restarted(given)
    if not learner.run_folder.made:
        learner.run_folder.settings |= {"epochs": plan.last - plan.first, "schedule": plain(plan.schedule)}
    checkpoints = Checkpoints(learner.run_folder)
    trainer = make_trainer(
        learner.hardware,
        strategy=settings.strategy,
        callbacks=[
            learner.run_folder,
            learner.log_rows,
            *([Progress()] if settings.verbose else []),
            *([EarlyStopping(patience)] if patience else []),
            *given,
            checkpoints,
        ],
        max_epochs=plan.last,
        max_time=_duration(max_time),
        deterministic=settings.deterministic,
        plugins=[LearnerCheckpointIO(keep=learner.changed_weights())],
    )
    learner.trainer = trainer
    before = {name: t.detach().clone() for name, t in learner.module.state_dict().items()} if not learner.history.rows else None
    try:
        with own_randomness(), quiet(), _compiled(learner.module, settings.compile), _state(learner, module, same_fit) as state:
            _train(trainer, module, learner, state)
    except NonFiniteLossError:
        _restore(learner, before)
        raise
    finally:
        learner.state_file = checkpoints.folder / "last" if learner.run_folder.made and learner.history.rows else learner.state_file
    learner.history.interrupted = trainer.interrupted
    _settle(learner, module, trainer, checkpoints)
    return learner.history.since(plan.first)


def _train(trainer: Trainer, module: TaskModule, learner: Learner, state: Path | None) -> None:
    """Lightning's fit, whose answer to Ctrl-C would be to end the whole process."""
    try:
        trainer.fit(module, datamodule=learner.data, ckpt_path=state, weights_only=False if state else None)
    except SystemExit:
        if not trainer.interrupted:
            raise
    except MisconfigurationException as error:
        raise ArgumentError(f"Lightning does not take this combination: {error}") from error


@contextlib.contextmanager
def _state(learner: Learner, module: TaskModule, same_fit: bool) -> Iterator[Path | None]:
    """The checkpoint to go on from; what belonged to an earlier fit alone is not carried over."""
    state = learner.state_file
    if state is not None and not state.is_file():
        learner.say(f"{state} is gone: training goes on from the present weights, with a fresh optimizer")
        state = None
    module.keep_callback_states = same_fit
    yield state


def _settle(learner: Learner, module: TaskModule, trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Put the best weights in place and say which; after an interrupt, say how to go on."""
    rows, (key, higher) = learner.history.rows, module.monitor
    best = learner.history.best(key, higher_is_better=higher)
    if best is not None and best != rows[-1] and (checkpoints.folder / "best").is_file():
        learner.module.load_state_dict(read(checkpoints.folder / "best", training=False).weights)
    elif trainer.interrupted and rows and learner.state_file is not None:
        learner.module.load_state_dict(last_weights(read(learner.state_file)))
    if trainer.interrupted and not rows and trainer.is_global_zero:
        write(checkpoints.folder / "last", learner.module.state_dict(), learner.facts(module.plan))
    learner.remember_weights()
    if best is not None:
        learner.say(f"weights: epoch {int(best['epoch'])}, the best {key} ({best[key]:.4f}); run folder {learner.run_dir}")
    elif rows:
        learner.say(f"weights: epoch {int(rows[-1]['epoch'])}, the last (no validation data); run folder {learner.run_dir}")
    if trainer.interrupted:
        left = module.plan.last - (int(rows[-1]["epoch"]) if rows else module.plan.first)
        learner.say(f"interrupted: the epoch in progress is dropped; fit({left}) goes on")


def last_weights(saved: Saved) -> dict[str, torch.Tensor]:
    """Weights at the end of the last epoch, which may not be the best that the file leads with."""
    return (saved.training or {}).get("last_weights") or saved.weights


def _restore(learner: Learner, before: dict[str, torch.Tensor] | None) -> None:
    """Undo an epoch that spoilt the weights."""
    if learner.history.rows and learner.state_file is not None:
        with contextlib.suppress(CheckpointError):
            learner.module.load_state_dict(last_weights(read(learner.state_file)))
    elif before is not None:
        learner.module.load_state_dict(before)


@contextlib.contextmanager
def _compiled(net: nn.Module, wanted: bool) -> Iterator[None]:
    """Compile the network in place for a while: its names, and so its checkpoints, stay as they are."""
    if not wanted:
        yield
        return
    net.forward = torch.compile(net.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del net.forward  # the class's own shows again


def _callback(given: Any) -> Callback:
    if isinstance(given, Callback):
        return given
    if isinstance(given, str):
        return CALLBACKS[given]()
    if isinstance(given, type) and issubclass(given, Callback):
        return given()
    raise ArgumentError(f"A callback is a name or a Lightning Callback. {type(given).__name__} came. Known names: {', '.join(CALLBACKS)}.")


def _duration(given: Any) -> Any:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return datetime.timedelta(seconds=given)
    return given
