"""What networks for sensor series share."""

from __future__ import annotations

from typing import Any

__all__ = ["TYPICAL", "patches"]

TYPICAL: tuple[dict[str, Any], dict[str, Any]] = (
    {"kind": "series", "channels": 6, "length": 100},
    {"task": "classification", "outputs": 4},
)
"""Facts and target for which the parameters of an architecture are counted: the shape of the set BasicMotions."""


def patches(length: int) -> tuple[int, int]:
    """Length and stride of the patches that a series is cut into, both in steps: about two dozen that overlap by half, 16 steps at most.

    Args:
        length: steps of the series, at least 2.

    Example:
        >>> patches(24), patches(100), patches(512)
        ((2, 1), (8, 4), (16, 8))
    """
    patch = min(16, max(2, length // 24 * 2), length - 1)
    return patch, max(1, patch // 2)
