"""How the share of what is pruned grows over training."""

from __future__ import annotations

__all__ = ["SCHEDULES", "cubic"]


def cubic(progress: float, start: float = 0.0, end: float = 1.0) -> float:
    """Share of the final amount that is pruned at a point of training: fast at first, slow towards the end.

    From Zhu and Gupta, 2017, "To prune, or not to prune", https://arxiv.org/abs/1710.01878, equation 1.

    Args:
        progress: of training, 0 to 1.
        start: progress at which pruning begins.
        end: progress from which all of it is pruned.

    Returns:
        0 to 1.

    Example:
        >>> [cubic(p, 0.0, 0.5) for p in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.875, 1.0, 1.0]
    """
    if progress >= end:
        return 1.0
    if progress <= start:
        return 0.0
    return 1.0 - (1.0 - (progress - start) / (end - start)) ** 3


def constant(progress: float, start: float = 0.0, end: float = 1.0) -> float:
    """All at once: 0 before `start`, then 1."""
    return float(progress >= start)


SCHEDULES = {"constant": constant, "cubic": cubic}
"""Name -> function of progress, start and end, which gives the share of the final amount."""
