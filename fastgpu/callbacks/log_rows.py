"""LogRows: hands each row of the history, and what else a tracker takes, to the loggers."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.run_folder import RunFolder, environment
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
            found += each.given
        elif isinstance(each, str) and each in TRACKERS:
            found.append(each)
        else:
            others.append(each)
    return tuple(others), tuple(found)


class LogRows(Callback):
    """Sends each epoch's row to the loggers, at the count of optimizer steps over all fits; to a `Tracker` the rest too.

    Args:
        loggers: names of trackers, or Lightning loggers, for every fit. Names become loggers once there is a run folder; they are
            kept over all fits, since a second logger would begin its files anew.
        run_folder: the callback that makes the run folder; None in a Trainer of the user's own, where the module logs its
            metrics itself and a run ends with the Trainer's.

    Attributes:
        given: the names and loggers for every fit.
        for_this_fit: those of one fit alone.
        loggers: the loggers of the last fit that work; there are none before the first fit, and none but in the first process.
    """

    def __init__(self, loggers: Sequence[Any], run_folder: RunFolder | None) -> None:
        self.given, self._run_folder = list(loggers), run_folder
        self.for_this_fit: list[Any] = []
        self.loggers: list[Any] = []
        self._made: dict[str, Any] = {}  # name -> its logger, None for one that could not begin
        self._failed: list[Any] = []
        self._trackers: dict[str, Tracker] = {}  # those of the fit, by what their states are kept under
        self._states: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._folder, self._group, self._first = Path(), "", True
        self._steps: dict[int, StepValues] = {}  # by the steps from one reading to the next

    # A fit, from its beginning to its end

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return
        if not trainer.is_global_zero:
            self.loggers = []
            return
        folder = Path(trainer.default_root_dir) if self._run_folder is None else self._run_folder.path
        if folder != self._folder:  # another training than that of the last fit
            self._folder, self._states = folder, {}
        found: list[Any] = []
        for each in (*self.given, *self.for_this_fit):
            logger = self._named(each) if isinstance(each, str) else each
            if logger is not None and logger not in found:
                found.append(logger)
        self._trackers = {}
        for each in found:
            if isinstance(each, Tracker):
                self._take(each)
        self.loggers = [each for each in found if each not in self._failed]
        self._go_on(self._states)
        trainer.loggers = [*(each for each in trainer.loggers if each not in self.loggers), *self.loggers]

    def _named(self, name: str) -> Any:
        if name not in self._made:
            settings = {} if self._run_folder is None else self._run_folder.settings
            try:
                self._made[name] = TRACKERS[name](self._folder, settings)
            except FastGPUError:  # a package that is missing
                raise
            except Exception as error:  # a folder that cannot be written, a database, a server
                self._made[name] = None
                warnings.warn(f"The logger {name!r} could not begin and is left out: {_line(error)}", stacklevel=2)
        return self._made[name]

    def _take(self, tracker: Tracker) -> None:
        """Give a tracker its place: its state is kept by class and project, and by its number where several have the same."""
        key = f"{type(tracker).__name__} {tracker.project}".rstrip()
        keys = itertools.chain([key], (f"{key} {number}" for number in itertools.count(2)))
        self._trackers[next(each for each in keys if each not in self._trackers)] = tracker
        tracker.shared = self._shared
        if self._group:
            tracker.group, tracker.announces = self._group, self._first

    def beside(self, run_folder: RunFolder, group: str, *, first: bool) -> LogRows:
        """The same for one of several trainings: names and trackers begin anew; loggers of the user's own, which cannot, stay out.

        Args:
            run_folder: the callback that makes that training's run folder.
            group: name of the trainings together.
            first: whether it is the first of them, which says where they are.
        """
        given = [each.anew() if isinstance(each, Tracker) else each for each in self.given]
        rows = LogRows([each for each in given if each is not None and isinstance(each, (str, Tracker))], run_folder)
        rows._group, rows._first, rows._shared = group, first, self._shared
        return rows

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        every = {each.every for each in self.loggers if isinstance(each, Tracker)}
        self._steps = {each: StepValues(each, step=partial(self._step, trainer, pl_module)) for each in every}
        if every:
            self.tell(trainer, "begin", self._folder, self._facts(trainer, pl_module))

    def _facts(self, trainer: Trainer, module: Any) -> Mapping[str, Any]:
        try:
            return facts_of(trainer, module, {} if self._run_folder is None else self._run_folder.settings)
        except Exception as error:  # networks and modules of all kinds come here, and training does not need it
            warnings.warn(f"The facts about this training are left out of the loggers: {_line(error)}", stacklevel=2)
            return {"environment": environment()}

    def _step(self, trainer: Trainer, module: Any) -> int:
        """Optimizer steps done over all fits."""
        return trainer.global_step + (0 if self._run_folder is None else module.step_offset)

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
        self.state_dict()

    # What comes meanwhile

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        for steps in self._steps.values():
            steps.epoch_start()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        for steps in self._steps.values():
            steps.before_step(trainer, optimizer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for every, steps in self._steps.items():
            row = steps.batch_end(trainer, outputs, batch)
            if row:
                self.tell(trainer, "log_step", row, self._step(trainer, pl_module), every=every)

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        self.tell(trainer, "log_metrics", row, self._step(trainer, module))
        self.tell(trainer, "save")
        key, higher = module.monitor
        best = module.history.best(key, higher_is_better=higher, after=module.best_from)
        if best is not None:
            self.tell(trainer, "log_best", best, key)

    def tell(self, trainer: Trainer | None, what: str, *args: Any, every: int | None = None) -> None:
        """Call a method of every logger that has it; one that fails is left out from then on.

        Args:
            trainer: the Trainer that runs, None between fits.
            what: the method's name.
            *args: its arguments.
            every: only loggers that take each so many steps; None: all.
        """
        before = list(self.loggers)
        self.hand(lambda logger: getattr(logger, what, _nothing)(*args) if every in (None, getattr(logger, "every", None)) else None)
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
                self._failed.append(logger)
                with contextlib.suppress(Exception):
                    getattr(logger, "end", _nothing)(1)
                warnings.warn(f"The logger {type(logger).__name__} failed and is left out from here on: {_line(error)}", stacklevel=2)

    # What a checkpoint keeps

    def state_dict(self) -> dict[str, Any]:
        self._states |= {key: state for key, each in self._trackers.items() if each in self.loggers and (state := each.state_dict())}
        return dict(self._states)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._states |= state_dict
        self._go_on(state_dict)

    def _go_on(self, states: Mapping[str, Any]) -> None:
        for key, each in self._trackers.items():
            if key in states:
                each.load_state_dict(states[key])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _nothing(*_: Any) -> None:
    """Stands for a method that a logger does not have."""
