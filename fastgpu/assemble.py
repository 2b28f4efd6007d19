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
from fastgpu.config import Settings
from fastgpu.data import sources
from fastgpu.data.infer import infer_task
from fastgpu.data.module import DataModule, from_raw, from_ready
from fastgpu.data.raw import Raw
from fastgpu.data.ready import Ready
from fastgpu.data.splits import split
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
    if settings.task != "auto":
        TASKS[settings.task]
    size = _size(settings.image_size) or (entry.size if entry else None)
    with own_randomness(settings.seed):
        module, notes = open_data(data, settings, size=size)
    with own_randomness(settings.seed):
        built = build_network(architecture, module, settings.pretrained)
    return module, built, [*notes, *module.notes, *built.notes]


def open_data(
    data: Any, settings: Settings, *, size: tuple[int, int] | None = None, input: Input | None = None, task: Task | None = None
) -> tuple[DataModule, list[str]]:
    """Data in any accepted form -> a DataModule.

    Args:
        size: `(height, width)` that the architecture asks for.
        input: an input kind that was fitted before; None: it is fitted to the training split.
        task: a task that was fitted before; None: likewise.
    """
    source = sources.load(
        data,
        target=settings.target,
        task=None if settings.task == "auto" else settings.task,
        image_size=_size(settings.image_size),
        on_bad_item=settings.on_bad_item,
        data_dir=settings.data_dir,
    )
    notes: list[str] = []
    if isinstance(source, Ready):
        return _from_ready(source, settings, task, notes), notes
    task_name = settings.task if settings.task != "auto" else source.task or infer_task(source)
    if settings.task == "auto":
        notes.append(f"task: {task_name}")
    targets = source.splits["train"].y
    if targets is None:
        raise DataError(f"Training needs targets. {source.name} has none. Give target='column', or (x, y).")
    classes = source.classes
    if task is None:
        # Before our own split: a class of few items may fall into the held-out part alone.
        classes = getattr(TASKS[task_name].fit(targets, classes=classes, target=source.target), "classes", None)
    source = _with_validation(source, task_name, settings, notes)
    train = source.splits["train"]
    task = task or TASKS[task_name].fit(np.asarray(train.y), classes=classes, target=source.target)
    options: dict[str, Any] = {"tokenizer": settings.tokenizer} if settings.tokenizer is not None else {}
    if options and source.kind != "text":
        raise ArgumentError(f"tokenizer= goes with text. These data are of the kind {source.kind!r}. Leave it out.")
    if input is not None and input.kind != source.kind:
        raise DataError(f"This learner takes data of the kind {input.kind!r}. {source.name} is of the kind {source.kind!r}.")
    input = input or INPUTS[source.kind].fit(train.x, size=size, **options)
    batch_size = _batch_size(settings, len(train), notes)
    module = from_raw(
        source, input=input, task=task, on_bad_item=settings.on_bad_item, batch_size=batch_size, seed=settings.seed
    )
    return module, notes


def build_network(architecture: str | nn.Module, data: DataModule, pretrained: bool | str) -> Built:
    """The network for these data; the data's input takes over what the network declares (size, mean, deviation)."""
    facts, outputs = data.input.facts(), data.task.outputs
    if isinstance(architecture, str):
        built = zoo.build(architecture, facts, outputs, pretrained)
    else:
        built = zoo.wrap(architecture, facts, outputs)
    declared: dict[str, Any] = {}
    if built.size is not None:
        declared["network_size"] = tuple(built.size)
    if built.mean is not None and built.std is not None:
        declared |= {"mean": tuple(built.mean), "std": tuple(built.std)}
    if declared and data.input.kind == "image":
        data.input = _replaced(data.input, declared)
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


def _replaced(input: Input, declared: dict[str, Any]) -> Input:
    return dataclasses.replace(input, **declared)


def _size(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    pair = (given, given) if isinstance(given, int) else tuple(given)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ArgumentError(f"image_size is a number of pixels or (height, width). {given!r} came. Give for example image_size=128.")
    return pair[0], pair[1]


def _with_validation(raw: Raw, task: str, settings: Settings, notes: list[str]) -> Raw:
    if "val" in raw.splits or not settings.validation_split:
        return raw
    kept, held, said = split(
        raw.splits["train"], settings.validation_split, settings.seed, stratify=TASKS[task].stratify
    )
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
