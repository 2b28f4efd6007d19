"""The registry of callbacks that can be named as strings."""

from __future__ import annotations

from lightning.pytorch import Callback

from fastgpu.registry import Registry

__all__ = ["CALLBACKS"]

CALLBACKS: Registry[type[Callback]] = Registry("callback", "fastgpu.callbacks")
