"""How a fit ends: the checkpoints that stay, the weights that the network then holds, and what is said of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Trainer

from fastgpu.callbacks.checkpoints import Checkpoints
from fastgpu.compress.restore import load_weights
from fastgpu.train.checkpoint import Saved, holds_training, read, write
from fastgpu.train.module import TaskModule

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["Before", "best_of", "conclude", "last_weights", "restore", "take_state"]


@dataclasses.dataclass(frozen=True)
class Before:
    """What a learner was when a fit began.

    Args:
        form: shapes of the parameters, by which a network that was cut is told.
        rows: rows of the history.
        weights: the network's state dict; None: training went on from a checkpoint, which has it.
    """

    form: dict[str, torch.Size]
    rows: list[dict[str, float]]
    weights: dict[str, torch.Tensor] | None

    @classmethod
    def of(cls, learner: Learner, *, with_weights: bool) -> Before:
        weights = {name: t.detach().clone() for name, t in learner.module.state_dict().items()} if with_weights else None
        return cls(_form(learner), list(learner.history.rows), weights)


def conclude(learner: Learner, module: TaskModule, trainer: Trainer, checkpoints: Checkpoints, before: Before, again: str | None) -> None:
    """Bring history, checkpoints and weights in order after a fit that ended, or was interrupted after its first epoch.

    Args:
        again: arguments with which another call of `fit`, after the number of epochs, goes on; None: none does.
    """
    if trainer.interrupted:
        _drop_unsaved(learner, before.rows)
        if learner.state_file is None and before.weights is not None:
            load_weights(learner.module, before.weights)
    if len(learner.history) > module.plan.first:
        learner.best_from = module.best_from = min(module.best_from, len(learner.history) - 1)
    if _form(learner) != before.form:
        _start_anew(learner, checkpoints, trainer)
    _settle(learner, module, trainer, checkpoints, again)


def _form(learner: Learner) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in learner.module.named_parameters()}


def _start_anew(learner: Learner, checkpoints: Checkpoints, trainer: Trainer) -> None:
    """A network that was cut when the fit ended: its checkpoints are of the whole one, and the optimizer's state fits no more."""
    last = len(learner.history)
    learner.best_from, learner.state_file = last - 1, None
    if trainer.is_global_zero:
        for name in ("best", "last"):
            write(checkpoints.folder / name, learner.module.state_dict(), learner.facts(None, last))


def take_state(learner: Learner, checkpoints: Checkpoints) -> None:
    """Where the fit left a checkpoint to go on from, the learner goes on from that."""
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


def best_of(learner: Learner, module: TaskModule) -> dict[str, float] | None:
    """The history's best row, of those that are compared; None where none can be told."""
    key, higher = module.monitor
    return learner.history.best(key, higher_is_better=higher, after=module.best_from)


def _settle(learner: Learner, module: TaskModule, trainer: Trainer, checkpoints: Checkpoints, again: str | None) -> None:
    """Put the best weights in place and say which; after an interrupt, say how to go on."""
    rows, best = learner.history.rows, best_of(learner, module)
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
        learner.say(f"weights: {which}{f'; run folder {learner.run_dir}' if learner.run_folder.stays else ''}")
    if last is not None and last < module.plan.last and not trainer.interrupted:
        learner.say(f"stopped after epoch {last} of {module.plan.last}: {module.stopped or 'max_time or a callback ended the fit'}")
    left = module.plan.last - (last or module.plan.first)
    if trainer.interrupted and left:
        learner.say(f"interrupted: the epoch in progress is dropped{'' if again is None else f'; fit({left}{again}) goes on'}")


def _kept(file: Path, best: dict[str, float] | None) -> dict[str, torch.Tensor] | None:
    """The weights in `checkpoints/best`, if they are those of the best epoch."""
    if best is None or not file.is_file():
        return None
    saved = read(file, training=False)
    return saved.weights if saved.facts["weights_epoch"] == best["epoch"] else None


def last_weights(saved: Saved) -> dict[str, torch.Tensor]:
    """Weights at the end of the last epoch, which may not be the best that the file leads with."""
    return (saved.training or {}).get("last_weights") or saved.weights


def restore(learner: Learner, before: Before) -> None:
    """Undo the epoch that failed: weights and history are again those of the state to go on from."""
    rows = before.rows
    if learner.state_file is not None:
        saved = read(learner.state_file)
        load_weights(learner.module, last_weights(saved))
        rows = saved.facts["history"]
    elif before.weights is not None:
        load_weights(learner.module, before.weights)
    learner.history.rows[:] = rows
    learner.weights_epoch = int(rows[-1]["epoch"]) if rows else None
    learner.remember_weights()
