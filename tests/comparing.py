"""What several tests share: comparisons, and child processes."""

from __future__ import annotations

import signal

import torch


def same_weights(one, other) -> bool:
    """Whether two learners' networks are equal to the bit."""
    a, b = one.module.state_dict(), other.module.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def heed_interrupts() -> None:
    """For a child process, before it starts: a shell's background jobs hand down that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
