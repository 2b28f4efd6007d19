"""Judging a learner: evaluate, predict, summary."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fastgpu.assemble import open_data
from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.data.module import DataModule
from fastgpu.data.raw import SPLITS
from fastgpu.data.split import ColumnSplit, LoaderSplit, Split
from fastgpu.errors import DataError
from fastgpu.results import Results
from fastgpu.train.module import TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.reproducible import own_randomness
from fastgpu.train.trainer import make_trainer, quiet

if TYPE_CHECKING:
    from lightning.pytorch.utilities.model_summary.model_summary import ModelSummary

    from fastgpu.learner import Learner

__all__ = ["evaluate", "predict", "run_predict", "summary"]


def evaluate(learner: Learner, data: Any = None) -> dict[str, float]:
    """Loss and metrics on data; see `Learner.evaluate`."""
    learner.refuse_missing()
    split = _split_to_judge(learner, data)
    module = learner.task_module()
    head = split.head(2)
    check_batch(module, head)
    _run(learner, module, split, "validate")
    return {key.removeprefix("val_"): value for key, value in module.val_row.items()}


def predict(learner: Learner, items: Any = None) -> Results:
    """Decoded predictions of raw items, in the order given; see `Learner.predict`."""
    split = _split_to_predict(learner, items)
    if not len(split) and not isinstance(split, LoaderSplit):
        raise DataError("predict needs at least one item. None came.")
    predictions = run_predict(learner, split)
    columns = learner.data.task.columns(predictions)

    def draw(axes: Any, i: int) -> None:
        learner.data.input.draw(axes, _columns(split, len(next(iter(predictions.values())))), i)

    return Results(columns, names=learner.data.task.names, draw=draw, title=lambda i: learner.data.task.title(columns, i))


def run_predict(learner: Learner, split: Split) -> dict[str, Tensor]:
    """Decoded predictions as tensors on the CPU."""
    module = learner.task_module()
    outs = _run(learner, module, split, "predict")
    # Out of inference mode, so that users may do as they like with them.
    decoded = {key: torch.cat([out[key] for out in outs]).cpu().clone() for key in outs[0]}
    # Items of like length came together; back to the order given.
    lengths = split.x.lengths if isinstance(split, ColumnSplit) else None
    if lengths is not None:
        back = lengths.argsort(stable=True).argsort()
        decoded = {key: value[back] for key, value in decoded.items()}
    return decoded


def summary(learner: Learner, depth: int) -> ModelSummary:
    """Lightning's model summary of the network, with shapes from real items where there are any."""
    from lightning.pytorch.utilities.model_summary.model_summary import ModelSummary

    shown = _Shown(learner.module)
    split = next(iter(learner.data.splits.values()), None)
    if split is not None:
        module, like = learner.task_module(), next(learner.module.parameters())
        x = {k: v.to(like.device) for k, v in split.head(2)["x"].items()}
        prepared = module.preparation.to(like.device)(x)
        shown.example_input_array = tuple(
            prepared[k].to(like.dtype) if prepared[k].is_floating_point() else prepared[k] for k in learner.data.input.keys if k in prepared
        )
    with quiet(), own_randomness():
        return ModelSummary(shown, max_depth=depth)


class _Shown(LightningModule):
    """The network alone, in the form that Lightning's summary takes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *x: Tensor) -> Any:
        return self.net(*x)


def _run(learner: Learner, module: TaskModule, split: Split, what: str) -> Any:
    loader = split.loader(learner.data.batch_size, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
    trainer = make_trainer(learner.hardware, strategy=learner.settings.strategy)
    learner.trainer = trainer
    with own_randomness(), quiet():
        return getattr(trainer, what)(module, **{"dataloaders": loader, **({"verbose": False} if what == "validate" else {})})


def _split_to_judge(learner: Learner, data: Any) -> Split:
    if data is None:
        return learner.data.judged()
    if isinstance(data, str) and data in SPLITS:
        return learner.data.split(data)
    if isinstance(data, (DataLoader, Dataset)):
        return _of_loader(learner, LoaderSplit(data, learner.data.task.encode))
    opened = open_raw(learner, data)
    for note in opened.notes:
        learner.say(note)
    return opened.split(next(name for name in ("test", "val", "train") if name in opened.splits))


def _of_loader(learner: Learner, split: LoaderSplit) -> Split:
    """A loader's items in the form that this learner was trained on."""
    input = learner.data.input
    if input.kind == "tensors":
        return split
    batches = list(split.loader(learner.data.batch_size, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1))
    if not batches:
        raise DataError("A loader must yield at least one batch. It yielded none. Check its data set.")
    x = torch.cat([next(iter(batch["x"].values())) for batch in batches])
    y = {key: torch.cat([batch["y"][key] for batch in batches]) for key in batches[0]["y"]}
    return ColumnSplit(input.encode(input.as_items(x)), TensorColumns(y) if y else None)


def open_raw(learner: Learner, data: Any) -> DataModule:
    """Other data for this learner, with the input kind and task that it was fitted to."""
    settings = dataclasses.replace(learner.settings, task=learner.data.task.name, validation_split=None)
    if not isinstance(data, (str, os.PathLike)) and not hasattr(data, "columns"):
        settings = dataclasses.replace(settings, target=None)  # arrays have no columns to name
    return open_data(data, settings, input=learner.data.input, task=learner.data.task)[0]


def _split_to_predict(learner: Learner, items: Any) -> Split:
    if items is None:
        return learner.data.judged()
    if isinstance(items, str) and items in SPLITS:
        return learner.data.split(items)
    if isinstance(items, (DataLoader, Dataset)):
        return _of_loader(learner, LoaderSplit(items))
    input = learner.data.input
    return ColumnSplit(input.encode(input.as_items(items)), None)


def _columns(split: Split, n: int) -> Columns:
    if isinstance(split, ColumnSplit):
        return split.x
    return TensorColumns(split.head(n)["x"])
