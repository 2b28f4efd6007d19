"""A loop over tensors that a graph holds as one, and that runs without a compiler where no graph is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["looped"]


def looped(on: Callable[..., Tensor], step: Callable[..., tuple[Any, ...]], begin: tuple[Any, ...]) -> Any:
    """`step` as long as `on`.

    Args:
        on: called with the parts of the state, gives a bool `()`.
        step: called like it, gives the next state; parts keep their shapes and types.
        begin: the first state: tensors, or tuples of them.

    Returns:
        The last state.

    Example:
        >>> looped(lambda at, total: at < 4, lambda at, total: (at + 1, total + at), (torch.tensor(0), torch.tensor(0)))[1]
        tensor(6)
    """
    if torch.compiler.is_exporting():
        from torch._higher_order_ops import while_loop  # has no public name yet

        return while_loop(on, step, begin)
    state = begin
    while on(*state):
        state = step(*state)
    return state
