"""The terminal, where there still is one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["unbroken"]


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Print within; when the reader of a pipe has gone (`| head`), printing ends and training goes on."""
    try:
        yield
    except BrokenPipeError:
        # At its end the interpreter flushes what was not written, so the pipe itself is replaced.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
