"""Devices and precision."""

from __future__ import annotations

import pytest
import torch

from fastgpu.errors import ArgumentError, UnknownNameError
from fastgpu.train.hardware import choose


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_NNODES", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without an accelerator chooses")
def test_auto_on_a_cpu_is_one_process_in_single_precision():
    chosen = choose()
    assert chosen.devices == 1
    assert chosen.precision == "32-true"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, (4, 2)),
        ({"LOCAL_WORLD_SIZE": "2"}, (2, 1)),
        ({"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_JOB_NAME": "train"}, (2, 3)),
        ({"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_JOB_NAME": "bash"}, (1, 1)),
    ],
)
def test_a_launcher_decides_how_many(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = choose()
    assert (chosen.devices, chosen.num_nodes) == expected


@pytest.mark.parametrize(("given", "expected"), [("64", "64-true"), (32, "32-true"), ("bf16", "bf16-mixed"), ("16-true", "16-true")])
def test_short_names_of_precisions(given, expected):
    assert choose("cpu", given).precision == expected


def test_wrong_names():
    with pytest.raises(UnknownNameError, match="Unknown device 'cuba'"):
        choose("cuba")
    with pytest.raises(ArgumentError, match="a number above 0.*True came"):
        choose(True)
