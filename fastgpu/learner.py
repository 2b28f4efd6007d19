"""The Learner: an architecture and data, and the verbs to train, judge, look, and keep."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from fastgpu import judging
from fastgpu.assemble import architecture_name, assemble
from fastgpu.callbacks.log_rows import LogRows, with_trackers
from fastgpu.callbacks.run_folder import RunFolder
from fastgpu.callbacks.trackers.sweep import swept
from fastgpu.config import Settings, known_keywords, plain, several
from fastgpu.console import unbroken
from fastgpu.errors import ArgumentError
from fastgpu.fine_tuning import run_fine_tune
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.history import History
from fastgpu.keeping import facts, load_learner, plan_to_resume, save_learner
from fastgpu.looking_verbs import LookingVerbs
from fastgpu.recipe import check_recipe, choose_lr, class_weights, describe_recipe, make_module
from fastgpu.report.repeating import FitCall, recorded
from fastgpu.search_verbs import SearchVerbs
from fastgpu.shrink_verbs import ShrinkVerbs
from fastgpu.train.groups import freeze_to_head, unfreeze
from fastgpu.train.hardware import choose
from fastgpu.train.lr_find import LRSuggestion, find_lr
from fastgpu.train.module import FitPlan, TaskModule
from fastgpu.train.schedules import Schedule

if TYPE_CHECKING:
    from fastgpu.compress.report import CompressionReport
    from fastgpu.data.module import DataModule
    from fastgpu.results import Results
    from fastgpu.zoo.entry import Built

__all__ = ["Learner"]


class Learner(LookingVerbs, SearchVerbs, ShrinkVerbs):
    """Trains an architecture on data.

    Args:
        architecture: a name of the zoo (`fastgpu.zoo.list_models()`) or any `torch.nn.Module`.
        data: a built-in sample (`"digits"`), a public data set (`"mnist"`, `"hf:<name>"`), a folder of pictures or sounds, a table's
            file, an annotation file, a DataFrame, arrays `(x, y)` or `((x, y), (x_val, y_val))`, a `Dataset`, `DataLoader`s, a
            `LightningDataModule`.
        task: a name of `fastgpu.tasks.TASKS`; `"auto"` takes the architecture's where it has just one, else reads it from the targets.
        target: name of the target column of a table, or several.
        loss: a name (`fastgpu.losses.LOSSES`) or a module called with `(logits, target)`.
        metrics: names (`fastgpu.metrics`) or torchmetrics metrics; one or several.
        optimizer: a name of torch's or timm's, a class of torch.optim, or a function of the parameters; `"auto"` AdamW.
        lr: learning rate a step; `"auto"` the optimizer's usual one.
        weight_decay: None: the optimizer's own default.
        batch_size: items a step and device; `"auto"` 64, less for small data.
        pretrained: True insists on pretrained weights, `"auto"` takes them where they can be had, False never looks.
        precision: Lightning's names; `"auto"` 32-true on a CPU, bf16-mixed or 16-mixed on CUDA.
        devices: a number, indices, `"cpu"`, `"cuda:1"`; `"auto"` one accelerator where there is one.
        strategy: Lightning's name of a strategy, or the object.
        callbacks: names or Lightning callbacks, for every fit.
        logger: names (`"csv"`, `"tensorboard"`, `"wandb"`, `"mlflow"`) or Lightning loggers; one or several.
        accumulate: batches a step of the optimizer.
        clip: largest norm of all gradients together.
        seed: of order, split, initial weights and everything random in training.
        deterministic: ask torch for algorithms that repeat to the bit on an accelerator too.
        compile: compile the network with torch.compile for training.
        augment: vary training data at random: pictures are mirrored and shifted, tokens of texts hidden, stretches of sound blanked.
        validation_split: share of the training items held out, 0 to 1, where the data have no val split; None: none.
        class_weight: `"balanced"`, a dict class -> weight, or weights in the order of the classes.
        patience: epochs without improvement after which a fit ends.
        max_time: seconds after which a fit ends, or Lightning's `"DD:HH:MM:SS"`.
        image_size: pixels, or `(height, width)`, in which picture files are stored.
        tokenizer: a `tokenizers.Tokenizer` or the path of a `tokenizer.json`; None: one is trained on the texts.
        sampling_rate: samples a second that sound is brought to; None: the network's own, else 16,000.
        columns: what a column is -> its name, where it has no usual one: `{"user": "customer", "item": "sku"}`.
        window: time steps of one item that is cut from a longer series; None: a whole run is an item.
        stride: time steps from one window to the next; None: the window.
        positive: rating from which an interaction counts as liked.
        quantile: share of normal items whose score stays below the threshold of `"anomaly"`.
        decode_every: epochs between validations that look at predictions, where making them is dear (translation, boxes).
        decode_batches: batches of such a validation that are predicted; None: all.
        workers: processes that read a `Dataset` of the user's own.
        on_bad_item: `"raise"`, or `"skip"` unreadable items, naming and counting them.
        data_dir: folder for public data sets; None: `$FASTGPU_DATA` or the user's cache.
        name: name of the run folder; None: architecture and data.
        out: folder in which run folders are made, at the first fit.
        report: whether pictures and report.html are made when a fit ends.
        verbose: whether progress and choices are printed.

    Attributes:
        module: the network itself; after a fit with the weights of the best epoch.
        data: the `DataModule`: splits, classes, statistics.
        history: the `History` over all fits.
        trainer: Lightning's Trainer of the last run, None before.
        compression_reports: what `prune`, `quantize`, `distill` and `compress` measured, oldest first.

    Example:
        >>> learn = Learner("mlp", "digits", verbose=False, out=tmp)
        >>> history = learn.fit(2)
        >>> sorted(history.history)
        ['accuracy', 'loss', 'lr', 'val_accuracy', 'val_loss']
    """

    @swept
    @known_keywords
    def __init__(
        self,
        architecture: str | nn.Module,
        data: Any,
        *,
        task: str = "auto",
        target: str | Sequence[str] | None = None,
        loss: str | nn.Module = "auto",
        metrics: Any = "auto",
        optimizer: Any = "auto",
        lr: float | str = "auto",
        weight_decay: float | None = None,
        batch_size: int | str = "auto",
        pretrained: bool | str = False,
        precision: Any = "auto",
        devices: Any = "auto",
        strategy: Any = "auto",
        callbacks: Any = (),
        logger: Any = (),
        accumulate: int = 1,
        clip: float | None = None,
        seed: int = 0,
        deterministic: bool = False,
        compile: bool = False,
        augment: bool = False,
        validation_split: float | None = 0.2,
        class_weight: Any = None,
        patience: int | None = None,
        max_time: Any = None,
        image_size: int | tuple[int, int] | None = None,
        tokenizer: Any = None,
        sampling_rate: int | None = None,
        columns: dict[str, str] | None = None,
        window: int | None = None,
        stride: int | None = None,
        positive: float | None = None,
        quantile: float | None = None,
        decode_every: int = 1,
        decode_batches: int | None = None,
        workers: int = 0,
        on_bad_item: str = "raise",
        data_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        out: str | os.PathLike[str] = "runs",
        report: bool = True,
        verbose: bool = True,
    ) -> None:
        given = dict(locals())
        fields = Settings.__dataclass_fields__
        settings = Settings(**{k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in given.items() if k in fields})
        self._start(settings, architecture, callbacks, logger)
        check_recipe(settings, self.callbacks, self._loggers)
        self.hardware = choose(devices, precision)
        module, built, notes = assemble(architecture, data, settings)
        self.data_named = isinstance(data, (str, os.PathLike))  # so that another process can be told
        source = str(data) if self.data_named else str(module.name)
        self.pretrained = built.pretrained
        self._take(module, built, source)
        for note in (*self.hardware.notes, *notes, describe_recipe(self)):
            self.say(note)

    def _start(self, settings: Settings, architecture: str | nn.Module, callbacks: Any, logger: Any) -> None:
        self.settings = settings
        self.architecture, self.from_zoo = architecture_name(architecture), isinstance(architecture, str)
        self.missing: dict[str, str] = {}
        self.callbacks, self._loggers = with_trackers(several(callbacks), several(logger))
        self.history = History()
        self.trainer: Trainer | None = None
        self.state_file: Path | None = None  # the checkpoint that the next fit goes on from
        self.epoch_offset = 0  # epochs of the history that the state's own counter does not know of
        self.steps = self.step_offset = 0  # optimizer steps done, and those of them that it does not know of
        self.best_from = 0  # epochs of the history before the network took its present form
        self.weights_epoch: int | None = None  # the epoch whose weights the network holds
        self._remembered: dict[str, Tensor] | None = None
        self.compression_reports: list[CompressionReport] = []
        self.calls: list[FitCall] = []  # what trained or changed the network, for the report
        self.unrepeatable = ""  # why these calls do not make the same network again
        self.plan: FitPlan | None = None  # of the last fit
        self.calling = self.data_named = False

    def _take(self, data: DataModule, built: Built, source: str) -> None:
        self.data, self.module, self._source = data, built.net, source
        self.head, self.constants = built.head, built.constants
        if isinstance(self.settings.class_weight, dict):  # names of classes need not be text, as keys of JSON are
            weights = class_weights(self.settings.class_weight, self)
            self.settings = dataclasses.replace(self.settings, class_weight=weights)
        self.lr = choose_lr(self.settings)
        make_module(self)  # loss, metrics and optimizer by name: misspelt ones are answered now
        name = self.settings.name or f"{self.architecture}-{data.name}"
        self.run_folder = RunFolder(self.settings.out, name, self.arguments())
        self.log_rows = LogRows(self._loggers, self.run_folder)

    def __repr__(self) -> str:
        return f"Learner({self.architecture!r}, {self._source!r}): {len(self.history)} epochs trained, {self.data.task.describe()}"

    # Train

    @known_keywords
    @recorded
    def fit(
        self,
        epochs: int = 1,
        *,
        lr: float | None = None,
        schedule: str | Schedule = "constant",
        callbacks: Any = (),
        patience: int | None = None,
        max_time: Any = None,
        resume: bool | str | os.PathLike[str] | None = None,
    ) -> History:
        """Train; a second call trains more.

        Epochs, the optimizer's state and the history continue; a schedule runs its whole length in each call. After it
        the module holds the weights of the best epoch, and the next call goes on from the last state all the same.
        Ctrl-C ends the epoch in progress and returns what there is.

        Args:
            epochs: epochs to train, at least 1.
            lr: learning rate of this fit; None: the learner's.
            schedule: `"constant"`, `"cosine"`, `"linear"`, `"one_cycle"`, or a function of progress 0 to 1 -> factor.
            callbacks: further callbacks, for this fit.
            patience: epochs without improvement after which this fit ends; None: the learner's.
            max_time: seconds after which this fit ends; None: the learner's.
            resume: a run folder or checkpoint whose cut-off fit is to be finished, or True for the newest run of this
                name (architecture and data, where none was given); epochs and schedule are those of that fit.

        Returns:
            The history of this fit; `learn.history` is the whole.
        """
        plan = plan_to_resume(self, resume) if resume else plan_fit(self, epochs, lr, schedule)
        return run_fit(
            self,
            plan,
            callbacks=several(callbacks),
            patience=patience,
            max_time=max_time,
            same_fit=bool(resume),
        )

    @known_keywords
    @recorded
    def fit_one_cycle(self, epochs: int = 1, lr_max: float | None = None, *, callbacks: Any = ()) -> History:
        """Train with one cycle of the learning rate, up to `lr_max` and down to almost none (Smith and Topin 2018)."""
        return run_fit(self, plan_fit(self, epochs, lr_max, "one_cycle"), callbacks=several(callbacks))

    @known_keywords
    @recorded
    def fine_tune(
        self, epochs: int = 1, base_lr: float | None = None, *, freeze_epochs: int = 1, lr_mult: float = 100.0, callbacks: Any = ()
    ) -> History:
        """Train the head alone, then all layers, the early ones slowly; each part is one cycle (Howard and Gugger 2020).

        Args:
            epochs: epochs with all layers.
            base_lr: learning rate of the first part; half of it is the head's in the second. None: the learner's.
            freeze_epochs: epochs with the head alone.
            lr_mult: how many times slower the earliest layers learn than the head.
            callbacks: further callbacks, for both parts.
        """
        return run_fine_tune(self, epochs, base_lr, freeze_epochs, lr_mult, several(callbacks))

    @recorded
    def freeze(self) -> Learner:
        """Let only the head train; the other layers keep their weights and statistics to the bit."""
        freeze_to_head(self.module, self.head, self.constants)
        return self

    @recorded
    def unfreeze(self) -> Learner:
        """Let all layers train; only what the architecture itself holds still, such as fixed positions, stays."""
        unfreeze(self.module, self.constants)
        return self

    @known_keywords
    def lr_find(self, *, start: float = 1e-7, end: float = 10.0, steps: int = 100, plot: bool = False) -> LRSuggestion:
        """Try learning rates from `start` to `end` on a copy of the network; nothing of the learner changes.

        Returns:
            `LRSuggestion(valley, steep)` with `.plot()`; `valley` is the one to begin with.
        """
        self.refuse_missing()
        found = find_lr(make_module(self), self.data, torch.device(self.hardware.accelerator), start=start, end=end, steps=steps)
        self.say(f"lr_find: valley {found.valley:.2g}, steep {found.steep:.2g}")
        return found

    # Judge

    @known_keywords
    def evaluate(self, data: Any = None) -> dict[str, float]:
        """Loss and metrics on data: any form that the constructor takes; None: the val split, else the training one."""
        return judging.evaluate(self, data)

    @known_keywords
    def predict(self, items: Any = None) -> Results:
        """Predict raw items: files, folders, films, pictures, arrays, strings, rows; None: the val split. In the order given.

        A single item stands alone or in a list. One row of a table is a dict; in a dict of lists a single value stands in every row.
        """
        return judging.predict(self, items)

    def recommend(self, user: Any, k: int = 10) -> Results:
        """The `k` items that suit a user best, best first, without any that the user has in the data; for the task `"ranking"`."""
        return judging.recommend(self, user, k)

    def summary(self, depth: int = 2) -> Any:
        """Layers with shapes, parameters and what trains; prints as a table."""
        return judging.summary(self, depth)

    # Keep

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything that `load` needs into one file: weights, data facts, settings, history, training state."""
        return save_learner(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], data: Any = None, **changes: Any) -> Learner:
        """A learner from a file that `save` wrote, a checkpoint, or a run folder (its best weights).

        Args:
            path: the file or folder.
            data: data to train on or evaluate; None is enough to predict.
            **changes: settings to change, as in the constructor; `architecture=` for a network of your own.
        """
        return load_learner(cls, path, data, changes)

    @property
    def run_dir(self) -> Path | None:
        """The run's folder; None before the first fit."""
        return self.run_folder.path if self.run_folder.made else None

    # What the modules beside this one need

    def say(self, line: str) -> None:
        """Print one line, where the learner is verbose and this is the first process."""
        from lightning.pytorch.utilities import rank_zero_only

        if self.settings.verbose and getattr(rank_zero_only, "rank", 0) == 0:
            with unbroken():
                print(line, flush=True)

    def refuse_missing(self) -> None:
        """After `load`: say what of the user's own objects is needed again before a loss can be computed."""
        if self.missing:
            name, what = next(iter(self.missing.items()))
            raise ArgumentError(f"{name} was an object of your own, {what}, which is not saved. Give it: Learner.load(path, {name}=...).")

    def task_module(self) -> TaskModule:
        """A fresh LightningModule around the network."""
        return make_module(self)

    def arguments(self) -> dict[str, Any]:
        """What this learner was made with, as plain data."""
        return {
            "architecture": self.architecture if self.from_zoo else {"object": self.architecture},
            "data": self._source if self.data_named else {"object": self._source},
            **self.settings.plain(),
            "callbacks": plain(self.callbacks),
            "logger": plain(self._loggers),
        }

    def facts(self, plan: FitPlan | None, weights_epoch: int | None) -> dict[str, Any]:
        """What rebuilds this learner, as plain data, for checkpoints."""
        return facts(self, plan, weights_epoch)

    def remember_weights(self) -> None:
        """Note the weights that training left, to see later whether they were changed by hand."""
        self._remembered = {name: t.detach().cpu().clone() for name, t in self.module.state_dict().items()}

    def changed_weights(self) -> dict[str, Tensor] | None:
        """The present weights if they were changed since training left them, else None."""
        now, then = self.module.state_dict(), self._remembered
        if then is None or self.state_file is None:
            return None
        if now.keys() == then.keys() and all(v.shape == then[k].shape and bool((v.cpu() == then[k]).all()) for k, v in now.items()):
            return None
        self.say("weights: changed since the last fit; training goes on from them")
        return now
