"""Arrays packed as text: plain data for JSON."""

from __future__ import annotations

import base64
import zlib
from functools import lru_cache

import numpy as np

__all__ = ["pack", "unpack"]


def pack(array: np.ndarray) -> str:
    """An array as text: compressed, in base 64; plain data for JSON, some two bytes a number."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode("ascii")


@lru_cache(maxsize=32)
def unpack(text: str, dtype: str) -> np.ndarray:
    """The flat array that `pack` took, not to be written to.

    Args:
        text: what `pack` gave.
        dtype: the array's dtype: `"<i4"`, `"<f8"`.
    """
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=dtype)
