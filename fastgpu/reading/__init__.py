"""Reading: how raw items become NumPy arrays, without torch. One file a kind; `fastgpu.inputs` builds on them, so does the Predictor."""

from fastgpu.reading.base import READERS, Reader

__all__ = ["READERS", "Reader"]
