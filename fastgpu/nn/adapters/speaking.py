"""What networks that speak have in common: texts and sounds of different length in one batch, none of which changes another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

__all__ = ["filled_up"]


@contextmanager
def filled_up(net: nn.Module, nothing: Tensor) -> Iterator[None]:
    """For a while what only fills up `(b, length)` is 0 before each convolution that looks at its neighbours, as beyond the end."""

    def emptied(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        return (given[0].masked_fill(nothing[:, None], 0),)

    wide = [part for part in net.modules() if isinstance(part, nn.Conv1d) and part.kernel_size[0] > 1]
    hooks = [part.register_forward_pre_hook(emptied) for part in wide]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
