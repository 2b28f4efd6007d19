"""What networks for texts share."""

from __future__ import annotations

from torch import Tensor

__all__ = ["masked_mean"]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each text, padding left out.

    Args:
        x: `(batch, length, width)` values of the tokens.
        mask: `(batch, length)` bool, True on tokens; a text without any gives zeros.

    Returns:
        `(batch, width)`.
    """
    weight = mask.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)
