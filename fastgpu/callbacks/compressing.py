"""What the callbacks that compress have in common: the network in a module, and how much of a fit is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer, WeightAveraging
from torch import nn

from fastgpu.compress.measure import evaluating
from fastgpu.compress.structure import Example
from fastgpu.errors import ArgumentError
from fastgpu.nn.adapters.base import Adapter
from fastgpu.train.module import TaskModule

__all__ = ["compare_last_epoch_only", "endless", "network_example", "network_in", "refuse_after_averaging", "share_done"]


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


def share_done(trainer: Trainer, module: Any, *, stepped: bool = False, first: tuple[int, int] = (0, 0)) -> float:
    """Share of this fit that is done, 0 to 1, by the limit that ends it first: of epochs, steps or time; of a fit without end, 0.

    Args:
        stepped: whether the optimizer has taken the step of the batch at hand; else the batch begins.
        first: epoch and step with which a fit in a plain Trainer began; the Learner's modules know their own.
    """
    last, epoch, of = trainer.max_epochs, trainer.current_epoch, trainer.num_training_batches
    batches, steps = trainer.fit_loop.epoch_loop.batch_idx + stepped, trainer.global_step + stepped
    if isinstance(module, TaskModule):
        first, last, epoch = (module.plan.first, 0), module.plan.last, module.epoch
        batches, of = module.step, module.steps_an_epoch or 0
    shares = [0.0]
    if last is not None and last > first[0]:
        within = batches / of if math.isfinite(of) and of else 0.0
        shares.append((epoch - first[0] + within) / (last - first[0]))
    if trainer.max_steps > first[1]:
        shares.append((steps - first[1]) / (trainer.max_steps - first[1]))
    for timer in _timers(trainer):
        shares.append(timer.time_elapsed() / max(1e-9, timer.time_elapsed() + timer.time_remaining()))  # type: ignore[operator]
    share = min(1.0, max(shares))
    # Clocks differ: all processes do what the first one's says.
    return trainer.strategy.broadcast(share) if trainer.world_size > 1 and _timers(trainer) else share


def endless(trainer: Trainer) -> bool:
    """Whether no limit of a Trainer ends its fit: neither epochs nor steps nor time."""
    return trainer.max_epochs in (None, -1) and trainer.max_steps in (None, -1) and not _timers(trainer)


def _timers(trainer: Trainer) -> list[Timer]:
    """What `max_time` puts among the callbacks, or the user."""
    found: Any = trainer.callbacks  # type: ignore[attr-defined]
    return [each for each in found if isinstance(each, Timer) and each.time_remaining() is not None]


def compare_last_epoch_only(module: Any) -> None:
    """Let the Learner keep the weights of the fit's last epoch: those of earlier ones are of another network.

    Called once an epoch of the fit is trained: one that is interrupted in its first leaves the network that there was.
    """
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
