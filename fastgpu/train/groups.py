"""Layer groups: early layers, late layers, head; for freezing and for learning rates that differ by depth."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from fastgpu.errors import ModelError

__all__ = ["freeze_to_head", "frozen_modules", "layer_groups", "unfreeze"]


def layer_groups(net: nn.Module, head: tuple[str, ...]) -> list[list[nn.Parameter]]:
    """Parameters in three groups, first layers first: the early half of the body, the late half, the head.

    Args:
        net: the network.
        head: dotted names of its head's modules; none: the last module that has parameters.
    """
    ends = [p for module in _head(net, head) for p in module.parameters()]
    at_end = {id(p) for p in ends}
    body = [p for p in net.parameters() if id(p) not in at_end]
    half = sum(p.numel() for p in body) // 2
    early: list[nn.Parameter] = []
    while body and sum(p.numel() for p in early) + body[0].numel() <= half:
        early.append(body.pop(0))
    return [early, body, ends]


def freeze_to_head(net: nn.Module, head: tuple[str, ...], constants: Collection[str] = ()) -> None:
    """Let only the head train, without its `constants`, names of parameters that never do."""
    groups = layer_groups(net, head)
    if not groups[0] and not groups[1]:
        raise ModelError(f"freeze() leaves the head to train. {type(net).__name__} is one layer: all of it is the head. Train it as it is.")
    at_end = {id(parameter) for parameter in groups[2]}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(id(parameter) in at_end and name not in constants)


def unfreeze(net: nn.Module, constants: Collection[str] = ()) -> None:
    """Let all parameters train but the `constants`."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in constants)


def frozen_modules(net: nn.Module) -> list[nn.Module]:
    """Modules with parameters of which none trains: they stay in evaluation mode, so batch statistics stay too."""
    modules = [m for m in net.modules() if any(True for _ in m.parameters())]
    return [m for m in modules if not any(p.requires_grad for p in m.parameters())]


def _head(net: nn.Module, head: tuple[str, ...]) -> list[nn.Module]:
    if head:
        return [net.get_submodule(name) for name in head]
    leaves = [m for m in net.modules() if any(True for _ in m.parameters(recurse=False))]
    if not leaves:
        raise ModelError(f"A network must have parameters to train. {type(net).__name__} has none.")
    return leaves[-1:]
