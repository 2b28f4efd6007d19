"""The registry of callbacks that can be named as strings."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback

from fastgpu.errors import ArgumentError
from fastgpu.registry import Registry

__all__ = ["CALLBACKS", "as_callback"]

CALLBACKS: Registry[type[Callback]] = Registry("callback", "fastgpu.callbacks")


def as_callback(given: Any) -> Callback:
    """A name, a class or an object -> a callback.

    Raises:
        ArgumentError: it is none of these; an unknown name gets the nearest ones.
    """
    if isinstance(given, Callback):
        return given
    if isinstance(given, str):
        return CALLBACKS[given]()
    if isinstance(given, type) and issubclass(given, Callback):
        return given()
    raise ArgumentError(f"A callback is a name or a Lightning Callback. {type(given).__name__} came. Known names: {', '.join(CALLBACKS)}.")
