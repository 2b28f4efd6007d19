"""What a network may lose when it is made smaller, in points."""

from __future__ import annotations

from typing import Any

from fastgpu.errors import ArgumentError

__all__ = ["check_max_drop", "drop"]


def check_max_drop(max_drop: Any) -> None:
    """Refuse what is no number of points.

    Raises:
        ArgumentError: it is not a number, or below 0.
    """
    if isinstance(max_drop, bool) or not isinstance(max_drop, (int, float)) or not max_drop >= 0:
        raise ArgumentError(f"max_drop is a number of points, at least 0. {max_drop!r} came. Give for example max_drop=0.5.")


def drop(before: float, after: float, higher_is_better: bool) -> float:
    """How much worse a metric became, in points: hundredths of a metric from 0 to 1, per cent of what it was of any other.

    Example:
        >>> round(drop(0.98, 0.97, True), 6), round(drop(2.0, 2.1, False), 6)
        (1.0, 5.0)
    """
    worse = before - after if higher_is_better else after - before
    return 100 * worse if higher_is_better and abs(before) <= 1 else 100 * worse / max(abs(before), 1e-12)
