"""Trackers: Lightning loggers by name. One file a tracker."""

from fastgpu.callbacks.trackers.base import TRACKERS

__all__ = ["TRACKERS"]
