"""Preflight: one small batch through the network before anything is written or trained."""

from __future__ import annotations

from typing import Any

import torch

from fastgpu.data.loaders import Batch, like
from fastgpu.errors import DataError, FastGPUError, ModelError
from fastgpu.train.module import TaskModule
from fastgpu.train.reproducible import own_randomness

__all__ = ["check_batch"]


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
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(0))
    x, y = like(batch["x"], weight), like(batch["y"], weight)
    try:
        with torch.no_grad(), own_randomness():
            net.eval()
            prepared = like(module.preparation.to(weight.device)(x), weight)
            out, loss = module.task.step(net, prepared, y, module.loss.to(weight.device))
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


def _shapes(x: dict[str, Any]) -> str:
    tensors = {k: v for k, v in x.items() if isinstance(v, torch.Tensor)}
    return ", ".join(f"{k} {tuple(v.shape)} {str(v.dtype).removeprefix('torch.')}" for k, v in tensors.items())
