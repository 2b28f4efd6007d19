"""Distillation: a network learns from a teacher's answers beside the targets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.compressing import network_in
from fastgpu.compress.distill import distillation_loss
from fastgpu.compress.quantize import finalize
from fastgpu.config import known_keywords
from fastgpu.errors import ArgumentError
from fastgpu.train.module import TaskModule

__all__ = ["Distillation", "unsuited"]

CLASS_AXES: dict[str, int | None] = {"classification": -1, "segmentation": 1, "translation": -1, "recognition": -1}
"""Task -> axis of the classes in its logits; in all others outputs are numbers of their own."""


def _answers(teacher: nn.Module, ask: Callable[[], Any]) -> Any:
    """What a teacher says, without gradients.

    Raises:
        ArgumentError: it does not take the student's items.
    """
    try:
        with torch.no_grad():
            return ask()
    except (torch.OutOfMemoryError, torch.AcceleratorError):  # of the device, not of the teacher
        raise
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        why = str(error).partition("\n")[0]
        raise ArgumentError(
            f"A teacher takes the items that the student takes. {type(teacher).__name__} failed at them: {why}. Give one that was trained on such."
        ) from error


def _without_compiled(teacher: nn.Module) -> nn.Module:
    """A copy of a network that is being compiled: its `forward` would be that of the network it was copied from."""
    for part in teacher.modules():
        if hasattr(part.__dict__.get("forward"), "_torchdynamo_orig_callable"):
            del part.forward
    return teacher


def unsuited(module: LightningModule) -> str:
    """Why a teacher cannot be asked beside a LightningModule; empty where it can."""
    if isinstance(module, TaskModule):
        return ""
    if not module.automatic_optimization:
        return f"{type(module).__name__} optimizes manually"
    return f"{type(module).__name__} has no one part that holds all parameters" if network_in(module) is module else ""


@CALLBACKS.register("distillation")
class Distillation(Callback):
    """Mix the loss with the distance from a teacher's outputs (Hinton et al., 2015, https://arxiv.org/abs/1503.02531).

    It works on what the network gives as `"logits"`, or, in a LightningModule of your own with one network and automatic
    optimization, on the network's output where that is a tensor. Networks that give neither learn without it.

    Args:
        teacher: a trained network for the same items, which stays as it is; None: the network as it is when a fit begins. A fit that
            goes on from one with a teacher, a second fit too, keeps that teacher.
        temperature: what logits are divided by, above 0.
        alpha: share of the teacher in the loss, 0 to 1.
    """

    @known_keywords
    def __init__(self, teacher: nn.Module | None = None, *, temperature: float = 2.0, alpha: float = 0.7) -> None:
        if teacher is not None and not isinstance(teacher, nn.Module):
            raise ArgumentError(f"A teacher is a torch module, such as learn.module. {type(teacher).__name__} came. Give the network.")
        if not all(isinstance(v, (int, float)) for v in (alpha, temperature)) or not 0 <= alpha <= 1 or not temperature > 0:
            raise ArgumentError(f"alpha lies in 0 to 1 and temperature above 0. {alpha!r} and {temperature!r} came.")
        self.teacher, self.temperature, self.alpha = teacher, temperature, alpha
        self._own: dict[str, Tensor] | None = None  # weights of a teacher that is a copy
        self._undo: Callable[[], None] = lambda: None

    def state_dict(self) -> dict[str, Any]:
        return {"teacher": self._own} if self._own is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._own = state_dict.get("teacher")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._own = None  # of another fit, perhaps of another network; a checkpoint that is read next brings its own

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if why := unsuited(pl_module):
            raise ArgumentError(
                "Distillation needs a LightningModule with automatic optimization and one network among its parts. "
                f"{why[0].upper()}{why[1:]}. Keep the network in one attribute, or leave the teacher out."
            )
        net = network_in(pl_module)
        teacher = self.teacher
        if teacher is None:
            teacher = _without_compiled(finalize(copy.deepcopy(net), snap=False))
            if self._own is not None:  # of a fit that goes on
                teacher.load_state_dict(self._own)
            self._own = {name: t.detach().clone() for name, t in teacher.state_dict().items()}
        elif not set(net.modules()).isdisjoint(teacher.modules()):
            raise ArgumentError("A teacher is another network than the one that learns. The same came. Leave teacher out: it is the network as it was.")
        else:
            teacher = _without_compiled(copy.deepcopy(teacher))  # the teacher's owner keeps it as it is
        teacher = teacher.to(pl_module.device).eval().requires_grad_(False)
        join = self._join if isinstance(pl_module, TaskModule) else self._wrap
        join(pl_module, net, teacher)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._undo()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._undo()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._undo()

    def _mixed(self, loss: Tensor, student: Any, teacher: Any, classes: int | None) -> Tensor:
        if not isinstance(student, Tensor) or not isinstance(teacher, Tensor):
            return loss
        distance = distillation_loss(student, teacher, classes=classes, temperature=self.temperature)
        return (1 - self.alpha) * loss + self.alpha * distance

    def _join(self, module: Any, net: nn.Module, teacher: nn.Module) -> None:
        """In the Learner's module: a loss beside its own."""
        asked = copy.copy(module.model)  # the same adapter around the other network
        asked._modules = {**module.model._modules, "net": teacher}
        classes = CLASS_AXES.get(module.task.name)

        def add(x: dict[str, Any], y: dict[str, Any], out: dict[str, Any], loss: Tensor) -> Tensor:
            # Where the library owns the loss, targets shape the outputs too (a decoder's sentence).
            answers = _answers(teacher, lambda: asked(x, y) if "loss" in out else asked(x))
            return self._mixed(loss, out.get("logits"), answers.get("logits"), classes)

        module.extra_losses.append(add)

        def undo() -> None:
            if add in module.extra_losses:
                module.extra_losses.remove(add)

        self._undo = undo

    def _wrap(self, module: LightningModule, net: nn.Module, teacher: nn.Module) -> None:
        """In any other module: around its training step, which is seen to call the network."""
        seen: dict[str, Any] = {}
        handle = net.register_forward_hook(lambda _, args, kwargs, out: seen.update(call=(args, kwargs, out)), with_kwargs=True)
        original = module.training_step

        def training_step(*args: Any, **kwargs: Any) -> Any:
            given = original(*args, **kwargs)
            if given is None or "call" not in seen:
                return given
            inputs, named, student = seen.pop("call")
            answers = _answers(teacher, lambda: teacher(*inputs, **named))
            classes = -1 if isinstance(student, Tensor) and student.ndim == 2 and student.shape[1] > 1 else None
            if isinstance(given, Mapping):
                return {**given, "loss": self._mixed(given["loss"], student, answers, classes)}
            return self._mixed(given, student, answers, classes)

        module.training_step = training_step  # type: ignore[method-assign]

        def undo() -> None:
            handle.remove()
            module.__dict__.pop("training_step", None)

        self._undo = undo
