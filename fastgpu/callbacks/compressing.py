"""What the callbacks that compress have in common: the network in a module, and how much of a fit is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from fastgpu.compress.measure import evaluating
from fastgpu.compress.structure import Example
from fastgpu.errors import ArgumentError
from fastgpu.nn.adapters.base import Adapter
from fastgpu.train.module import TaskModule

__all__ = ["compare_last_epoch_only", "network_example", "network_in", "refuse_after_averaging", "share_done"]


def network_in(module: Any) -> nn.Module:
    """The network in a LightningModule: the Learner's own; else the only part with parameters, or the module itself."""
    if isinstance(module, TaskModule):
        return module.model.net  # type: ignore[return-value]
    parts = [part for part in module.children() if any(True for _ in part.parameters())]
    return parts[0] if len(parts) == 1 else module


def network_example(adapter: Adapter, run: Callable[[], Any]) -> Example:
    """How an adapter calls its network, from a call of the adapter.

    Args:
        adapter: the adapter around the network.
        run: calls the adapter once with a small batch.
    """
    seen: list[tuple[Any, ...]] = []
    with adapter.register_forward_pre_hook(lambda _, args: seen.append(args)):
        run()
    example = Example(seen[0][:1], around=adapter.around)
    try:
        with evaluating(adapter.net), torch.no_grad():
            example.call(adapter.net)
    except Exception:  # a network that needs its targets for any answer, such as the sentence so far
        return Example(seen[0], around=adapter.around)
    return example


def share_done(trainer: Trainer, module: Any, batch: int = 0) -> float:
    """Share of this fit that is done at the beginning of a batch, 0 to 1; of a fit without end, 0.

    Args:
        batch: number of the batch in its epoch.
    """
    first, last, epoch = 0, trainer.max_epochs, trainer.current_epoch
    if isinstance(module, TaskModule):
        first, last, epoch = module.plan.first, module.plan.last, module.epoch
    of = trainer.num_training_batches
    if last is not None and last > first:
        within = batch / of if math.isfinite(of) and of else 0.0
        return min(1.0, (epoch - first + within) / (last - first))
    return min(1.0, trainer.global_step / trainer.max_steps) if trainer.max_steps > 0 else 0.0


def compare_last_epoch_only(module: Any) -> None:
    """Let the Learner keep the weights of the fit's last epoch: those of earlier ones are of another network."""
    if isinstance(module, TaskModule):
        module.best_from = module.plan.last - 1


def refuse_after_averaging(callback: Any, trainer: Trainer) -> None:
    """Weight averaging copies the module when a fit begins, so what changes its layers has to come before.

    Raises:
        ArgumentError: it comes after.
    """
    before = trainer.callbacks[: trainer.callbacks.index(callback)]  # type: ignore[attr-defined]
    if any(isinstance(each, WeightAveraging) for each in before):
        raise ArgumentError(
            f"{type(callback).__name__} stands before weight averaging among the callbacks. It came after. Give it first."
        )
