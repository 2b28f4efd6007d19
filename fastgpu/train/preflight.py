"""Preflight: one small batch through the network before anything is written or trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from fastgpu.compress.distill import distillation_loss
from fastgpu.data.loaders import Batch, like
from fastgpu.errors import ArgumentError, DataError, FastGPUError, ModelError
from fastgpu.train.module import TaskModule
from fastgpu.train.reproducible import own_randomness

__all__ = ["check_batch", "check_precision", "check_teacher"]


def check_batch(module: TaskModule, batch: Batch) -> None:
    """Run a batch of a few items through the network and its loss, in evaluation mode; nothing is changed.

    Raises:
        DataError: there is no item, or no target.
        ModelError: the network does not take the items, or gives another number of outputs than the task needs.
    """
    if not batch["n"]:
        raise DataError("Training needs items. The train split has none.")
    if not batch["y"]:
        raise DataError("Training needs targets. The train split has none. Give (x, y), or the name of a target column.")
    net = module.model
    modes = [(m, m.training) for m in net.modules()]
    try:
        net.eval()
        out, loss = _step(module, batch)
    except FastGPUError:
        raise
    except Exception as error:  # whatever a network raises on data that it was not made for
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ModelError(
            f"The network must take the data. It got {_shapes(batch['x'])} and failed: {reason}. Check its input and outputs."
        ) from error
    finally:
        for each, training in modes:
            each.training = training
    module.task.check_outputs(out)
    if loss.ndim:
        raise ModelError(f"A loss must be one number. It has the shape {tuple(loss.shape)}. Use reduction='mean'.")


def check_precision(module: TaskModule, batch: Batch, precision: str) -> None:
    """Run such a batch through a copy in the precision in which all weights are to be held.

    Raises:
        ModelError: the network, or its loss, does not work in it.
    """
    dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}.get(precision)
    if dtype is None:
        return
    trial = copy.deepcopy(module).to(dtype)
    try:
        check_batch(trial, batch)
        trial.train()
        _step(trial, batch)
    except Exception as error:  # in each library another kind
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"The network must work in the precision that is asked for. It does not in {precision}: {reason}. "
            'Use precision="bf16-mixed" or 32.'
        ) from error


def check_teacher(module: TaskModule, teacher: nn.Module, batch: Batch) -> None:
    """Run such a batch through copies of a network and of its teacher, asked in the same way.

    Raises:
        ArgumentError: the network gives no logits, or the teacher does not take the items or answers in another shape.
    """
    trial: Any = copy.deepcopy(module).eval()
    other = copy.deepcopy(teacher).eval()
    out = _step(trial, batch)[0]
    if not isinstance(out.get("logits"), torch.Tensor):
        raise ArgumentError(f"A teacher is asked for its logits. Networks for {module.task.name} give none. Train without one, with fit.")
    weight = next(trial.model.parameters())
    x, y = like(trial.preparation(like(batch["x"], weight)), weight), like(batch["y"], weight)
    trial.model.net = other.to(weight.device)
    try:
        with torch.no_grad(), own_randomness():
            answers = (trial.model(x, y) if "loss" in out else trial.model(x))["logits"]
    except Exception as error:  # whatever a network raises on items that it was not made for
        raise ArgumentError(
            f"A teacher takes the items that the student takes. {type(teacher).__name__} does not. Give one that was trained on such."
        ) from error
    distillation_loss(out["logits"], answers)  # which refuses another shape


def _step(module: TaskModule, batch: Batch) -> tuple[dict[str, Any], torch.Tensor]:
    weight = next((p for p in module.model.parameters() if p.is_floating_point()), torch.empty(0))
    x, y = like(batch["x"], weight), like(batch["y"], weight)
    with torch.no_grad(), own_randomness():
        prepared = like(module.preparation.to(weight.device)(x), weight)
        return module.task.step(module.model, prepared, y, module.loss.to(weight.device))


def _shapes(x: dict[str, Any]) -> str:
    tensors = {k: v for k, v in x.items() if isinstance(v, torch.Tensor)}
    return ", ".join(f"{k} {tuple(v.shape)} {str(v.dtype).removeprefix('torch.')}" for k, v in tensors.items())
