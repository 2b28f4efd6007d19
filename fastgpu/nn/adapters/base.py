"""What an adapter has to know: how the networks of one library meet the model contract."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import nn

from fastgpu.registry import Registry

__all__ = ["ADAPTERS", "Adapter", "adapt", "of_library"]

ADAPTERS: Registry[type[Adapter]] = Registry("adapter", "fastgpu.nn.adapters")


class Adapter(nn.Module, ABC):
    """A network that is called by the model contract, `model(x: dict, y: dict | None) -> dict`.

    The same keys come out in training and in evaluation; `"loss"` is there when the library owns the loss and `y` was
    given. An adapter holds no weights of its own: what is saved are those of `net`, under their own names.

    Args:
        net: the library's network.
        keys: keys of the batch's `x` in the order of a plain network's arguments.
    """

    def __init__(self, net: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.net, self.keys = net, keys

    @classmethod
    @abstractmethod
    def suits(cls, net: nn.Module) -> bool:
        """Whether this adapter is the one for `net`; looks at names of classes, without importing the library."""

    def called(self) -> list[nn.Module]:
        """Modules whose `forward` does the work: those that compiling serves."""
        return [self.net]

    def around(self, net: nn.Module) -> Adapter:
        """The same adapter around another network of the same kind, such as a copy."""
        other = copy.copy(self)
        other._modules = {**self._modules, "net": net}
        return other

    @abstractmethod
    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


def of_library(net: nn.Module, *packages: str) -> bool:
    """Whether the class of `net`, or one that it inherits from, stands in a module below one of the `packages`."""
    return any(kind.__module__ == p or kind.__module__.startswith(p + ".") for kind in type(net).__mro__ for p in packages)


def adapt(net: nn.Module, keys: tuple[str, ...]) -> Adapter:
    """The network behind the adapter of its library."""
    chosen = next((each for name, each in ADAPTERS.items() if name != "positional" and each.suits(net)), ADAPTERS["positional"])
    return chosen(net, keys)
