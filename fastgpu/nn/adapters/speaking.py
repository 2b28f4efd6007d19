"""What networks that speak have in common: texts and sounds of different length in one batch, none of which changes another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

__all__ = ["FEW", "Speak", "by_few", "filled_up"]

FEW = 4
"""Texts spoken at a time: what looks at all frames of a batch takes memory by their square, and on a processor more texts are slower."""

Speak = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Texts `(b, characters)` and which characters are there -> spectrograms `(b, frames, mels)` and durations `(b, parts)`."""


def by_few(speak: Speak, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What `speak` gives for all texts, by a few of like length at a time."""
    order = mask.sum(1).argsort()
    spectrograms, durations = list[Tensor](), list[Tensor]()
    for some in order.split(FEW):
        longest = int(mask[some].sum(1).max())
        mels, parts = speak(ids[some, :longest], mask[some, :longest])
        spectrograms += mels
        durations += parts
    back = order.argsort().tolist()
    return pad_sequence([spectrograms[i] for i in back], batch_first=True), pad_sequence([durations[i] for i in back], batch_first=True)


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
