"""The one LightningModule: every task, input kind and architecture trains through it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch.callbacks
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric

from fastgpu.data.loaders import Batch, split_steps
from fastgpu.errors import ArgumentError, NonFiniteLossError
from fastgpu.history import History
from fastgpu.inputs.base import Preparation
from fastgpu.tasks.base import Task
from fastgpu.train.mean_loss import MeanLoss
from fastgpu.train.reproducible import seed_epoch
from fastgpu.train.schedules import Schedule, constant
from fastgpu.train.trainer import Interrupts

__all__ = ["FitPlan", "TaskModule"]

MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]

ExtraLoss = Callable[[dict[str, Any], dict[str, Any], dict[str, Any], Tensor], Tensor]
"""`(x, y, out, loss)` of a step -> the loss to train on instead: what a callback adds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitPlan:
    """What one call of `fit` was asked to do; a killed fit is resumed from it.

    Args:
        first: epochs done before this fit.
        last: epochs done when it is through.
        lr: learning rate of the head; earlier layer groups follow by `lr_shares`.
        schedule: name of the schedule, or the function itself.
        lr_shares: learning rate of each layer group as a share of `lr`, first layers first.
    """

    first: int
    last: int
    lr: float
    schedule: str | Schedule = "constant"
    lr_shares: tuple[float, ...] = (1.0,)


class TaskModule(LightningModule):
    """A model with its task, loss, metrics and optimizer.

    A Lightning batch may carry several optimizer steps (`Batch["sizes"]`), so the steps are taken here, by Lightning's
    manual optimization: what Lightning does once a batch then costs once a chunk. Losses and metrics are summed on the
    device and read once an epoch.

    Args:
        model: keeps the model contract, see `fastgpu.tasks.base.Task`.
        task: the fitted task.
        preparation: what the input kind does to a batch on the device.
        loss: called with `(logits, target)` where the library does not own the loss.
        metrics: name -> metric; each is updated with what `task.metric_inputs` or, for a task that decodes, `task.update` gives.
        optimizer: parameter groups -> optimizer.
        accumulate: batches a step of the optimizer.
        clip: largest norm of all gradients together, None: as they come.
        augment: whether training batches are varied at random.
        seed: seed of everything random in training.
        decode_every: epochs between validations that look at predictions, for a task that decodes.
        decode_batches: batches of such a validation whose predictions are looked at, None: all.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        task: Task,
        preparation: Preparation,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: MakeOptimizer,
        accumulate: int = 1,
        clip: float | None = None,
        augment: bool = False,
        seed: int = 0,
        decode_every: int = 1,
        decode_batches: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # a loss may have other weights than when the checkpoint was written
        self.model, self.task, self.preparation, self.loss = model, task, preparation, loss
        self.train_loss, self.val_loss = MeanLoss(), MeanLoss()
        self.val_metrics = nn.ModuleDict({k: m.clone() for k, m in metrics.items()})
        # Predictions are never made in a training step.
        self.train_metrics = nn.ModuleDict({} if task.decodes else {k: m.clone() for k, m in metrics.items()})
        self.decode_every, self.decode_batches = decode_every, decode_batches
        self.make_optimizer = optimizer
        self.accumulate, self.clip, self.augment, self.seed = accumulate, clip, augment, seed
        self.history = History()
        self.plan = FitPlan(first=0, last=1, lr=1e-3)
        self.groups: list[list[nn.Parameter]] = [list(model.parameters())]
        self.frozen: list[nn.Module] = []
        self.schedule: Schedule = constant
        self.epoch_offset = 0  # epochs of the history that Lightning's counter does not know of
        self.step_offset = 0  # optimizer steps that it does not know of
        self.describe: Callable[[], dict[str, Any]] = dict
        self.interrupts = Interrupts()
        self.stopped = ""  # why the fit ends early, in the words of whoever ends it
        self.keep_callback_states = False  # True where a fit that was cut off goes on
        self.extra_losses: list[ExtraLoss] = []
        self.best_from = 0  # epochs that are not compared with later ones: they were of another network
        self.val_row: dict[str, float] = {}
        self._carried: dict[str, Any] | None = None
        self._unchecked: list[Tensor] = []  # losses whose finiteness was not looked at yet
        self.step = 0  # batches of this epoch done
        self.steps_an_epoch: int | None = None  # None where the loader does not tell

    # By what epochs are compared

    @property
    def epoch(self) -> int:
        """Number of the epoch that runs, from 0, over all fits; Lightning's counter begins where its state does."""
        return self.current_epoch + self.epoch_offset

    @property
    def monitor(self) -> tuple[str, bool]:
        """Key of the history by which the best epoch is chosen, and whether higher is better."""
        names = [] if self.task.monitor == "loss" else [self.task.monitor, *self.val_metrics]
        for name in names:
            if name in self.val_metrics and self.val_metrics[name].higher_is_better is not None:
                return f"val_{name}", bool(self.val_metrics[name].higher_is_better)
        return "val_loss", False

    def direction(self, key: str) -> bool:
        """Whether higher is better for a key of the history, by its metric's own word."""
        name = key.removeprefix("val_")
        if name == "loss":
            return False
        known = getattr(self.val_metrics[name], "higher_is_better", None) if name in self.val_metrics else None
        if known is None:
            raise ArgumentError(f"The direction of {key!r} is not known. Say higher_is_better=True or False.")
        return known

    # The optimizer

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.make_optimizer(self._param_groups())
        if self._carried is not None:
            # Moments go on; rates and other settings are those of this fit. Parameters keep their order over all
            # groupings, so the moments find their parameters again.
            fresh, carried = optimizer.state_dict(), self._carried["optimizer_states"][0]
            params = _parameters(optimizer)
            # A callback may have put the parameters into another order, as torch's pruning does: then moments begin anew.
            same = self._carried.get("shapes") == [list(p.shape) for p in params]
            if same and self._carried.get("optimizer") == type(optimizer).__name__:
                fresh["state"] = _laid_out(carried["state"], params)
            self._carried["optimizer_states"] = [fresh]
        return optimizer

    def _param_groups(self) -> list[dict[str, Any]]:
        shares = self.plan.lr_shares
        if len(shares) == 1:
            return [{"params": [p for group in self.groups for p in group], "lr": self.plan.lr}]
        return [{"params": g, "lr": self.plan.lr * share} for g, share in zip(self.groups, shares) if g]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._carried = checkpoint
        if not self.keep_callback_states:
            # A timer or a patience of Lightning's own counts within one fit.
            states = checkpoint.get("callbacks", {})
            checkpoint["callbacks"] = {k: v for k, v in states.items() if k.split("{")[0] not in lightning.pytorch.callbacks.__all__}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        optimizer: Any = self.optimizers()
        checkpoint["optimizer"] = type(optimizer.optimizer).__name__
        checkpoint["shapes"] = [list(p.shape) for p in _parameters(optimizer.optimizer)]
        checkpoint["fastgpu"] = self.describe()

    # The epoch

    def on_fit_start(self) -> None:
        loader: Any = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        try:
            self.steps_an_epoch = len(getattr(loader, "plan", loader))
        except TypeError:  # a loader of unknown length
            self.steps_an_epoch = None

    def on_train_start(self) -> None:
        optimizer: Any = self.optimizers()
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def on_train_epoch_start(self) -> None:
        self.train()
        for module in self.frozen:
            module.eval()
        seed_epoch(self.seed, self.epoch, self.global_rank)
        self.step, self._began, self.val_row, self._unchecked = 0, time.perf_counter(), {}, []
        optimizer: Any = self.optimizers()
        optimizer.optimizer.zero_grad()  # of a loader of unknown length the last window may have been left open

    # One step

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        x, y = self.preparation(batch["x"]), batch["y"]
        if self.augment:
            x, y = self.preparation.augment(x, y)
        losses, seen = [], []
        for x_step, y_step in split_steps(x, y, batch["sizes"]):
            out, loss = self.task.step(self.model, x_step, y_step, self.loss)
            for extra in self.extra_losses:
                loss = extra(x_step, y_step, out, loss)
            self._learn(loss * batch["weight"] if "weight" in batch else loss)
            losses.append(loss.detach())
            if self.train_metrics:
                seen.append(self.task.metric_inputs(out, y_step))
        values = torch.stack(losses)
        self._sum_up(values, seen, batch["sizes"])
        return {"loss": values.mean()}  # for callbacks, on the device

    def _learn(self, loss: Tensor) -> None:
        """Backward, and a step of the optimizer at the end of each window of `accumulate` batches."""
        optimizer: Any = self.optimizers()
        steps, at = self.steps_an_epoch, self.step % self.accumulate
        # The last window of an epoch may be shorter; its mean is over its own length.
        window = self.accumulate if steps is None else min(self.accumulate, steps - (self.step - at))
        self.manual_backward(loss / window if window > 1 else loss)
        self.step += 1
        if at + 1 < window:
            return
        if self.schedule is not constant:
            self._set_rates(optimizer)
        optimizer.step()
        optimizer.optimizer.zero_grad()

    def _set_rates(self, optimizer: Any) -> None:
        epochs, steps = self.plan.last - self.plan.first, self.steps_an_epoch
        if steps is None:  # not known before the first epoch is through: the rate changes with the epochs
            progress = (self.epoch - self.plan.first) / epochs
        else:
            progress = ((self.epoch - self.plan.first) * steps + self.step - 1) / max(1, epochs * steps - 1)
        factor = self.schedule(min(1.0, progress))
        for group, rate in zip(optimizer.param_groups, self._rates):
            group["lr"] = rate * factor

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.clip is None:
            return
        # Under fp16 Lightning unscales before this hook, but for fused optimizers, which unscale by themselves later;
        # Lightning's own clip_gradients refuses those.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip)

    # Sums, read once an epoch

    def _sum_up(self, values: Tensor, seen: list[tuple[Tensor, ...]], sizes: list[int]) -> None:
        self._unchecked.append(values)
        # On an accelerator reading a value waits for the device, so there only each 64th chunk looks back.
        if values.device.type == "cpu" or len(self._unchecked) == 64:
            self._refuse_non_finite()
        self.train_loss.update(values, sizes)
        if seen:
            _update(self.train_metrics, *(seen[0] if len(seen) == 1 else map(torch.cat, zip(*seen))))

    def _refuse_non_finite(self) -> None:
        values = torch.cat(self._unchecked)
        self._unchecked = []
        if not torch.isfinite(values).all():
            first = int(torch.isfinite(values).logical_not().nonzero()[0])
            step = self.step - len(values) + first + 1
            raise NonFiniteLossError(
                f"The loss must stay finite. It became {values[first].item()} in epoch {self.epoch + 1}, batch {step} of "
                f"{self.steps_an_epoch or '?'}. The weights of the last whole epoch are back in place. Try a lower lr "
                f"(it was {self.plan.lr:.2g}), clip=1.0, precision='32-true', or look for extreme values in the data."
            )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x = self.preparation(batch["x"])
        out, loss = self.task.step(self.model, x, batch["y"], self.loss)
        self.val_loss.update(loss.reshape(1), [batch["n"]])
        if not self.task.decodes:
            _update(self.val_metrics, *self.task.metric_inputs(out, batch["y"]))
        elif self.decoding and (self.decode_batches is None or batch_idx < self.decode_batches):
            self.task.update(self.val_metrics, self.task.predict(self.model, x, out), batch["y"])  # type: ignore[arg-type]

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        return self.task.predict(self.model, self.preparation(batch["x"]))

    @property
    def decoding(self) -> bool:
        """Whether this validation looks at predictions: that of each `decode_every`-th epoch, of the last, and by itself."""
        if self.trainer.state.fn != "fit":
            return True
        return (self.epoch + 1) % self.decode_every == 0 or self.epoch + 1 == self.plan.last

    def on_validation_epoch_end(self) -> None:
        metrics = self.val_metrics if self.decoding or not self.task.decodes else {}
        self.val_row = self._read(self.val_loss, metrics, "val_")
        if self.trainer.state.fn == "fit":
            self.task.settle(self.model, {k.removeprefix("val_"): v for k, v in self.val_row.items()})
        self.log_dict(self.val_row, logger=False)

    def on_train_epoch_end(self) -> None:
        if self._unchecked:
            self._refuse_non_finite()
        row = self._read(self.train_loss, self.train_metrics, "")
        self.log_dict(row, logger=False)
        seconds = time.perf_counter() - self._began
        optimizer: Any = self.optimizers()
        rate = optimizer.param_groups[-1]["lr"]
        row = {"epoch": self.epoch + 1, **row, **self.val_row, "lr": rate, "seconds": round(seconds, 3)}
        self.interrupts.hold()
        self.history.append(row)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_history_row"):
                callback.on_history_row(self.trainer, self, row)

    def _read(self, loss: MeanLoss, metrics: Any, prefix: str) -> dict[str, float]:
        values: dict[str, Any] = {f"{prefix}loss": loss.compute()}
        for name, metric in metrics.items():
            value = metric.compute()
            if isinstance(value, Tensor) and value.numel() > 1:  # one value a class, say
                value = {f"{name}_{i}": v for i, v in enumerate(value.flatten())}
            values |= {f"{prefix}{k}": v for k, v in value.items()} if isinstance(value, dict) else {f"{prefix}{name}": value}
        for each in (loss, *metrics.values()):
            each.reset()
        return {k: float(v) for k, v in values.items() if not isinstance(v, Tensor) or v.numel() == 1}


def _update(metrics: Any, *inputs: Tensor) -> None:
    for metric in metrics.values():
        metric.update(*inputs)


def _parameters(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _laid_out(state: dict[int, dict[str, Any]], params: list[Tensor]) -> dict[int, dict[str, Any]]:
    """Moments in the memory layout of their parameters: fused kernels walk both side by side."""
    return {
        i: {k: torch.empty_like(params[i], dtype=v.dtype).copy_(v) if _same_shape(v, params[i]) else v for k, v in entry.items()}
        for i, entry in state.items()
    }


def _same_shape(value: Any, param: Tensor) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape == param.shape
