"""A copy of a learner trains apart, in a folder that goes; the learner becomes it, or stays as it was."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
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
def trial_folder(learner: Learner) -> Iterator[Path]:
    """A hidden folder for the runs of trials, where the learner's own are; it is gone afterwards, whatever ends them."""
    out = Path(learner.settings.out)
    there = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".trials-", dir=out) as folder:
            yield Path(folder)
    finally:
        if not there:
            with contextlib.suppress(OSError):  # the learner's run is in it
                out.rmdir()


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
    # The network first: should the files fail, it is there, and a next fit does not look for its state in another one's.
    learner.__dict__.update({**trial.__dict__, **own, "state_file": None})
    try:
        if trainer.is_global_zero:
            # How layers round may have changed since the last epoch.
            grids = {name: value for name, value in trial.module.state_dict().items() if name.endswith("weight_grid")}
            _take_over(trial.run_folder.path, run_folder.path, grids, {"settings": learner.settings.plain(), "run_dir": str(run_folder.path)})
    finally:
        trainer.strategy.barrier()  # the others go on from these files
    learner.state_file = None if trial.state_file is None else run_folder.path / "checkpoints" / "last"


def _take_over(theirs: Path, mine: Path, grids: dict[str, Any], facts: dict[str, Any]) -> None:
    """Let one run folder hold the checkpoints and the history of another."""
    place = mine / "checkpoints"
    place.mkdir(exist_ok=True)
    new = {name: place / f".{name}.new" for name in CHECKPOINTS if (theirs / "checkpoints" / name).is_file()}
    try:
        for name, file in new.items():
            saved = read(theirs / "checkpoints" / name)
            write(file, {**saved.weights, **grids}, {**saved.facts, **facts}, saved.training)
    except BaseException:  # a full disk: those of before stay, both of them
        for file in new.values():
            file.unlink(missing_ok=True)
        raise
    for name in CHECKPOINTS:
        if name in new:
            os.replace(new[name], place / name)
        else:  # one of another network
            (place / name).unlink(missing_ok=True)
    for name in ("history.csv", "history.png"):
        if (theirs / name).is_file():
            shutil.move(theirs / name, mine / name)
