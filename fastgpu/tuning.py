"""Tuning: trials with settings that Optuna proposes; the learner becomes the best of them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, Trainer

from fastgpu.assemble import architecture_name, build_network
from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.config import plain
from fastgpu.errors import ArgumentError, NonFiniteLossError
from fastgpu.fitting import plan_fit, run_fit
from fastgpu.history import History
from fastgpu.optional import require
from fastgpu.recipe import choose_lr, class_weights, make_module
from fastgpu.report.repeating import FitCall
from fastgpu.reporting import write_report
from fastgpu.train.hardware import choose
from fastgpu.train.reproducible import own_randomness
from fastgpu.tuning_space import OF_SETTINGS, check_space

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
        trials: one dict a trial: `trial` (its number from 1), the settings, `key`'s best value, `epochs`, `seconds`, and `state`:
            `"complete"`, `"pruned"` (cut short, since it was worse than the median) or `"failed"` (the loss was not finite, or
            the memory too small).
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
        columns = ("trial", *self._settings, self.key, "epochs", "seconds", "state")
        for name in columns:
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
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
    began, folder, result = time.monotonic(), _folder(learner), None
    with _quiet(optuna):
        study = optuna.create_study(
            direction="maximize" if higher else "minimize",
            sampler=optuna.samplers.TPESampler(seed=learner.settings.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_WHOLE, n_warmup_steps=2),
        )
        result, best = TuneResult(key, tuple(searched), study), None
        for number in range(1, trials + 1):
            left = None if max_time is None else max_time - (time.monotonic() - began)
            if left is not None and left <= 0:
                learner.say(f"tune: max_time is over after {number - 1} of {trials} trials")
                break
            asked = study.ask()
            values = {name: each.suggest(asked, name) for name, each in searched.items()}
            trial = _trial(learner, values, folder, number)
            row, state = _train(trial, values, asked, epochs, left, key, higher)
            study.tell(asked, row[key] if state == "complete" else None, state=_state(optuna, state))
            result.trials.append({"trial": number, **row})
            if row[key] == row[key] and (best is None or (row[key] > result.value) == higher and row[key] != result.value):
                _discard(best)
                best, result.best, result.value = trial, values, row[key]
            else:
                _discard(trial)
            learner.say(f"trial {number}/{trials}: {_shown(values)}: {key} {_cell(row[key])}, {state} (best {_cell(result.value)})")
            if trial.history.interrupted:
                learner.say("tune: interrupted; the best of the trials so far is kept")
                break
    if best is not None:
        _become(learner, best)
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


def _trial(learner: Learner, values: Mapping[str, Any], folder: Path, number: int) -> Learner:
    """A learner of its own with the values: the network as it is now, or a fresh one of another architecture."""
    trial = copy.copy(learner)
    mine = {name: value for name, value in values.items() if name in OF_SETTINGS}
    trial.settings = dataclasses.replace(learner.settings, **mine, verbose=False, report=False)
    trial.hardware = choose(trial.settings.devices, trial.settings.precision) if "precision" in mine else learner.hardware
    trial.data = copy.copy(learner.data)
    if isinstance(trial.settings.batch_size, int):
        trial.data.batch_size = trial.settings.batch_size
    if "architecture" in values:
        with own_randomness(trial.settings.seed):
            built = build_network(values["architecture"], trial.data, trial.settings.pretrained)
        trial.module, trial.head, trial.constants, trial.pretrained = built.net, built.head, built.constants, built.pretrained
        trial.architecture, trial.from_zoo = architecture_name(values["architecture"]), isinstance(values["architecture"], str)
    else:
        trial.module = copy.deepcopy(learner.module)
    if isinstance(trial.settings.class_weight, dict):
        weights = class_weights(trial.settings.class_weight, trial)
        trial.settings = dataclasses.replace(trial.settings, class_weight=weights)
    trial.lr = choose_lr(trial.settings)
    trial.history = History([] if "architecture" in values else [dict(row) for row in learner.history.rows])
    trial.best_from = len(trial.history)  # what was trained before is not compared
    trial.state_file = trial.trainer = None
    trial.run_folder = RunFolder(folder, f"trial-{number:02}", trial.arguments())
    trial.log_rows = learner.log_rows.beside(trial.run_folder, folder.name, first=number == 1)
    make_module(trial)  # a combination that cannot be is answered before it trains
    return trial


class _Report(Callback):
    """Tells Optuna each epoch's value, and ends a trial that is worse than the median."""

    def __init__(self, asked: Any, key: str, first: int) -> None:
        self.asked, self.key, self.first, self.pruned = asked, key, first, False

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        self.asked.report(row[self.key], int(row["epoch"]) - self.first)
        if row["epoch"] < module.plan.last and self.asked.should_prune():
            self.pruned = trainer.should_stop = True
            module.stopped = "worse than the median of the trials"


def _train(
    trial: Learner, values: Mapping[str, Any], asked: Any, epochs: int, left: float | None, key: str, higher: bool
) -> tuple[dict[str, Any], str]:
    """Train a trial: its row of the result, and how it ended."""
    schedule = values.get("schedule", "constant")
    plan = plan_fit(trial, epochs, None, schedule)
    if "architecture" in values:  # a fresh network: what was done to the one before is no part of it
        trial.calls, trial.unrepeatable = [], ""
    elif plan.first:
        trial.unrepeatable = f"tune changed settings after epoch {plan.first}"
    trial.calls = [*trial.calls, FitCall(verb="fit", arguments={"epochs": epochs, "schedule": plain(schedule)}, before=plan.first)]
    report, began, failed = _Report(asked, key, plan.first), time.perf_counter(), False
    try:
        run_fit(trial, plan, callbacks=[report], max_time=left)
    except (NonFiniteLossError, torch.OutOfMemoryError):
        failed = True
    found = trial.history.since(plan.first)
    if report.pruned or (left is not None and len(found) < epochs):
        trial.unrepeatable = f"tune cut the fit short after epoch {plan.first + len(found)}"
    best = found.best(key, higher_is_better=higher)
    state = "failed" if failed or best is None else "pruned" if report.pruned else "complete"
    value = float("nan") if failed or best is None else best[key]
    row = {**values, key: value, "epochs": len(found), "seconds": round(time.perf_counter() - began, 1), "state": state}
    return row, state


def _state(optuna: Any, state: str) -> Any:
    return {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}.get(state, optuna.trial.TrialState.FAIL)


def _discard(trial: Learner | None) -> None:
    """A trial that is not the best keeps its history and loses its weights: twenty of them would fill a disk."""
    if trial is not None and trial.run_folder.made:
        shutil.rmtree(trial.run_folder.path / "checkpoints", ignore_errors=True)


def _become(learner: Learner, best: Learner) -> None:
    settings = dataclasses.replace(best.settings, verbose=learner.settings.verbose, report=learner.settings.report)
    learner.__dict__.update({**best.__dict__, "settings": settings, "calling": learner.calling})
    if settings.report:
        write_report(learner, None)


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
