"""What the tests share: small real data, a folder for runs, and one thread a process."""

from __future__ import annotations

import os
import signal

# Beside another process OpenMP's threads spin, and everything takes 10 to 100 times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from fastgpu.data import sources

torch.set_num_threads(1)
# A suite that is started in the background ignores the Ctrl-C that its tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits():
    """300 real digits: ((200, 200 labels), (100, 100 labels)), pictures (n, 1, 8, 8) uint8."""
    train = sources.load("digits").splits["train"]
    return (train.x[:200], train.y[:200]), (train.x[200:300], train.y[200:300])


@pytest.fixture
def out(tmp_path):
    """A folder for runs that does not exist yet: what must leave nothing behind is seen not to."""
    return tmp_path / "runs"


@pytest.fixture
def make(digits, out):
    """A quiet learner on the small digits, without pictures; the same arguments give the same learner."""
    from fastgpu import Learner

    def build(architecture="mlp", data=None, **settings):
        return Learner(architecture, digits if data is None else data, **{"out": out, "report": False, "verbose": False, **settings})

    return build
