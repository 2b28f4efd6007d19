"""Learning-rate schedules as pure functions of progress, so that a resumed fit needs no state to go on exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastgpu.registry import Registry

__all__ = ["SCHEDULES", "Schedule"]

Schedule = Callable[[float], float]
"""Progress of the fit, 0 to 1 -> factor of the learning rate."""

SCHEDULES: Registry[Schedule] = Registry("schedule")


@SCHEDULES.register("constant")
def constant(progress: float) -> float:
    """The learning rate as it is."""
    return 1.0


@SCHEDULES.register("cosine")
def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, one period)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@SCHEDULES.register("linear")
def linear(progress: float) -> float:
    """A straight line from 1 to 0."""
    return 1 - progress


@SCHEDULES.register("one_cycle")
def one_cycle(progress: float) -> float:
    """Up from 1/25 to 1 in the first quarter, then down to 1/250,000, both by half a cosine (Smith and Topin 2018).

    Example:
        >>> round(one_cycle(0.0), 6), one_cycle(0.25), round(one_cycle(1.0), 6)
        (0.04, 1.0, 4e-06)
    """
    low, end, rise = 1 / 25, 1 / 250_000, 0.25
    if progress < rise:
        return 1 + (low - 1) * cosine(progress / rise)
    return end + (1 - end) * cosine((progress - rise) / (1 - rise))
