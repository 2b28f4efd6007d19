"""Masks that grow while a network trains, and those of whole channels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.cutting import cut, silence, silent_rows
from fastgpu.compress.groups import find_groups
from fastgpu.compress.importance import check_importance, importance
from fastgpu.compress.structure import Group
from fastgpu.errors import ArgumentError, ModelError

__all__ = ["ChannelMasks", "Masks", "check_amount", "check_round_to"]


def check_amount(amount: Any) -> float:
    """A share between 0 and 1.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount < 1:
        raise ArgumentError(f"amount is the share that is pruned, above 0 and below 1. {amount!r} came. Give for example amount=0.5.")
    return float(amount)


def check_round_to(round_to: Any) -> int:
    """A whole number of channels.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise ArgumentError(f"round_to is a whole number of channels, at least 1. {round_to!r} came. Give for example round_to=8.")
    return round_to


class Masks(ABC):
    """What is pruned of a network so far. Shapes and names stay as they are until `finish`.

    Raises:
        ModelError: all of the network is frozen.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        >>> masks = ChannelMasks(net, torch.randn(2, 4), amount=0.5)
        >>> for share in (0.5, 1.0):  # train a while after each
        ...     masks.update(share)
        ...     masks.apply()  # again after each step of the optimizer
        >>> masks.finish()
        >>> net[0]
        Linear(in_features=4, out_features=8, bias=True)
    """

    def __init__(self, net: nn.Module) -> None:
        if not any(p.requires_grad for p in net.parameters()) and any(True for _ in net.parameters()):
            raise ModelError(
                f"Pruning leaves frozen parameters as they are. All of {type(net).__name__} are frozen. Let some require gradients: unfreeze()."
            )
        self.net = net
        self.left: dict[str, str] = {}
        """Layer -> why it stays as it is."""

    @abstractmethod
    def update(self, share: float) -> None:
        """Choose what is masked: the least important first, and what was masked before.

        Args:
            share: of the final amount, 0 to 1.
        """

    @abstractmethod
    def apply(self) -> None:
        """Set what is masked to zero; called after each step of the optimizer."""

    @abstractmethod
    def finish(self) -> None:
        """Make it real: cut, where there is something to cut."""

    @abstractmethod
    def counts(self) -> dict[str, tuple[int, int]]:
        """Layer -> how many are masked, of how many."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The masks, as tensors by name."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up masks that `state` gave."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether there is something left to mask."""

    @abstractmethod
    def bind(self) -> None:
        """Look the network's tensors up again, after it moved to another device."""

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """What the next fit of the same network has to know, so that it prunes on from here and not anew."""

    @abstractmethod
    def follow(self, memory: Mapping[str, Any]) -> None:
        """Prune on from where an earlier `memory` ended."""


class ChannelMasks(Masks):
    """Channels and heads, in structural groups; see `fastgpu.compress.groups.find_groups`.

    Args:
        net: the network.
        example_inputs: what it is called with.
        amount: share of the units of each group that is pruned in the end, 0 to 1.
        importance: name of the importance.
        round_to: channels that stay are a multiple of this, where there are more than it; kernels are fast there.
        ignore: names of modules whose channels stay.

    Raises:
        ModelError: nothing can be cut.
    """

    def __init__(
        self, net: nn.Module, example_inputs: Any, *, amount: float = 0.5, importance: str = "l2", round_to: int = 8, ignore: Any = ()
    ) -> None:
        super().__init__(net)
        self.kind, self.amount, self.round_to = check_importance(importance), check_amount(amount), check_round_to(round_to)
        found = find_groups(net, example_inputs, ignore=ignore)
        self.left = found.left
        self.goals = {group.name: group.units - self._kept(group, group.units) for group in found.groups}
        self.groups = [group for group in found.groups if self.goals[group.name]]
        small = [group for group in found.groups if not self.goals[group.name]]
        self.left |= {group.name: f"{amount:g} of its {group.units} units rounds to none, with round_to={round_to}" for group in small}
        if not self.groups and not any("frozen" in reason for reason in self.left.values()):
            why = {group.name: self.left[group.name] for group in small} or self.left
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(why.items())[:3]) or "no convolution or linear layer was met"
            raise ModelError(
                f"Pruning channels needs some that can be cut. {type(net).__name__} has none ({reasons}). "
                + ("Give a larger amount or a smaller round_to." if small else 'Take method="unstructured", or prune a part of the network alone.')
            )
        self.masked = {group.name: torch.zeros(group.units, dtype=torch.bool) for group in self.groups}
        self.originally = {group.name: group.units for group in self.groups}
        self.bind()

    def _kept(self, group: Group, units: int) -> int:
        """How many of so many units stay in the end."""
        step = self.round_to // math.gcd(self.round_to, group.channels)  # units whose channels together are a multiple of round_to
        kept = units * (1 - self.amount)
        if units > step:
            kept = max(step, math.floor(kept / step + 0.5) * step)
        return min(units, max(1, round(kept)))

    @property
    def pending(self) -> bool:
        return any(self.goals[name] > int(mask.sum()) for name, mask in self.masked.items())

    def bind(self) -> None:
        self._tensors = dict(self.net.state_dict(keep_vars=True))
        self._place()

    def memory(self) -> dict[str, Any]:
        return {"originally": self.originally}

    def follow(self, memory: Mapping[str, Any]) -> None:
        for group in self.groups:
            units = memory["originally"].get(group.name, group.units)
            self.originally[group.name] = units
            self.goals[group.name] = max(0, group.units - self._kept(group, units))

    def update(self, share: float) -> None:
        if self.kind == "taylor" and not any(t.grad is not None for t in self._tensors.values()):
            raise ArgumentError('importance="taylor" looks at gradients. There are none yet. Call backward first, or take "l2".')
        for group in self.groups:
            wanted, mask = math.floor(share * self.goals[group.name] + 1e-9), self.masked[group.name]
            if wanted > int(mask.sum()):
                scores = importance(group, self._tensors, self.kind)
                scores[mask] = -1.0
                mask[scores.argsort(stable=True)[:wanted]] = True
        self._place()

    def _place(self) -> None:
        rows = silent_rows(self.groups, self.masked)
        self._rows = [(name, dim, positions.to(self._tensors[name].device)) for name, dim, positions in rows]

    def apply(self) -> None:
        silence(self._tensors, self._rows)

    def finish(self) -> None:
        self.apply()
        cut(self.net, self.groups, self.masked)
        self._rows, self._tensors = [], {}

    def counts(self) -> dict[str, tuple[int, int]]:
        return {group.name: (int(self.masked[group.name].sum()), group.units) for group in self.groups}

    def state(self) -> dict[str, Tensor]:
        return {name: mask.clone() for name, mask in self.masked.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, mask in self.masked.items():
            if name in state and state[name].shape == mask.shape:
                mask.copy_(state[name])
        self._place()
