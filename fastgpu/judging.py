"""Judging a learner: evaluate, predict, summary."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fastgpu.answers.presenting import as_results
from fastgpu.assemble import open_data
from fastgpu.callbacks.progress import Progress
from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.data.loaders import like
from fastgpu.data.module import DataModule
from fastgpu.data.raw import SPLITS
from fastgpu.data.sources import list_names
from fastgpu.data.split import ColumnSplit, LoaderSplit, Split
from fastgpu.errors import DataError, UnknownNameError
from fastgpu.results import Results
from fastgpu.tasks.base import joined
from fastgpu.train.module import TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.reproducible import own_randomness
from fastgpu.train.trainer import interruptible, make_trainer, quiet

if TYPE_CHECKING:
    from lightning.pytorch.utilities.model_summary.model_summary import ModelSummary

    from fastgpu.learner import Learner

__all__ = ["evaluate", "in_order", "predict", "recommend", "run_predict", "split_to_judge", "summary"]


def evaluate(learner: Learner, data: Any = None) -> dict[str, float]:
    """Loss and metrics on data; see `Learner.evaluate`."""
    learner.refuse_missing()
    split = split_to_judge(learner, data)
    module = learner.task_module()
    head = split.head(2)
    check_batch(module, head)
    _run(learner, module, split, "validate")
    return {key.removeprefix("val_"): value for key, value in module.val_row.items()}


def predict(learner: Learner, items: Any = None) -> Results:
    """Decoded predictions of raw items, in the order given; see `Learner.predict`."""
    split, raw = _split_to_predict(learner, items)
    began = time.perf_counter()
    predictions = run_predict(learner, split)
    task, input = learner.data.task, learner.data.input
    columns = task.columns(predictions)
    speed = len(next(iter(columns.values()))) / (time.perf_counter() - began)
    if isinstance(split, ColumnSplit):
        columns |= split.x.origins()

    def draw(axes: Any, i: int) -> None:
        input.draw(axes, _columns(split, len(next(iter(predictions.values())))), i)
        task.draw(axes, columns, i)

    if hasattr(raw, "frames_per_second"):
        learner.say(f"{raw}: {len(raw):,} frames at {raw.frames_per_second:.3g} a second; predicted {speed:.3g} frames a second")
    return as_results(task, input, columns, raw, draw=draw, speed=speed)


def run_predict(learner: Learner, split: Split) -> dict[str, Any]:
    """Predictions on the CPU, in the order of the items: tensors, or lists of one value an item."""
    module = learner.task_module()
    return in_order(split, joined(_run(learner, module, split, "predict")))


def in_order(split: Split, predictions: dict[str, Any]) -> dict[str, Any]:
    """What came from the split's loader, in the order of its items: those of like length came together."""
    lengths = split.x.lengths if isinstance(split, ColumnSplit) else None
    if lengths is None:
        return predictions
    back = lengths.argsort(stable=True).argsort()
    return {k: v[back] if isinstance(v, Tensor) else [v[i] for i in back.tolist()] for k, v in predictions.items()}


def recommend(learner: Learner, user: Any, k: int) -> Results:
    """The items that suit a user best; see `Learner.recommend`."""
    module = learner.task_module()
    weight = next(learner.module.parameters())
    with own_randomness(), torch.inference_mode():
        return learner.data.task.recommend(module.to(weight.device).eval(), learner.data.input, user, k)


def summary(learner: Learner, depth: int) -> ModelSummary:
    """Lightning's model summary of the network, with shapes from real items where there are any."""
    from lightning.pytorch.utilities.model_summary.model_summary import ModelSummary

    module = learner.task_module()
    shown = _Shown(learner.module, module.model)
    split = next(iter(learner.data.splits.values()), None)
    if split is not None:
        weight = next(learner.module.parameters())
        batch = split.head(2)
        x = like(module.preparation.to(weight.device)(like(batch["x"], weight)), weight)
        shown.example_input_array = {"x": x, "y": like(batch["y"], weight)}
    with quiet(), own_randomness():
        return ModelSummary(shown, max_depth=depth)


class _Shown(LightningModule):
    """The network alone, in the form that Lightning's summary takes."""

    def __init__(self, net: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._model = [model]  # in a list: it is no layer of its own

    def forward(self, x: dict[str, Any], y: dict[str, Any]) -> Any:
        # Without gradients torch's counter fails at a layer that gives a view of its own weight, as a [CLS] token does.
        with torch.enable_grad():
            return self._model[0](x, y)


def _run(learner: Learner, module: TaskModule, split: Split, what: str) -> Any:
    loader = split.loader(learner.data.batch_size, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
    callbacks = [Progress()] if learner.settings.verbose else []
    trainer = make_trainer(learner.hardware, strategy=learner.settings.strategy, callbacks=callbacks)
    learner.trainer = trainer
    with own_randomness(), quiet(), interruptible(trainer):
        return getattr(trainer, what)(module, **{"dataloaders": loader, **({"verbose": False} if what == "validate" else {})})


def split_to_judge(learner: Learner, data: Any) -> Split:
    """The split that is judged: the learner's own, or data in any form that the constructor takes."""
    if data is None:
        return learner.data.judged()
    if isinstance(data, str) and data in SPLITS:
        return learner.data.split(data)
    if isinstance(data, (DataLoader, Dataset)):
        return _of_loader(learner, LoaderSplit(data, learner.data.task.encode))
    try:
        opened = open_raw(learner, data)
    except UnknownNameError as error:
        if error.kind != "data set":
            raise
        hint = f"Splits are {', '.join(SPLITS)}; fastgpu.data.sources.list_names() lists data sets; no file or folder here has that name."
        raise UnknownNameError("split or data set", error.name, (*SPLITS, *list_names()), hint) from None
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
        settings = dataclasses.replace(settings, target=None, columns=None)  # arrays have no columns to name
    return open_data(data, settings, input=learner.data.input, task=learner.data.task)[0]


def _split_to_predict(learner: Learner, items: Any) -> tuple[Split, Any]:
    """What is predicted, and the items as they came, None where they are known encoded only."""
    if items is None:
        return learner.data.judged(), None
    if isinstance(items, str) and items in SPLITS:
        return learner.data.split(items), None
    if isinstance(items, (DataLoader, Dataset)):
        return _of_loader(learner, LoaderSplit(items)), None
    input = learner.data.input
    raw = input.as_items(items)
    if not len(raw):
        raise DataError("predict needs at least one item. None came.")
    return ColumnSplit(input.encode(raw), None), raw


def _columns(split: Split, n: int) -> Columns:
    if isinstance(split, ColumnSplit):
        return split.x
    return TensorColumns(split.head(n)["x"])
