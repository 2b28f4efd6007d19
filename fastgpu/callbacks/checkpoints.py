"""Checkpoints of a run: `last` after each epoch, with all that training needs to go on, and `best`, weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from fastgpu.train.checkpoint import write

__all__ = ["Checkpoints"]


class Checkpoints(Checkpoint):
    """Writes `last` and `best` into the run's `checkpoints/`. Lightning calls it after every other callback.

    Args:
        run_folder: the callback that made the run folder.
    """

    def __init__(self, run_folder: Any) -> None:
        self._run_folder = run_folder

    @property
    def folder(self) -> Path:
        """The run's folder of checkpoints."""
        return self._run_folder.path / "checkpoints"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        trainer.save_checkpoint(self.folder / "last")
        row, (key, higher) = pl_module.history.rows[-1], pl_module.monitor
        if key not in row or not trainer.is_global_zero:
            return
        best = pl_module.history.best(key, higher_is_better=higher)
        if best is row or best == row:
            write(self.folder / "best", pl_module.model.net.state_dict(), pl_module.describe())
