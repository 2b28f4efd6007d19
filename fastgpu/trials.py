"""A copy of a learner trains apart, in a folder that goes; the learner becomes it, or stays as it was."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.history import History
from fastgpu.train.checkpoint import read, write

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["become", "discard", "trial_folder", "trial_of"]

CHECKPOINTS = ("best", "last")


@contextlib.contextmanager
def trial_folder() -> Iterator[Path]:
    """A folder for the runs of trials, which is gone afterwards, whatever ends them."""
    with tempfile.TemporaryDirectory(prefix="fastgpu-trials-") as folder:
        yield Path(folder)


def trial_of(learner: Learner, folder: Path) -> Learner:
    """The same learner with a network, a history and a run folder of its own; loggers hear nothing of it, and no pictures are made.

    Args:
        folder: in which its run folder is made.
    """
    trial = copy.copy(learner)
    trial.module = copy.deepcopy(learner.module)
    trial.history = History([dict(row) for row in learner.history.rows])
    trial.run_folder = RunFolder(folder, "trial", learner.arguments(), stays=False)
    trial.log_rows = type(learner.log_rows)((), trial.run_folder)
    trial.settings, trial.calls = dataclasses.replace(learner.settings, report=False), list(learner.calls)
    return trial


def discard(trial: Learner) -> None:
    """Remove a trial's run folder: those of several would fill a disk."""
    if trial.run_folder.made:
        shutil.rmtree(trial.run_folder.path, ignore_errors=True)


def become(learner: Learner, trial: Learner) -> None:
    """The learner is a trial that was trained, from here on, in its own run folder, which is made if there is none.

    Raises:
        RunFolderError: the folder cannot be written to.
    """
    trainer: Any = trial.trainer
    run_folder = learner.run_folder
    if not run_folder.made:
        run_folder.settings |= trial.run_folder.settings
        run_folder.setup(trainer, None, "fit")
    own = {name: getattr(learner, name) for name in ("settings", "run_folder", "log_rows")}
    state = None if trial.state_file is None else run_folder.path / "checkpoints" / "last"
    if trainer.is_global_zero:
        _take_over(trial.run_folder.path, run_folder.path, {"settings": learner.settings.plain(), "run_dir": str(run_folder.path)})
    learner.__dict__.update({**trial.__dict__, **own, "state_file": state})


def _take_over(theirs: Path, mine: Path, facts: dict[str, Any]) -> None:
    """Let one run folder hold the checkpoints and the history of another."""
    for name in CHECKPOINTS:
        source, target = theirs / "checkpoints" / name, mine / "checkpoints" / name
        if source.is_file():
            saved = read(source)
            write(target, saved.weights, {**saved.facts, **facts}, saved.training)
        else:  # one of another network
            target.unlink(missing_ok=True)
    for name in ("history.csv", "history.png"):
        if (theirs / name).is_file():
            shutil.move(theirs / name, mine / name)
