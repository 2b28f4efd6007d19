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
        carried: weights and facts of the best epoch so far, which was trained in another run.
    """

    def __init__(self, run_folder: Any, carried: tuple[dict[str, Any], dict[str, Any]] | None = None) -> None:
        self._run_folder, self._carried = run_folder, carried

    @property
    def folder(self) -> Path:
        """The run's folder of checkpoints."""
        return self._run_folder.path / "checkpoints"

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._carried is not None and trainer.is_global_zero:
            write(self.folder / "best", *self._carried)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        row, (key, higher) = pl_module.history.rows[-1], pl_module.monitor
        # best before last: a process killed between the two trains this epoch again, and writes best again.
        if trainer.is_global_zero and pl_module.history.best(key, higher_is_better=higher, after=pl_module.best_from) == row:
            write(self.folder / "best", pl_module.model.net.state_dict(), pl_module.describe())
        trainer.save_checkpoint(self.folder / "last")
        pl_module.interrupts.release()
