"""Recurrent layers, around which a network is pruned: each is one step of the trace, and stays as wide as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, autograd, nn
from torch.nn.utils.rnn import PackedSequence

__all__ = ["RECURRENT", "AsOne", "recurrent_layers", "traced_as_one"]

RECURRENT = (nn.RNNBase, nn.RNNCellBase)


class AsOne:
    """What torch-pruning asks of a kind of layer; what such a layer reads and what it makes are not tied to one another."""

    def prune_out_channels(self, layer: Any, idxs: Any) -> None:
        """Never called: a group with such a layer in it is not cut."""

    def prune_in_channels(self, layer: Any, idxs: Any) -> None:
        """Never called either; another method, since those that are one tie inputs to outputs."""

    def get_out_channels(self, layer: Any) -> int:
        """Width of what it gives."""
        return (getattr(layer, "proj_size", 0) or layer.hidden_size) * (1 + getattr(layer, "bidirectional", False))

    def get_in_channels(self, layer: Any) -> int:
        """Width of what it takes."""
        return layer.input_size


def recurrent_layers(net: nn.Module) -> dict[str, nn.Module]:
    """Name -> recurrent layer."""
    return {name: module for name, module in net.named_modules() if isinstance(module, RECURRENT)}


@contextmanager
def traced_as_one(net: nn.Module) -> Iterator[None]:
    """Let the recurrent layers of a copy be one step each in what autograd notes: their gates and times are no channels."""
    layers = recurrent_layers(net).values()
    for layer in layers:
        layer.forward = partial(_step, layer, layer.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Step(autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(each.view_as(each) for each in tensors[:made])


def _step(layer: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    out = forward(*args, **kwargs)
    made = list(_tensors(out))
    # A weight is among the inputs: the step is there where no input has a gradient, too.
    given = [*_tensors((args, tuple(kwargs.values()))), next(layer.parameters())]
    return _replaced(out, iter(_Step.apply(len(made), *[each.detach() for each in made], *given)))


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Those that carry channels: of a packed sequence its data alone."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, PackedSequence):
        yield tree.data
    elif isinstance(tree, tuple):
        for each in tree:
            yield from _tensors(each)


def _replaced(tree: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return next(tensors)
    if isinstance(tree, PackedSequence):
        return tree._replace(data=next(tensors))
    return tuple(_replaced(each, tensors) for each in tree)
