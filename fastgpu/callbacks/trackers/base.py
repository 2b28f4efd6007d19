"""The registry of trackers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastgpu.registry import Registry

__all__ = ["TRACKERS"]

TRACKERS: Registry[Callable[[Path, dict[str, Any]], Any]] = Registry("logger", "fastgpu.callbacks.trackers")
"""Name -> function of (run folder, settings) that gives a Lightning logger."""
