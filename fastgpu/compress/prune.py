"""`prune`: take the least important channels out of a network, in one call."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from fastgpu.compress.groups import output_layers
from fastgpu.compress.masks import ChannelMasks, Masks
from fastgpu.compress.measure import parameters
from fastgpu.compress.weight_masks import WeightMasks
from fastgpu.errors import UnknownNameError

__all__ = ["METHODS", "Pruned", "make_masks", "prune"]

METHODS = ("structured", "unstructured", "2:4")
"""What goes: whole channels, single weights, or two of four weights side by side."""


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What pruning changed.

    Args:
        method: name of the method.
        before: parameters before.
        after: parameters after; zeros count where they are stored.
        layers: layer -> how many of its units or weights went, and of how many.
        left: layer -> why it stays as it was.
    """

    method: str
    before: int
    after: int
    layers: dict[str, tuple[int, int]]
    left: dict[str, str]

    @property
    def share(self) -> float:
        """Share of the units or weights of these layers that went, 0 to 1."""
        return sum(gone for gone, _ in self.layers.values()) / max(1, sum(of for _, of in self.layers.values()))

    def __str__(self) -> str:
        if not self.layers:
            return "pruned: nothing, since all that could go is frozen"
        of = "group" if self.method == "structured" else "layer"
        of = f"{len(self.layers)} {of}{'s' if len(self.layers) != 1 else ''}"
        if self.method != "structured":
            return f"pruned: {self.share:.0%} of the weights of {of} are zero ({self.method}); size and latency stay as they were"
        return f"pruned: {self.share:.0%} of the channels of {of}, parameters {self.before:,} -> {self.after:,}"


def make_masks(
    net: nn.Module,
    example_inputs: Any,
    *,
    method: str = "structured",
    amount: float = 0.5,
    importance: str = "l2",
    round_to: int = 8,
    ignore: Any = (),
) -> Masks:
    """The masks of a method, none set yet; see `prune`."""
    if method not in METHODS:
        raise UnknownNameError("method of pruning", method, METHODS)
    if method == "structured":
        return ChannelMasks(net, example_inputs, amount=amount, importance=importance, round_to=round_to, ignore=ignore)
    head = None if example_inputs is None else output_layers(net, example_inputs)
    return WeightMasks(net, amount=amount, importance=importance, ignore=ignore, head=head, two_of_four=method == "2:4")


def prune(
    net: nn.Module,
    example_inputs: Any,
    *,
    amount: float = 0.5,
    method: str = "structured",
    importance: str = "l2",
    round_to: int = 8,
    ignore: Any = (),
) -> Pruned:
    """Prune a network at once, in place; train it some more afterwards.

    The layer that gives the answer keeps its outputs, recurrent layers are left whole, and every channel stays that cannot
    be cut without changing what the others compute. An optimizer made before holds the old parameters: make a new one.

    Args:
        net: the network.
        example_inputs: what it is called with: a tensor, a tuple of arguments, or a dict by name; two items are enough.
        amount: share of each group's channels that goes, above 0 and below 1.
        method: `"structured"` makes the network smaller; `"unstructured"` and `"2:4"` set weights to zero, and gain
            nothing in latency on a CPU.
        importance: `"l1"` or `"l2"`, by the size of weights; `"taylor"` by weight times gradient, after a `backward`.
        round_to: channels that stay are a multiple of this.
        ignore: names of modules whose own channels stay.

    Returns:
        What went and what stayed, and why.

    Raises:
        ArgumentError: `amount` or another argument is out of range; a name is unknown.
        ModelError: the network's operations cannot be followed, none of its channels can be cut, or all of it is frozen.
        MissingPackageError: torch-pruning is not installed (structured pruning needs it, the pruned network does not).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 32, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(1152, 10))
        >>> print(prune(net, torch.randn(2, 1, 8, 8), amount=0.5))
        pruned: 50% of the channels of 1 group, parameters 11,850 -> 5,930
        >>> net[0]
        Conv2d(1, 16, kernel_size=(3, 3), stride=(1, 1))
    """
    before = parameters(net)
    masks = make_masks(
        net, example_inputs, method=method, amount=amount, importance=importance, round_to=round_to, ignore=ignore
    )
    masks.update(1.0)
    masks.finish()
    return Pruned(method, before, parameters(net), masks.counts(), masks.left)
