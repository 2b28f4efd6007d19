"""Assembly: from an architecture and data, in whatever form they came, to a network and a DataModule that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.utils.data import Dataset, random_split

from fastgpu import zoo
from fastgpu.config import KIND_OPTIONS, SOURCE_OPTIONS, Settings
from fastgpu.data import sources
from fastgpu.data.infer import infer_task
from fastgpu.data.module import DataModule, from_raw, from_ready
from fastgpu.data.raw import Raw
from fastgpu.data.ready import Ready
from fastgpu.errors import ArgumentError, DataError
from fastgpu.inputs import INPUTS, Input
from fastgpu.tasks import TASKS, Task
from fastgpu.train.reproducible import own_randomness
from fastgpu.zoo.entry import Built

__all__ = ["architecture_name", "assemble", "build_network", "open_data"]


def assemble(architecture: str | nn.Module, data: Any, settings: Settings) -> tuple[DataModule, Built, list[str]]:
    """Recognise, check, fit and build; nothing is written.

    Returns:
        The data, the network, and what each `"auto"` became, one line each.
    """
    entry = _entry(architecture)  # a misspelt name is answered before any data are read
    kinds: tuple[str, ...] = ()
    if settings.task != "auto":
        TASKS[settings.task]
    if entry is not None:
        kinds = entry.inputs
        brought = {name: value for name, value in entry.settings.items() if getattr(settings, name) is None}
        settings = dataclasses.replace(settings, **brought)
        if settings.task != "auto":
            zoo.check_task(entry, settings.task)
        elif len(entry.tasks) == 1:
            settings = dataclasses.replace(settings, task=entry.tasks[0])
    size = _size(settings.image_size) or (entry.size if entry else None)
    with own_randomness(settings.seed):
        module, notes = open_data(data, settings, size=size, kinds=kinds)
    with own_randomness(settings.seed):
        built = build_network(architecture, module, settings.pretrained)
    return module, built, [*notes, *module.notes, *built.notes]


def open_data(
    data: Any,
    settings: Settings,
    *,
    size: tuple[int, int] | None = None,
    kinds: tuple[str, ...] = (),
    input: Input | None = None,
    task: Task | None = None,
) -> tuple[DataModule, list[str]]:
    """Data in any accepted form -> a DataModule.

    Args:
        size: `(height, width)` that the architecture asks for.
        kinds: input kinds that the architecture takes; empty: any.
        input: an input kind that was fitted before; None: it is fitted to the training split.
        task: a task that was fitted before; None: likewise.
    """
    if input is not None:
        kinds = (input.kind,)
    source = sources.load(
        data,
        target=settings.target,
        task=None if settings.task == "auto" else settings.task,
        kinds=kinds,
        columns=settings.columns,
        window=settings.window if input is None else getattr(input, "window", None),
        stride=settings.stride,
        image_size=_size(settings.image_size),
        on_bad_item=settings.on_bad_item,
        data_dir=settings.data_dir,
    )
    notes: list[str] = []
    if isinstance(source, Ready):
        return _from_ready(source, settings, task, notes), notes
    name = settings.task if settings.task != "auto" else source.task or infer_task(source)
    if settings.task == "auto":
        notes.append(f"task: {name}")
    kind = TASKS[name]
    if kind.kinds and source.kind not in kind.kinds:
        raise ArgumentError(f"task={name!r} takes {' or '.join(kind.kinds)} data. {source.name} holds {source.kind} data. Choose another task.")
    source = _with_targets(source, kind)
    if task is None:
        classes = kind.classes_in(np.asarray(source.splits["train"].y), source.classes, source.target)
        source = dataclasses.replace(source, classes=classes)
    elif source.classes is not None:
        source = _counted_as(source, source.classes, task)
    source = _with_validation(source, kind, settings, notes)
    input, task = _fitted(source, kind, settings, size, input, task)
    batch_size = _batch_size(settings, len(source.splits["train"]), notes)
    module = from_raw(
        source, input=input, task=task, on_bad_item=settings.on_bad_item, batch_size=batch_size, seed=settings.seed
    )
    return module, notes


def _fitted(
    source: Raw, kind: type[Task], settings: Settings, size: tuple[int, int] | None, input: Input | None, task: Task | None
) -> tuple[Input, Task]:
    """Input and task as they came, else fitted to the training split."""
    train = source.splits["train"]
    targets = np.asarray(train.y)
    if input is not None and input.kind != source.kind:
        raise DataError(f"This learner takes data of the kind {input.kind!r}. {source.name} is of the kind {source.kind!r}.")
    options: dict[str, Any] = {}
    if input is None:
        of_input, options = _options(settings, INPUTS[source.kind], kind)
        input = INPUTS[source.kind].fit(train.x, size=size, **of_input, **kind.input_options(targets))
    return input, task or kind.fit(targets, classes=source.classes, target=source.target, input=input, **options)


def _options(settings: Settings, input: type[Input], task: type[Task]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings that only some input kinds and tasks take: those given, for this kind and for this task.

    Raises:
        ArgumentError: one was given that neither takes.
    """
    given = {name: value for name in KIND_OPTIONS if (value := getattr(settings, name)) is not None}
    for name in given:
        if name not in (*input.options, *task.options, *SOURCE_OPTIONS):
            who = [*(f"{k} data" for k, each in INPUTS.items() if name in each.options), *(k for k, each in TASKS.items() if name in each.options)]
            raise ArgumentError(f"{name}= goes with {' or '.join(who)}. These are {input.kind} data for {task.name}. Leave it out.")
    return {k: v for k, v in given.items() if k in input.options}, {k: v for k, v in given.items() if k in task.options}


def _with_targets(raw: Raw, task: type[Task]) -> Raw:
    """The source, checked for targets; where the task learns without, items count as 0, normal."""
    bare = [name for name, items in raw.splits.items() if items.y is None]
    if "train" in bare and task.needs_targets:
        raise DataError(f"Training needs targets. {raw.name} has none. Give target='column', or (x, y).")
    if task.needs_targets:
        return raw
    filled = {name: dataclasses.replace(raw.splits[name], y=np.zeros(len(raw.splits[name]), np.int64)) for name in bare}
    return dataclasses.replace(raw, splits={**raw.splits, **filled})


def _counted_as(raw: Raw, classes: tuple[str | int, ...], task: Task) -> Raw:
    """The source with the class numbers of a task that was fitted before: those data may count their classes in another order."""
    splits = {
        name: items if items.y is None else dataclasses.replace(items, y=task.renumbered(items.y, classes))
        for name, items in raw.splits.items()
    }
    return dataclasses.replace(raw, splits=splits, classes=task.names)


def build_network(architecture: str | nn.Module, data: DataModule, pretrained: bool | str) -> Built:
    """The network for these data; the data's input takes over what the network declares (size, mean, deviation)."""
    if isinstance(architecture, str):
        built = zoo.build(architecture, data.input.facts(), data.task.facts(), pretrained)
    else:
        built = zoo.wrap(architecture)
    if built.declares and data.input.kind != "tensors":  # a loader of the user's own gives what it gives
        data.input = data.input.declared(built.declares)
    return built


def architecture_name(architecture: str | nn.Module) -> str:
    """Name for the run folder and the checkpoint."""
    return architecture if isinstance(architecture, str) else type(architecture).__name__


def _entry(architecture: Any) -> Any:
    if isinstance(architecture, str):
        return zoo.find(architecture)[1]
    if not isinstance(architecture, nn.Module):
        raise ArgumentError(
            f"An architecture is a name of the zoo or a torch.nn.Module. {type(architecture).__name__} came. "
            "Give for example 'resnet18'; fastgpu.zoo.list_models() lists the names."
        )
    return None


def _size(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    pair = (given, given) if isinstance(given, int) else tuple(given)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ArgumentError(f"image_size is a number of pixels or (height, width). {given!r} came. Give for example image_size=128.")
    return pair[0], pair[1]


def _with_validation(raw: Raw, task: type[Task], settings: Settings, notes: list[str]) -> Raw:
    if "val" in raw.splits or not settings.validation_split:
        return raw
    kept, held, said = task.split(raw.splits["train"], settings.validation_split, settings.seed)
    notes += said
    return dataclasses.replace(raw, splits={**raw.splits, "train": kept, "val": held})


def _batch_size(settings: Settings, items: int, notes: list[str]) -> int:
    """`"auto"`: a power of two that gives at least 20 steps an epoch, 8 to 64."""
    if settings.batch_size != "auto":
        return int(settings.batch_size)
    size = 64
    while size > 8 and items // size < 20:
        size //= 2
    notes.append(f"batch_size: {size}")
    return size


def _from_ready(source: Ready, settings: Settings, fitted: Task | None, notes: list[str]) -> DataModule:
    splits: dict[str, Any] = dict(source.splits)
    if source.datamodule is not None:
        splits = _loaders_of(source.datamodule)
    if "train" not in splits:
        raise DataError(f"Training needs a train loader. {source.name} gives: {', '.join(splits) or 'none'}.")

    def fit_task(targets: np.ndarray) -> Task:
        if fitted is not None:
            return fitted
        name = settings.task
        if name == "auto":
            name = "regression" if targets.dtype.kind == "f" else "multilabel" if targets.ndim == 2 else "classification"
            notes.append(f"task: {name}")
        # A network for class numbers has an output for each number up to the largest.
        numbers = tuple(range(int(targets.max()) + 1)) if targets.dtype.kind in "iu" and targets.ndim == 1 else None
        return TASKS[name].fit(targets, classes=numbers if name == "classification" else None)

    if "val" not in splits and settings.validation_split and isinstance(splits["train"], Dataset) and _length(splits["train"]) > 1:
        held = max(1, round(_length(splits["train"]) * settings.validation_split))
        parts = (_length(splits["train"]) - held, held)
        splits["train"], splits["val"] = random_split(splits["train"], parts, torch.Generator().manual_seed(settings.seed))
        notes.append(f"validation: {held:,} of {sum(parts):,} training items split off, at random, seed {settings.seed}")
    size = _given_batch_size(splits["train"]) or _batch_size(settings, _length(splits["train"]), notes)
    ready = dataclasses.replace(source, splits=splits, datamodule=None)
    return from_ready(ready, fit_task=fit_task, workers=settings.workers, batch_size=size, seed=settings.seed)


def _given_batch_size(train: Any) -> int | None:
    return getattr(train, "batch_size", None)


def _length(train: Any) -> int:
    try:
        return len(train)
    except TypeError:
        return 0


def _loaders_of(module: LightningDataModule) -> dict[str, Any]:
    module.prepare_data()
    module.setup("fit")
    splits: dict[str, Any] = {}
    makers: dict[str, Callable[[], Any]] = {"train": module.train_dataloader, "val": module.val_dataloader}
    for name, make in makers.items():
        try:
            loader = make()
        except Exception as error:
            # Lightning's base class raises one of its own for a hook that was not written.
            if "not implemented" not in str(error) and "must be implemented" not in str(error):
                raise
            continue
        if loader is not None and not (isinstance(loader, (list, tuple)) and not loader):
            splits[name] = loader
    return splits
