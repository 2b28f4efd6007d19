"""The terminal, where there still is one."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

__all__ = ["unbroken"]


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Print within; when the reader of a pipe (`| head`) or the terminal has gone, printing ends and training goes on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        # At its end the interpreter flushes what was not written, so the file itself is replaced.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
