"""LogRows: hands each row of the history, and what else a tracker takes, to the loggers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.callbacks.step_values import StepValues
from fastgpu.callbacks.trackers.base import INTERRUPTED, TRACKERS, Tracker
from fastgpu.callbacks.trackers.facts import facts_of
from fastgpu.errors import FastGPUError

__all__ = ["LogRows", "with_trackers"]


def with_trackers(callbacks: Sequence[Any], loggers: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Callbacks and loggers -> the same, with those callbacks that are trackers among the loggers: one mechanism hands them the rows.

    Args:
        callbacks: names, classes or objects.
        loggers: names or objects.
    """
    others, found = [], list(loggers)
    for each in callbacks:
        if isinstance(each, type) and issubclass(each, LogRows):
            each = each()  # type: ignore[call-arg]
        if isinstance(each, LogRows):
            found += each.loggers
        elif isinstance(each, str) and each in TRACKERS:
            found.append(each)
        else:
            others.append(each)
    return tuple(others), tuple(found)


class LogRows(Callback):
    """Sends each epoch's row to the loggers, at the count of optimizer steps over all fits; to a `Tracker` the rest too.

    Args:
        loggers: names of trackers, or Lightning loggers. Names become loggers once there is a run folder; they are
            kept over all fits, since a second logger would begin its files anew.
        run_folder: the callback that makes the run folder; None in a Trainer of the user's own, where the module logs its
            metrics itself and a run ends with the Trainer's.

    Attributes:
        loggers: the loggers that work; there are none before the first fit, and none but in the first process.
    """

    def __init__(self, loggers: Sequence[Any], run_folder: RunFolder | None) -> None:
        self._given, self._run_folder = list(loggers), run_folder
        self.loggers: list[Any] = []
        self._made = False
        self._folder, self._group, self._first = Path(), "", True
        self._steps: StepValues | None = None  # where a tracker takes them

    # A fit, from its beginning to its end

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return
        if not trainer.is_global_zero:
            self.loggers = []
            return
        self._folder = Path(trainer.default_root_dir) if self._run_folder is None else self._run_folder.path
        if not self._made:
            self._made = True
            self.loggers += self._make()
        trainer.loggers = [*(each for each in trainer.loggers if each not in self.loggers), *self.loggers]

    def _make(self) -> Iterator[Any]:
        settings = {} if self._run_folder is None else self._run_folder.settings
        for each in self._given:
            try:
                logger = TRACKERS[each](self._folder, settings) if isinstance(each, str) else each
                if self._group and isinstance(logger, Tracker):
                    logger.group, logger.announces = self._group, self._first
                yield logger
            except FastGPUError:  # a package that is missing
                raise
            except Exception as error:  # a folder that cannot be written, a database, a server
                warnings.warn(f"The logger {each!r} could not begin and is left out: {_line(error)}", stacklevel=2)

    def add(self, loggers: Sequence[Any]) -> None:
        """Take in loggers that came with a fit."""
        there = self.loggers if self._made else self._given
        there += [each for each in loggers if each not in there]

    def beside(self, run_folder: RunFolder, group: str, *, first: bool) -> LogRows:
        """The same for one of several trainings: names and trackers begin anew; loggers of the user's own, which cannot, stay out.

        Args:
            run_folder: the callback that makes that training's run folder.
            group: name of the trainings together.
            first: whether it is the first of them, which says where they are.
        """
        given = [each.anew() if isinstance(each, Tracker) else each for each in self._given]
        rows = LogRows([each for each in given if each is not None and isinstance(each, (str, Tracker))], run_folder)
        rows._group, rows._first = group, first
        return rows

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        every = [each.every for each in self.loggers if isinstance(each, Tracker)]
        self._steps = StepValues(min(every), done=trainer.global_step) if every else None
        if every:
            settings = {} if self._run_folder is None else self._run_folder.settings
            self.tell(trainer, "begin", self._folder, facts_of(trainer, pl_module, settings))

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if self._run_folder is None:
            self.end(INTERRUPTED if isinstance(exception, KeyboardInterrupt) else 1)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._run_folder is None and stage == "fit":
            self.end(0)

    def end(self, exit_code: int) -> None:
        """Training is over, for now.

        Args:
            exit_code: 0, 1 after an error, `INTERRUPTED` after Ctrl-C.
        """
        self.tell(None, "end", exit_code)

    # What comes meanwhile

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self._steps is not None:
            self._steps.epoch_start()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        if self._steps is not None:
            self._steps.before_step(trainer, optimizer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        row = None if self._steps is None else self._steps.batch_end(trainer, outputs, batch)
        if row:
            self.tell(trainer, "log_step", row, trainer.global_step)

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        self.tell(trainer, "log_metrics", row, trainer.global_step)
        self.tell(trainer, "save")
        key, higher = module.monitor
        best = module.history.best(key, higher_is_better=higher, after=module.best_from)
        if best is not None:
            self.tell(trainer, "log_best", best, key)

    def tell(self, trainer: Trainer | None, what: str, *args: Any) -> None:
        """Call a method of every logger that has it; one that fails is left out from then on.

        Args:
            trainer: the Trainer that runs, None between fits.
            what: the method's name.
            *args: its arguments.
        """
        before = list(self.loggers)
        self.hand(lambda logger: getattr(logger, what, _nothing)(*args))
        if trainer is not None and len(self.loggers) < len(before):
            failed = [each for each in before if each not in self.loggers]
            trainer.loggers = [each for each in trainer.loggers if each not in failed]

    def hand(self, call: Callable[[Any], None]) -> None:
        """Call something with each logger; one that fails is left out from then on."""
        for logger in list(self.loggers):
            try:
                call(logger)
            except Exception as error:  # a disk that is full, a network that is down: training goes on, the history is whole
                self.loggers.remove(logger)
                with contextlib.suppress(Exception):
                    getattr(logger, "end", _nothing)(1)
                warnings.warn(f"The logger {type(logger).__name__} failed and is left out from here on: {_line(error)}", stacklevel=2)

    # What a checkpoint keeps

    def state_dict(self) -> dict[str, Any]:
        return {_name(each): state for each in self.loggers if isinstance(each, Tracker) and (state := each.state_dict())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for each in self.loggers:
            if isinstance(each, Tracker) and _name(each) in state_dict:
                each.load_state_dict(state_dict[_name(each)])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _name(logger: Logger | Tracker) -> str:
    return type(logger).__name__


def _nothing(*_: Any) -> None:
    """Stands for a method that a logger does not have."""
