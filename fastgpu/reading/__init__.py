"""Reading: how raw items become NumPy arrays, without torch; inputs and the Predictor build on it. One file a kind."""

from fastgpu.reading.base import READERS, Reader

__all__ = ["READERS", "Reader"]
