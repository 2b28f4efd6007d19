"""Keeping a learner: what is saved, how it comes back, and how a cut-off fit is found again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from fastgpu import zoo
from fastgpu.assemble import architecture_name, open_data
from fastgpu.callbacks.log_rows import with_trackers
from fastgpu.callbacks.trackers.wandb import WandBLogger
from fastgpu.compress.restore import load_weights, take_form
from fastgpu.config import Settings, has_object, several
from fastgpu.data.module import DataModule
from fastgpu.errors import CheckpointError, UnknownKeywordError, nearest
from fastgpu.fit_ending import last_weights
from fastgpu.history import History
from fastgpu.inputs import Input
from fastgpu.saved_files import saved_file
from fastgpu.tasks import Task
from fastgpu.train.checkpoint import Saved, read, write
from fastgpu.train.hardware import choose
from fastgpu.train.module import FitPlan
from fastgpu.zoo.entry import Built

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["facts", "load_learner", "plan_to_resume", "save_learner"]


def facts(learner: Learner, plan: FitPlan | None, weights_epoch: int | None) -> dict[str, Any]:
    """What rebuilds a learner, as plain data.

    Args:
        plan: the fit that runs, None between fits.
        weights_epoch: the epoch whose weights are saved with it.
    """
    saved = dataclasses.asdict(plan) if plan else None
    if saved and not isinstance(saved["schedule"], str):
        saved["schedule"] = {"object": getattr(saved["schedule"], "__name__", "function")}
    return {
        "architecture": learner.architecture,
        "known": learner.from_zoo,
        "network": type(learner.module).__name__,
        "head": learner.head,
        "constants": learner.constants,
        "pretrained": learner.pretrained,
        "frozen": [name for name, p in learner.module.named_parameters() if not p.requires_grad],
        "settings": learner.settings.plain(),
        "data": learner.data.to_dict(),
        "loggers": [each.options if isinstance(each, WandBLogger) else each for each in learner._loggers if isinstance(each, (str, WandBLogger))],
        "source": learner._source,
        "data_named": learner.data_named,
        "history": learner.history.rows,
        "plan": saved,
        "weights_epoch": weights_epoch,
        "epoch_offset": learner.epoch_offset,
        "steps": learner.steps,
        "step_offset": learner.step_offset,
        "best_from": learner.best_from,
        "run_dir": str(learner.run_dir) if learner.run_dir else None,
    }


def save_learner(learner: Learner, path: str | os.PathLike[str]) -> Path:
    """Write a learner into one file; see `Learner.save`."""
    path = Path(path)
    training, weights = None, learner.module.state_dict()
    if learner.state_file is not None and learner.state_file.is_file():
        saved = read(learner.state_file)
        if saved.training is not None:
            training = {**saved.training, "last_weights": learner.changed_weights() or last_weights(saved)}
    write(path, weights, facts(learner, None, learner.weights_epoch), training)
    return path


def load_learner(kind: type[Learner], path: str | os.PathLike[str], data: Any, changes: dict[str, Any]) -> Learner:
    """The learner in a file or run folder; see `Learner.load`."""
    file = saved_file(path, "best")
    saved = read(file)
    # A run's best checkpoint has weights alone; training goes on from the last.
    state_file = saved_file(path, "last") if Path(path).is_dir() else file
    state = saved if state_file == file else read(state_file)
    facts = saved.facts
    architecture = changes.pop("architecture", None)
    callbacks = changes.pop("callbacks", ())
    logger = changes.pop("logger") if "logger" in changes else _loggers(facts.get("loggers", ()), several(callbacks))
    settings, missing = _settings(facts["settings"], changes)
    learner = kind.__new__(kind)
    module = _data(facts["data"], data, settings)
    net = _network(architecture, facts, module, file)
    learner._start(settings, architecture if architecture is not None else facts["architecture"], callbacks, logger)
    learner.architecture, learner.from_zoo, learner.pretrained = facts["architecture"], facts["known"], facts["pretrained"]
    learner.hardware = choose(settings.devices, settings.precision)
    _fill(net, saved, facts, file)
    learner._take(module, Built(net=net, head=tuple(facts["head"]), constants=tuple(facts["constants"])), facts["source"])
    learner.missing, learner.data_named = missing, facts.get("data_named", False)
    learner.history = History(state.facts["history"])
    learner.state_file = state_file if state.training is not None else None
    learner.epoch_offset = state.facts["epoch_offset"]
    learner.steps, learner.step_offset = state.facts.get("steps", 0), state.facts.get("step_offset", 0)
    learner.best_from = state.facts.get("best_from", 0)
    learner.weights_epoch = facts["weights_epoch"]
    learner.remember_weights()
    return learner


def plan_to_resume(learner: Learner, resume: bool | str | os.PathLike[str]) -> FitPlan:
    """Take up a fit that was cut off: its weights, state and history; returns what is left of it."""
    folder = _newest_run(learner) if resume is True else Path(str(resume))
    file = saved_file(folder, "last")
    saved = read(file)
    if saved.facts["architecture"] != learner.architecture:
        raise CheckpointError(
            f"A fit is resumed by its own architecture. {file} is of {saved.facts['architecture']!r}, this learner of {learner.architecture!r}."
        )
    done = len(saved.facts["history"])
    if not saved.facts["plan"] or (saved.training is None and done):
        raise CheckpointError(f"A fit is resumed from a run's checkpoints/last. {file} holds no unfinished fit. Call fit without resume.")
    plan = FitPlan(**{**saved.facts["plan"], "lr_shares": tuple(saved.facts["plan"]["lr_shares"])})
    if isinstance(plan.schedule, dict):
        raise CheckpointError(f"A schedule that is a function is not saved. Train the {plan.last - done} epochs left with fit(..., schedule=...).")
    if done >= plan.last:
        raise CheckpointError(
            f"There is nothing to resume: {file} is of a fit that ended, {done} of {plan.last} epochs. "
            "Learner.load(run, data).fit(epochs) trains it further."
        )
    _fill(learner.module, Saved(last_weights(saved), saved.facts, None), saved.facts, file)
    learner.history = History(saved.facts["history"])
    learner.state_file = file if saved.training is not None else None  # none where no epoch was whole
    learner.epoch_offset = saved.facts["epoch_offset"]
    learner.steps, learner.step_offset = saved.facts.get("steps", 0), saved.facts.get("step_offset", 0)
    learner.best_from = saved.facts.get("best_from", 0)
    learner.weights_epoch = saved.facts["weights_epoch"]
    learner.run_folder.go_on_in(file.parent.parent)
    learner.remember_weights()
    learner.unrepeatable = f"a fit was resumed after epoch {done}"
    learner.say(f"resume: {done} of {plan.last} epochs are done in {file.parent.parent}; epochs and schedule are those of that fit")
    return plan


def _newest_run(learner: Learner) -> Path:
    runs = [p.parent.parent for p in Path(learner.settings.out).glob("*/checkpoints/last")]
    mine = [run for run in runs if run.name == learner.run_folder.name or run.name.rpartition("-")[0] == learner.run_folder.name]
    if not mine:
        raise CheckpointError(
            f"resume=True takes the newest run of {learner.run_folder.name!r}. There is none in {learner.settings.out!r}. "
            "Give the run's folder, or leave it out."
        )
    return max(mine, key=lambda run: (run / "checkpoints" / "last").stat().st_mtime)


def _settings(saved: dict[str, Any], changes: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for name in changes:
        if name not in fields:
            near = nearest(name, fields)
            advice = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise UnknownKeywordError(f"Learner.load does not take {name!r}.{advice}")
    values = {name: value for name, value in saved.items() if name in fields} | changes
    objects = {name: json.dumps(v) for name, v in values.items() if name not in changes and has_object(v)}
    for name in objects:
        values[name] = fields[name].default
    # Without these a loss cannot be computed; a tokenizer is saved with the input, a strategy has a good default.
    missing = {name: what for name, what in objects.items() if name in ("loss", "metrics", "optimizer", "class_weight")}
    return Settings(**values), missing


def _loggers(saved: Sequence[Any], callbacks: Sequence[Any]) -> list[Any]:
    """Loggers as they were; one of W&B's, of which the settings are saved, gives way to such a one among the callbacks."""
    made = [WandBLogger(**each) if isinstance(each, dict) else each for each in saved]
    given = [_kind(each) for each in with_trackers(callbacks, ())[1]]
    return [each for each in made if _kind(each) not in given]


def _kind(logger: Any) -> Any:
    return "wandb" if isinstance(logger, WandBLogger) else logger


def _data(saved: dict[str, Any], data: Any, settings: Settings) -> DataModule:
    input, task = Input.from_dict(saved["input"]), Task.from_dict(saved["task"])
    if data is not None:
        settings = dataclasses.replace(settings, task=task.name)
        return open_data(data, settings, input=input, task=task)[0]
    return DataModule(
        name=saved["name"],
        input=input,
        task=task,
        splits={},
        origin=saved["origin"],
        notes=tuple(saved["notes"]),
        batch_size=saved["batch_size"],
        seed=saved["seed"],
    )


def _network(architecture: Any, facts: dict[str, Any], data: DataModule, file: Path) -> nn.Module:
    if isinstance(architecture, nn.Module):
        return architecture
    if architecture is not None and architecture_name(architecture) != facts["architecture"]:
        raise CheckpointError(f"{file} was saved from {facts['architecture']!r}. {architecture!r} was asked for. Leave architecture= out.")
    if not facts["known"]:
        raise CheckpointError(
            f"{file} was saved from a network of your own, {facts['network']}, whose code is not in the file. "
            f"Give it: Learner.load(path, architecture={facts['network']}(...))."
        )
    pretrained = "layout" if facts["pretrained"] else False
    return zoo.build(facts["architecture"], data.input.facts(), data.task.facts(), pretrained).net


def _fill(net: nn.Module, saved: Saved, facts: dict[str, Any], file: Path) -> None:
    kinds = {t.dtype for t in saved.weights.values() if t.is_floating_point()}
    if len(kinds) == 1:
        net.to(kinds.pop())  # a network trained in float64 comes back in float64
    take_form(net, saved.weights)
    own = net.state_dict()
    wrong = sorted(set(own) ^ set(saved.weights)) or [k for k, v in own.items() if v.shape != saved.weights[k].shape]
    if wrong:
        raise CheckpointError(
            f"A checkpoint goes into the network that it was saved from, {facts['architecture']!r} ({facts['network']}). "
            f"{file} and this {type(net).__name__} differ in {len(wrong)} weights, for example {wrong[0]}."
        )
    load_weights(net, saved.weights)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in facts["frozen"])

