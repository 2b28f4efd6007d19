"""Randomness that depends on (seed, epoch) alone, and leaves the user's generators as they were."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from fastgpu.data.loaders import epoch_seed

__all__ = ["own_randomness", "seed_epoch"]


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed Python's, NumPy's and torch's generators for one epoch: a resumed or continued fit draws what it would have."""
    value = epoch_seed(seed, epoch, rank)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


@contextlib.contextmanager
def own_randomness(seed: int | None = None) -> Iterator[None]:
    """Run a block with generators of its own; afterwards the user's go on where they were.

    Args:
        seed: seed at the beginning of the block; None: as they are.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            seed_epoch(seed, 0)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
