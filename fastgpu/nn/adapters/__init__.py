"""Adapters between networks and the model contract: one file a library."""

from fastgpu.nn.adapters.base import ADAPTERS, Adapter, adapt, of_library

__all__ = ["ADAPTERS", "Adapter", "adapt", "of_library"]
