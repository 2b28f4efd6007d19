"""LogRows: hands each row of the history to the loggers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.callbacks.trackers.base import TRACKERS

__all__ = ["LogRows"]


class LogRows(Callback):
    """Sends each epoch's row to the loggers, at the count of optimizer steps over all fits.

    Args:
        loggers: names of trackers, or Lightning loggers. Names become loggers once there is a run folder; they are
            kept over all fits, since a second logger would begin its files anew.
        run_folder: the callback that makes the run folder.
    """

    def __init__(self, loggers: Sequence[Any], run_folder: RunFolder) -> None:
        self._given, self._run_folder = loggers, run_folder
        self._loggers: list[Any] | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        if self._loggers is None:
            folder, settings = self._run_folder.path, self._run_folder.settings
            self._loggers = [TRACKERS[each](folder, settings) if isinstance(each, str) else each for each in self._given]
        trainer.loggers = self._loggers

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""

        def log(logger: Any) -> None:
            logger.log_metrics(row, step=trainer.global_step)
            logger.save()

        self.hand(log)
        trainer.loggers = self.loggers

    @property
    def loggers(self) -> list[Any]:
        """The loggers that have not failed; none before the first fit, and none but on the first process."""
        return list(self._loggers or ())

    def hand(self, call: Callable[[Any], None]) -> None:
        """Call something with each logger; one that fails is left out from there on."""
        for logger in self.loggers:
            try:
                call(logger)
            except Exception as error:  # a disk that is full, a network that is down: training goes on, the history is whole
                self._loggers = [each for each in self._loggers or () if each is not logger]
                warnings.warn(f"The logger {type(logger).__name__} failed and is left out from here on: {error}", stacklevel=2)
