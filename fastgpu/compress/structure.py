"""Structural groups: which slices of which tensors make, carry and read the same channels."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.quantize import finalize
from fastgpu.errors import ArgumentError

__all__ = ["Example", "Group", "Part", "as_example", "outputs_of", "trial_copy"]


@dataclasses.dataclass(frozen=True)
class Part:
    """One dimension of one tensor that a group's units own.

    Args:
        tensor: its name in the network's state dict.
        dim: the dimension.
        owner: `(size,)` int64: the unit that owns each position, -1 for one that the group does not own.
        makes: whether the positions make the channels, so that zeros there silence them; otherwise they read them.
    """

    tensor: str
    dim: int
    owner: Tensor
    makes: bool


@dataclasses.dataclass(frozen=True)
class Group:
    """Units (channels, heads, or the channels of one part of a grouped convolution) that are cut whole or not at all.

    Args:
        name: the layer that stands first in it.
        kind: `"channels"` or `"heads"`.
        units: how many there are.
        channels: channels a unit has where they are made.
        parts: where they live.
    """

    name: str
    kind: str
    units: int
    channels: int
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True)
class Example:
    """How a network is called once.

    Args:
        args: arguments in order.
        kwargs: arguments by name.
        around: network -> what is called in its place, such as an adapter with the network in it; None: the network itself.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    around: Callable[[nn.Module], nn.Module] | None = None

    def call(self, net: nn.Module) -> list[Tensor]:
        """The floating-point tensors among what the network gives."""
        weight = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(0))
        called = net if self.around is None else self.around(net)
        return list(outputs_of(called(*_like(self.args, weight), **_like(self.kwargs, weight))))

    @property
    def items(self) -> int:
        """How many items it has: the length of the first tensor."""
        return next((len(t) for t in _tensors((self.args, self.kwargs))), 1)

    def of_items(self, items: int) -> Example:
        """The same with another number of items, the first ones or all of them again and again."""
        had, numbers = self.items, torch.arange(items) % max(1, self.items)
        args, kwargs = _mapped((self.args, self.kwargs), lambda t: t[numbers.to(t.device)] if len(t) == had else t)
        return dataclasses.replace(self, args=args, kwargs=kwargs)


def as_example(given: Any) -> Example:
    """What a network is called with, as a user says it: a tensor, a tuple of arguments, or a dict of them by name.

    Raises:
        ArgumentError: it is none of these.
    """
    if isinstance(given, Example):
        return given
    if isinstance(given, Tensor):
        return Example((given,))
    if isinstance(given, Mapping):
        return Example((), dict(given))
    if isinstance(given, (tuple, list)):
        return Example(tuple(given))
    raise ArgumentError(
        f"example_inputs are what the network is called with: a tensor, a tuple, or a dict by name. {type(given).__name__} came. "
        "Give for example torch.randn(2, 3, 224, 224)."
    )


def outputs_of(out: Any) -> Iterator[Tensor]:
    """Floating-point tensors in nested dicts, lists, tuples and dataclasses, in order."""
    if isinstance(out, Tensor):
        if out.is_floating_point():
            yield out
    elif isinstance(out, Mapping):
        for value in out.values():
            yield from outputs_of(value)
    elif isinstance(out, (list, tuple)):
        for value in out:
            yield from outputs_of(value)
    elif dataclasses.is_dataclass(out) and not isinstance(out, type):
        for field in dataclasses.fields(out):
            yield from outputs_of(getattr(out, field.name))


def trial_copy(net: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A copy to try things on: in evaluation mode, all of it trainable, with weights drawn anew.

    Fresh networks begin with zeros here and there (the last normalisation of a block, a head), behind which anything
    looks equal. Quantization that is simulated is taken off: its grids are those of the whole layer. Compiled layers get
    their own `forward` back.
    """
    trial = finalize(copy.deepcopy(net), snap=False)
    trial._forward_hooks.clear()  # whoever watches the network need not see the trial
    trial._forward_pre_hooks.clear()
    for module in trial.modules():
        forward = module.__dict__.get("forward")
        if hasattr(forward, "_torchdynamo_orig_callable"):
            del module.forward
    trial.to(dtype).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trial.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
                parameter.copy_(_drawn(parameter, generator))
        for name, buffer in trial.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return trial


def _drawn(parameter: Tensor, generator: torch.Generator) -> Tensor:
    if parameter.ndim < 2:
        return torch.rand(parameter.shape, generator=generator) + 0.5
    fan_in = max(1, parameter.numel() // parameter.shape[0])
    return torch.randn(parameter.shape, generator=generator) / fan_in**0.5


def _like(tree: Any, weight: Tensor) -> Any:
    return _mapped(tree, lambda t: t.to(weight.device, weight.dtype if t.is_floating_point() else t.dtype))


def _mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested dicts, lists and tuples with their tensors changed; numbers without a dimension stay."""
    if isinstance(tree, Tensor):
        return change(tree) if tree.ndim else tree
    if isinstance(tree, Mapping):
        return {key: _mapped(value, change) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_mapped(value, change) for value in tree) if type(tree) in (list, tuple) else tree
    return tree


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        if tree.ndim:
            yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _tensors(value)
