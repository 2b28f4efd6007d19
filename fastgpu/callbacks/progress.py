"""Progress: one row an epoch, in a terminal, a notebook or a log."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.progress_displays import REFRESH_SECONDS, Display, display_for
from fastgpu.console import unbroken

__all__ = ["Progress"]

PATIENCE_SECONDS = 2.0
"""An evaluation or prediction that is through before this shows nothing."""


@CALLBACKS.register("progress")
class Progress(Callback):
    """Shows a table with one row an epoch: losses, metrics, seconds.

    In a terminal a bar tells how far the epoch is; in a notebook one table is updated in place; elsewhere plain lines. An evaluation or
    prediction of more than two seconds has a bar too. Of several processes the first alone shows it.

    Example:
        >>> from fastgpu import Learner
        >>> learn = Learner("mlp", "digits", out=tmp, verbose=False, callbacks="progress")
        >>> history = learn.fit(1)
          epoch     loss  accuracy  val_loss  val_accuracy  seconds
            1/1   ...
    """

    def __init__(self) -> None:
        self._display: Display | None = None

    # Training

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._epochs, self._shown = pl_module.plan.last, 0.0
        if trainer.is_global_zero:
            self._display = display_for(self._epochs, pl_module.history.since(pl_module.plan.first).rows)
            self._draw(self._epoch(pl_module), 0, pl_module.steps_an_epoch)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._due():
            self._draw(self._epoch(pl_module), pl_module.step, pl_module.steps_an_epoch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.state.fn == "fit":
            if self._due():
                self._draw(f"{self._epoch(pl_module)}, validation", batch_idx + 1, trainer.num_val_batches[0])
        else:
            self._judge(trainer, "evaluate", batch_idx + 1, trainer.num_val_batches[0])

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        if self._display is not None:
            with unbroken():
                self._display.row(row)

    def _epoch(self, module: Any) -> str:
        return f"epoch {module.epoch + 1}/{self._epochs}"

    # Judging

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            self._shown = self._began = time.monotonic()

    def on_predict_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._shown = self._began = time.monotonic()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._judge(trainer, "predict", batch_idx + 1, trainer.num_predict_batches[0])

    def _judge(self, trainer: Trainer, verb: str, done: int, of: float) -> None:
        if self._display is None and trainer.is_global_zero and time.monotonic() - self._began > PATIENCE_SECONDS:
            self._display = display_for(0)
        if self._due():
            self._draw(verb, done, of)

    # Drawing

    def _due(self) -> bool:
        return self._display is not None and time.monotonic() - self._shown > REFRESH_SECONDS

    def _draw(self, what: str, done: int, of: float | None) -> None:
        assert self._display is not None, "_due was asked"
        self._shown = time.monotonic()
        with unbroken():
            self._display.doing(what, done, None if of is None or of == float("inf") else int(of))

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()  # Lightning calls no teardown then, and a bar left open would keep the terminal's cursor and sys.stdout

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self._display is not None:
            with unbroken():
                self._display.close()
            self._display = None
