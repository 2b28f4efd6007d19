"""The recipe: loss, metrics, optimizer and their defaults, from names or objects, for a task."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.loggers import Logger
from torch import nn
from torchmetrics import Metric

from fastgpu import optimizers
from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.trackers import TRACKERS
from fastgpu.config import Settings, is_auto
from fastgpu.errors import ArgumentError, UnknownNameError
from fastgpu.nn.adapters import adapt
from fastgpu.tasks import TASKS
from fastgpu.train.module import TaskModule

if TYPE_CHECKING:
    from fastgpu.learner import Learner
    from fastgpu.tasks.base import Task

__all__ = ["check_recipe", "choose_lr", "class_weights", "describe_recipe", "make_module"]


def check_recipe(settings: Settings, callbacks: Sequence[Any], loggers: Sequence[Any]) -> None:
    """Answer misspelt names before any data are read."""
    for each in callbacks:
        as_callback(each)
    for name in loggers:
        if isinstance(name, str):
            TRACKERS[name]
        elif not isinstance(name, Logger):
            raise ArgumentError(f"A logger is a name or a Lightning Logger. {type(name).__name__} came. Known names: {', '.join(TRACKERS)}.")
    places = [each if isinstance(each, str) else _place(each) for each in loggers]
    if twice := [place for place in places if place is not None and places.count(place) > 1]:
        raise ArgumentError(f"Each logger writes to a place of its own. Two write to {twice[0]!r}. Leave one out, or give it another folder.")
    if isinstance(settings.optimizer, str) and settings.optimizer != "auto":
        optimizers.by_name(settings.optimizer)
    known_losses = {name for task in TASKS.values() for name in task.loss_names}
    if isinstance(settings.loss, str) and settings.loss not in ("auto", *known_losses):
        raise UnknownNameError("loss", settings.loss, known_losses)
    known = {name for task in TASKS.values() for name in task.metric_names}
    for name in _list(settings.metrics):
        if isinstance(name, str) and name not in ("auto", *known):
            raise UnknownNameError("metric", name, known)


def _place(logger: Logger) -> Any:
    """Where a logger writes files, None where it does not say; W&B's is not known before its run."""
    return getattr(logger, "log_dir", None)


def choose_lr(settings: Settings) -> float:
    """The learning rate that `"auto"` stands for."""
    if not is_auto(settings.lr):
        return float(settings.lr)
    return optimizers.default_lr(_optimizer(settings))


def describe_recipe(learner: Learner) -> str:
    """What `"auto"` became, in one line."""
    module, settings = make_module(learner), learner.settings
    loss = learner.data.task.default_loss if is_auto(settings.loss) else settings.loss
    optimizer = _optimizer(settings)
    named = [each if isinstance(each, str) else getattr(each, "__name__", type(each).__name__) for each in (loss, optimizer)]
    where = f"{learner.hardware.precision} on {learner.hardware.accelerator}"
    return f"loss: {named[0]}; metrics: {', '.join(module.val_metrics) or 'none'}; optimizer: {named[1]}, lr {learner.lr:g}; {where}"


def make_module(learner: Learner) -> TaskModule:
    """A fresh LightningModule around the learner's network."""
    settings, task, input = learner.settings, learner.data.task, learner.data.input
    preparation = input.preparation()
    if input.channels_last and any(isinstance(m, nn.Conv2d) for m in learner.module.modules()):
        preparation.channels_last = True
        learner.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight_decay = {} if settings.weight_decay is None else {"weight_decay": settings.weight_decay}
    return TaskModule(
        model=adapt(learner.module, input.keys),
        task=task,
        preparation=preparation,
        loss=_loss(settings, task, learner),
        metrics=_metrics(settings, task),
        optimizer=partial(_make_optimizer, _optimizer(settings), weight_decay),
        accumulate=settings.accumulate,
        clip=settings.clip,
        augment=settings.augment,
        seed=settings.seed,
        decode_every=settings.decode_every,
        decode_batches=settings.decode_batches,
    )


def _make_optimizer(maker: Any, options: dict[str, Any], groups: list[dict[str, Any]]) -> Any:
    if isinstance(maker, str) or "lr" in inspect.signature(maker).parameters:
        return optimizers.create(maker, groups, lr=groups[-1]["lr"], **options)
    # A function of the parameters alone has its own learning rate; the groups keep their shares of it.
    made = optimizers.create(maker, [{"params": group["params"]} for group in groups], **options)
    for group, asked in zip(made.param_groups, groups):
        group["lr"] *= asked["lr"] / groups[-1]["lr"]
    return made


def _optimizer(settings: Settings) -> Any:
    return "adamw" if is_auto(settings.optimizer) else settings.optimizer


def _loss(settings: Settings, task: Task, learner: Learner) -> nn.Module:
    if not isinstance(settings.loss, str):
        if settings.class_weight is not None:
            raise ArgumentError("class_weight goes with a loss by name. A loss object came too: give it the weights itself.")
        if not callable(settings.loss):
            raise ArgumentError(f"A loss is a name or something called with (output, target). {type(settings.loss).__name__} came.")
        return settings.loss if isinstance(settings.loss, nn.Module) else _Function(settings.loss)
    name = task.default_loss if settings.loss == "auto" else settings.loss
    return task.loss(name, class_weight=class_weights(settings.class_weight, learner))


class _Function(nn.Module):
    """A loss function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def class_weights(given: Any, learner: Learner) -> tuple[float, ...] | None:
    """`"balanced"`, a dict or a sequence -> one weight a class, in the order of the classes."""
    if given is None:
        return None
    classes = learner.data.classes
    if not classes:
        raise ArgumentError(f"class_weight goes with classes. The task is {learner.data.task.name}. Leave it out.")
    if isinstance(given, str):
        if given != "balanced":
            raise ArgumentError(f"class_weight is 'balanced', a dict class -> weight, or one weight a class. {given!r} came.")
        if "train" not in learner.data.splits:
            return None  # loaded without data: there is nothing to train on either
        counts = learner.data.class_counts().clip(1)
        return tuple(float(w) for w in counts.sum() / (len(counts) * counts))
    if isinstance(given, dict):
        strange = [name for name in given if name not in classes]
        if strange:
            raise UnknownNameError("class in class_weight", strange[0], map(str, classes))
        return tuple(float(given.get(name, 1.0)) for name in classes)
    try:
        weights = tuple(float(w) for w in given)
    except (TypeError, ValueError):
        raise ArgumentError(f"class_weight is 'balanced', a dict class -> weight, or one weight a class. {given!r} came.") from None
    if len(weights) != len(classes):
        raise ArgumentError(f"class_weight needs one weight a class. {len(weights)} came for {len(classes)} classes.")
    return weights


def _metrics(settings: Settings, task: Task) -> dict[str, Metric]:
    wanted = _list(task.default_metrics if is_auto(settings.metrics) else settings.metrics)
    found: dict[str, Metric] = {}
    for each in wanted:
        if not isinstance(each, (str, Metric)):
            raise ArgumentError(f"A metric is a name or a torchmetrics Metric. {type(each).__name__} came. Give for example 'accuracy'.")
        name = each if isinstance(each, str) else _metric_name(each)
        if name in found:
            raise ArgumentError(f"Each metric needs a name of its own in the history. Two are {name!r}. Leave one out, or subclass it.")
        found[name] = task.metric(each) if isinstance(each, str) else each
    return found


def _metric_name(metric: Metric) -> str:
    """`MulticlassF1Score` -> `f1score`."""
    name = type(metric).__name__
    for prefix in ("Multiclass", "Multilabel", "Binary"):
        name = name.removeprefix(prefix)
    return name.lower()


def _list(given: Any) -> list[Any]:
    if isinstance(given, dict):
        raise ArgumentError("metrics is a name, a metric, or a list of them. A dict came. Give the list of its values.")
    return list(given) if isinstance(given, (list, tuple)) else [given]
