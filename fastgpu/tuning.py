"""Tuning: trials with settings that Optuna proposes; the learner becomes the best of them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import itertools
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.log_rows import LogRows
from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.callbacks.trackers.base import Tracker
from fastgpu.config import plain
from fastgpu.errors import ArgumentError, NonFiniteLossError
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.history import History
from fastgpu.optional import require
from fastgpu.recipe import make_module
from fastgpu.report.repeating import FitCall
from fastgpu.reporting import after_fit
from fastgpu.tuning_space import Choices, Range, check_space, combinations, untried, with_values

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

    from fastgpu.learner import Learner

__all__ = ["TuneResult", "run_tune"]

FIRST_WHOLE = 4
"""Trials that are never cut short: the median of fewer says little."""


class TuneResult:
    """What was tried, and what was best; prints as a table.

    Attributes:
        key: key of the history by which trials are compared.
        trials: one dict a trial: `trial` (its number from 1), the settings, `key`'s best value, `epochs`, `seconds`, `state`:
            `"complete"`, `"pruned"` (cut short, since it was worse than the median), `"interrupted"` (by Ctrl-C, after an epoch at
            least) or `"failed"` (the loss was not finite, or the memory too small), and `reason`: the error of one that failed, else "".
        best: settings of the best trial; empty where none gave a value.
        value: its value, NaN where there is none.
        study: Optuna's own study, for its plots.
    """

    def __init__(self, key: str, settings: tuple[str, ...], study: Any) -> None:
        self.key, self.study, self._settings = key, study, settings
        self.trials: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.value = float("nan")

    def to_frame(self) -> DataFrame:
        """The trials as a pandas DataFrame, one row a trial."""
        import pandas as pd

        return pd.DataFrame(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def __rich__(self) -> Table:
        from rich.table import Table

        title = f"{len(self)} trials; best {self.key} {self.value:.4f} with {_shown(self.best)}" if self.best else "no trial gave a value"
        table = Table(box=None, title=title, title_justify="left", title_style="", header_style="", pad_edge=True)
        reason = ("reason",) if any(trial["reason"] for trial in self.trials) else ()
        columns = ("trial", *self._settings, self.key, "epochs", "seconds", "state", *reason)
        for name in columns:
            words = name in ("state", "reason")
            table.add_column(name, justify="left" if words else "right", no_wrap=name != "reason")
        for trial in self.trials:
            table.add_row(*[_cell(trial[name]) for name in columns])
        return table

    def __repr__(self) -> str:
        from rich.console import Console

        file = io.StringIO()
        Console(file=file, width=200, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def run_tune(learner: Learner, space: Mapping[str, Any], trials: int, max_time: float | None, epochs: int) -> TuneResult:
    """Search the space and leave the best learner; see `Learner.tune`."""
    optuna = require("optuna", need="tune")
    learner.refuse_missing()
    searched = check_space(learner, space)
    key, higher = _checked(learner, trials, max_time, epochs)
    of = combinations(searched)
    if of is not None and of < trials:
        learner.say(f"tune: the space has {of} combinations, so there are {of} trials, not {trials}")
        trials = of
    tried: set[tuple[int, ...]] = set()
    began, folder = time.monotonic(), _folder(learner)
    best: _Trial | None = None
    trial: _Trial | None = None
    with _quiet(optuna):
        study = optuna.create_study(
            direction="maximize" if higher else "minimize",
            sampler=optuna.samplers.TPESampler(seed=learner.settings.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_WHOLE, n_warmup_steps=2),
        )
        result = TuneResult(key, tuple(searched), study)
        try:
            for number in range(1, trials + 1):
                left = None if max_time is None else max_time - (time.monotonic() - began)
                if left is not None and left <= 0:
                    learner.say(f"tune: max_time is over after {number - 1} of {trials} trials")
                    break
                asked, values = _propose(optuna, study, searched, tried, learner.settings.seed)
                trial = _Trial(values, asked, key, higher)
                trial.run(learner, folder, number, epochs, left)
                value, state, interrupted = trial.value, trial.state, trial.interrupted
                study.tell(asked, value if state == "complete" else None, state=_state(optuna, state))
                result.trials.append({"trial": number, **trial.row()})
                why = f": {trial.reason}" if trial.reason else ""
                if value == value and (best is None or (value > best.value) == higher and value != best.value):
                    best, trial, result.best, result.value = trial, best, values, value
                _discard(trial)  # the worse of the two
                learner.say(f"trial {number}/{trials}: {_shown(values)}: {key} {_cell(value)}, {state} (best {_cell(result.value)}){why}")
                if interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            learner.say(f"tune: interrupted; {'the best of the trials so far is kept' if best else 'nothing is changed'}")
        finally:  # what was found is kept, whatever ended the search
            if best is not None and best.learner is not None:
                _become(learner, best.learner)
            if trial is not best:
                _discard(trial)
    if best is not None and best.learner is not None:
        _leave_pictures(learner, best.learner)
    learner.say(str(result))
    return result


def _checked(learner: Learner, trials: int, max_time: float | None, epochs: int) -> tuple[str, bool]:
    """Key of the history by which trials are compared, and its direction."""
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise ArgumentError(f"trials is a whole number, at least 1. {trials!r} came. Give for example trials=20.")
    if max_time is not None and (isinstance(max_time, bool) or not isinstance(max_time, (int, float)) or not max_time > 0):
        raise ArgumentError(f"max_time is None or seconds above 0. {max_time!r} came. Give for example max_time=600.")
    plan_fit(learner, epochs, None, "constant")
    devices = learner.hardware.devices
    if (len(devices) if isinstance(devices, (list, tuple)) else devices) not in (1, "auto", "1"):
        raise ArgumentError(f"tune runs its trials in one process, on one device. devices={devices!r} came. Tune with devices=1.")
    key, higher = make_module(learner).monitor
    if "val" not in learner.data.splits:
        raise ArgumentError(f"tune compares {key}. The data have no val split. Give validation_split=0.2, or validation data.")
    return key, higher


def _folder(learner: Learner) -> Path:
    """A folder for this search's runs, beside those of fits."""
    settings = learner.settings
    name = RunFolder(settings.out, settings.name or f"{learner.architecture}-{learner.data.name}", {}).name
    for number in itertools.count(1):
        path = Path(settings.out) / f"{name}-tune{'' if number == 1 else f'-{number}'}"
        if not path.exists():
            return path
    raise AssertionError("unreachable")


class _Trial(Callback):
    """One trial; while it trains, it tells Optuna each epoch's value, and ends where it is worse than the median.

    Args:
        values: setting -> value.
        asked: Optuna's trial.
        key: key of the history by which trials are compared.
        higher: its direction.
    """

    def __init__(self, values: dict[str, Any], asked: Any, key: str, higher: bool) -> None:
        self.values, self.asked, self.key, self.higher = values, asked, key, higher
        self.learner: Learner | None = None
        self.error = ""  # not the exception, which holds all that was in memory
        self.first, self.seconds, self.pruned = 0, 0.0, False

    def run(self, learner: Learner, folder: Path, number: int, epochs: int, left: float | None) -> None:
        """Train; a loss that is not finite, and memory that does not suffice, end this trial alone."""
        began, schedule = time.perf_counter(), self.values.get("schedule", "constant")
        try:
            self.learner = mine = _learner(learner, self.values, folder, number)
            plan = plan_fit(mine, epochs, None, schedule)
            self.first = plan.first
            if "architecture" in self.values:  # a fresh network: what was done to the one before is no part of it
                mine.calls, mine.unrepeatable = [], ""
            elif plan.first:
                mine.unrepeatable = f"tune changed settings after epoch {plan.first}"
            mine.calls = [*mine.calls, FitCall(verb="fit", arguments={"epochs": epochs, "schedule": plain(schedule)}, before=plan.first)]
            run_fit(mine, plan, watching=[self], max_time=left)
            if len(self.found) < epochs:
                mine.unrepeatable = f"tune cut the fit short after epoch {len(mine.history)}"
        except Exception as error:
            if not (_fails_trial(error) or _fails_trial(error.__cause__)):
                raise
            self.error = " ".join(str(error).split()) or type(error).__name__
        self.seconds = round(time.perf_counter() - began, 1)
        if self.interrupted and math.isnan(self.value):  # it has not failed: it was stopped before it had a value
            raise KeyboardInterrupt

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        if self.key not in row:  # an epoch that was not decoded
            return
        self.asked.report(row[self.key], int(row["epoch"]) - self.first)
        if row["epoch"] < module.plan.last and self.asked.should_prune():
            self.pruned = trainer.should_stop = True
            module.stopped = "worse than the median of the trials"

    @property
    def found(self) -> History:
        """The rows of this trial."""
        return History() if self.learner is None else self.learner.history.since(self.first)

    @property
    def value(self) -> float:
        """Its best value, NaN where it has none."""
        best = None if self.error else self.found.best(self.key, higher_is_better=self.higher)
        return float("nan") if best is None else best[self.key]

    @property
    def state(self) -> str:
        return "failed" if math.isnan(self.value) else "interrupted" if self.interrupted else "pruned" if self.pruned else "complete"

    @property
    def reason(self) -> str:
        """Why it failed, in one line."""
        return (self.error or f"no epoch gave {self.key}") if self.state == "failed" else ""

    @property
    def interrupted(self) -> bool:
        return self.learner is not None and self.learner.history.interrupted

    def row(self) -> dict[str, Any]:
        """What the result says of it."""
        return {**self.values, self.key: self.value, "epochs": len(self.found), "seconds": self.seconds, "state": self.state, "reason": self.reason}


def _learner(learner: Learner, values: Mapping[str, Any], folder: Path, number: int) -> Learner:
    """A learner of its own with the values: the network as it is now, or a fresh one of another architecture."""
    trial = with_values(learner, values)
    trial.settings = dataclasses.replace(trial.settings, verbose=False, report=False)
    trial.module = copy.deepcopy(trial.module)
    trial.history = History([] if "architecture" in values else [dict(row) for row in learner.history.rows])
    trial.best_from = len(trial.history)  # what was trained before is not compared
    trial.state_file = trial.trainer = None
    trial.run_folder = RunFolder(folder, f"trial-{number:02}", trial.arguments())
    trial.log_rows = learner.log_rows.beside(trial.run_folder, folder.name, first=number == 1)
    return trial


def _fails_trial(error: BaseException | None) -> bool:
    """Whether an error is of the trial's own values; torch has no type of its own for a CPU's memory."""
    return isinstance(error, (NonFiniteLossError, torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _state(optuna: Any, state: str) -> Any:
    cut = optuna.trial.TrialState.PRUNED  # Optuna then learns from the epochs that there are
    return {"complete": optuna.trial.TrialState.COMPLETE, "pruned": cut, "interrupted": cut}.get(state, optuna.trial.TrialState.FAIL)


def _propose(optuna: Any, study: Any, searched: Mapping[str, Choices | Range], tried: set[tuple[Any, ...]], seed: int) -> tuple[Any, dict[str, Any]]:
    """What Optuna proposes, and its values; in a space that has an end nothing twice: it would train the same once more."""
    of = combinations(searched)
    while True:
        asked = study.ask()
        values = {name: each.suggest(asked, name) for name, each in searched.items()}
        point = tuple(asked.params[name] for name in searched)
        if of is None or point not in tried:
            tried.add(point)
            return asked, values
        study.tell(asked, state=_state(optuna, "failed"))
        study.enqueue_trial(untried(searched, tried, int(np.random.default_rng((seed, len(tried))).integers(of))))


def _discard(trial: _Trial | None) -> None:
    """A trial that is not the best keeps its history and loses its weights: twenty of them would fill a disk."""
    if trial is not None and trial.learner is not None and trial.learner.run_folder.made:
        shutil.rmtree(trial.learner.run_folder.path / "checkpoints", ignore_errors=True)


def _become(learner: Learner, best: Learner) -> None:
    """The learner is the best trial from here on, and goes on logging to those loggers of its own that stayed out of the trials."""
    settings = dataclasses.replace(best.settings, verbose=learner.settings.verbose, report=learner.settings.report)
    own = [each for each in learner._loggers if not isinstance(each, str) and not (isinstance(each, Tracker) and each.anew())]
    learner.__dict__.update({**best.__dict__, "settings": settings, "calling": learner.calling})
    learner.log_rows.given += own


def _leave_pictures(learner: Learner, best: Learner) -> None:
    """What a fit leaves in its folder; loggers had theirs from the trial."""
    best.settings, best.log_rows = learner.settings, LogRows((), best.run_folder)
    if learner.settings.report and best.trainer is not None:
        after_fit(best, best.trainer)


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Trials are told in lines of our own."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_cell(value)}" for name, value in values.items())


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else str(getattr(value, "__name__", value))
