"""Facts about a training, for trackers: settings, data, versions, parameters, operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch.nn.parameter import is_lazy

from fastgpu.callbacks.compressing import network_example, network_in
from fastgpu.callbacks.run_folder import environment
from fastgpu.compress.measure import macs, parameters
from fastgpu.config import plain
from fastgpu.train.module import TaskModule
from fastgpu.train.preflight import check_batch

__all__ = ["facts_of", "whole_on_each_device"]

MOST_CLASSES = 100
"""Classes whose names are told; of more their number is enough."""


def facts_of(trainer: Trainer, module: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data about what is about to be trained.

    Args:
        trainer: Lightning's Trainer.
        module: the Learner's module, or any LightningModule.
        settings: what the Learner was called with; empty elsewhere, the module's own hyper-parameters stand then.
    """
    net = network_in(module)
    facts = {**(settings or plain(dict(module.hparams))), "environment": environment()}
    if not any(map(is_lazy, net.parameters())):  # the size of lazy layers comes with the first batch
        facts["parameters"] = parameters(net)
        facts["trainable_parameters"] = sum(p.numel() for p in net.parameters() if p.requires_grad)
    if isinstance(module, TaskModule):
        facts["lr"] = module.plan.lr  # "auto" says nothing beside other runs
        facts["data_facts"] = _data(trainer.datamodule)  # type: ignore[attr-defined]
        if whole_on_each_device(trainer):
            facts |= _operations(module, trainer.datamodule)  # type: ignore[attr-defined]
    return facts


def whole_on_each_device(trainer: Trainer) -> bool:
    """Whether each process holds the whole network: one alone can then run it, or add up its gradients."""
    return isinstance(trainer.strategy, (DDPStrategy, SingleDeviceStrategy))


def _data(data: Any) -> dict[str, Any]:
    classes = data.classes
    named = {"class_names": [str(name) for name in classes]} if 0 < len(classes) <= MOST_CLASSES else {}
    return {
        "name": data.name,
        "sizes": data.sizes,
        "batch_size": data.batch_size,
        "input": data.input.describe(),
        "task": data.task.describe(),
        "classes": len(classes),
        **named,
    }


def _operations(module: Any, data: Any) -> dict[str, float]:
    """Multiplications with addition of one item, and as floating-point operations; nothing where they cannot be counted."""
    few = data.split("train").head(2)
    try:
        counted = macs(module.model.net, network_example(module.model, lambda: check_batch(module, few)))
    except Exception:  # networks of libraries fail at the counter in many ways, and training does not need it
        return {}
    return {"macs": counted, "flops": 2 * counted}
