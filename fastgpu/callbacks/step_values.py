"""What a training step tells: loss, learning rate, gradient norm, items a second, memory; read every n steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from fastgpu.callbacks.trackers.facts import whole_on_each_device

__all__ = ["StepValues"]


class StepValues:
    """Collects tensors on the device and reads them once every `every` optimizer steps.

    Args:
        every: optimizer steps from one reading to the next, at least 1.
        step: gives the optimizer steps done.
    """

    def __init__(self, every: int, step: Callable[[], int]) -> None:
        self.every, self._step, self._read = every, step, step()
        self._losses: list[Tensor] = []
        self._norm: Tensor | None = None
        self._items, self._began = 0, time.perf_counter()

    def epoch_start(self) -> None:
        """Items a second are those of training alone, so the time of a validation is left out."""
        self._items, self._began = 0, time.perf_counter()

    def before_step(self, trainer: Trainer, optimizer: Any) -> None:
        """Take the gradient norm of the step that is read next, before it is clipped."""
        if (self._step() + 1) % self.every == 0 and whole_on_each_device(trainer):
            grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            self._norm = torch.nn.utils.get_total_norm(grads) / _scale(trainer, optimizer) if grads else None

    def batch_end(self, trainer: Trainer, outputs: Any, batch: Any) -> dict[str, float] | None:
        """Count a batch; after the step at which values are due, give them.

        Args:
            outputs: what `training_step` gave: a tensor, or a dict with `"loss"`.
            batch: the batch.
        """
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            self._losses.append(loss.detach())
        self._items += _items(batch) * trainer.world_size
        step = self._step()
        if step // self.every == self._read // self.every:
            return None
        self._read = step
        return self._values(trainer)

    def _values(self, trainer: Trainer) -> dict[str, float]:
        row: dict[str, float] = {}
        if self._losses:
            row["loss"] = float(torch.stack(self._losses).mean())  # waits for the device, so the time below is that of the work
        if self._norm is not None:
            row["grad_norm"] = float(self._norm)
        groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
        if groups:
            row["lr"] = float(groups[-1]["lr"])
        if len(groups) > 1:
            row |= {f"lr_{i}": float(group["lr"]) for i, group in enumerate(groups)}
        seconds = time.perf_counter() - self._began
        if self._items and seconds > 0:
            row["items_per_second"] = self._items / seconds
        device = trainer.strategy.root_device
        if device.type == "cuda":
            row["memory_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
        self._losses, self._norm, self._items, self._began = [], None, 0, time.perf_counter()
        return row


def _items(batch: Any) -> int:
    if isinstance(batch, dict) and isinstance(batch.get("n"), int):
        return batch["n"]
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else ()
    return next((n for part in parts if (n := _items(part))), 0)


def _scale(trainer: Trainer, optimizer: Any) -> float:
    """What gradients are multiplied by: fused optimizers under fp16 take the scale off themselves, in the step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return scaler.get_scale() if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False) else 1.0
