"""Devices and precision: what `"auto"` means here, and clear answers for what is not there."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch

from fastgpu.errors import ArgumentError, DeviceError, UnknownNameError

__all__ = ["Hardware", "choose"]

PRECISIONS = ("16-mixed", "16-true", "32-true", "64-true", "bf16-mixed", "bf16-true")
SHORT = {16: "16-mixed", 32: "32-true", 64: "64-true", "16": "16-mixed", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps", "tpu")


class Hardware(NamedTuple):
    """What the Trainer is told, and what to tell the user."""

    accelerator: str
    devices: Any
    num_nodes: int
    precision: Any
    notes: tuple[str, ...]


def choose(devices: Any = "auto", precision: Any = "auto") -> Hardware:
    """Resolve `devices=` and `precision=`.

    Args:
        devices: `"auto"` (one accelerator where there is one, else the CPU; under torchrun or SLURM what the launcher
            gives), a number, a list of indices, `"cpu"`, `"cuda"`, `"mps"`, or `"cuda:1"`.
        precision: `"auto"` (on CUDA bf16-mixed where the chip has it, else 16-mixed; on the CPU 32-true, since bf16
            without the instructions took 45 times as long), or one of Lightning's names.

    Raises:
        DeviceError: CUDA or another accelerator was asked for and is not there.
    """
    accelerator, count, notes = _devices(devices)
    nodes = 1
    if devices == "auto":
        count, nodes = _launched() or (count, nodes)
    return Hardware(accelerator, count, nodes, _precision(precision, accelerator, notes), tuple(notes))


def _launched() -> tuple[int, int] | None:
    """Processes a node and nodes, where a launcher started this process; Lightning alone would train separate models."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env:  # torchrun
        local = int(env["LOCAL_WORLD_SIZE"])
        return local, int(env.get("WORLD_SIZE", local)) // local
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(env.get("SLURM_NNODES", 1))
        return int(env["SLURM_NTASKS"]) // nodes, nodes
    return None


def _devices(devices: Any) -> tuple[str, Any, list[str]]:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if devices == "auto":
        notes = []
        if best == "cuda" and torch.cuda.device_count() > 1:
            notes.append(f"devices: 1 of {torch.cuda.device_count()} GPUs; devices={torch.cuda.device_count()} takes all")
        return best, 1, notes
    if isinstance(devices, str):
        name, _, index = devices.partition(":")
        name = "cuda" if name == "gpu" else name
        if name not in ACCELERATORS or (index and not index.isdigit()):
            raise UnknownNameError("device", devices, ACCELERATORS, "Give a number, a list of indices, or a name such as 'cpu' or 'cuda:0'.")
        _refuse_missing(name, best, int(index) if index else 0)
        return name, [int(index)] if index else 1, []
    if isinstance(devices, bool) or not isinstance(devices, (int, list, tuple)) or devices in (0, [], ()):
        raise ArgumentError(f"devices is 'auto', a number above 0, a list of indices, or a name. {devices!r} came. Give one of these.")
    indices = [devices - 1] if isinstance(devices, int) and devices > 0 else list(devices) if not isinstance(devices, int) else [0]
    if best != "cpu":
        _refuse_missing(best, best, max(indices))
    count = devices if isinstance(devices, int) else len(devices)
    return best, devices, [f"devices: {count} processes on the CPU, each with batches of its own"] if best == "cpu" and count > 1 else []


def _refuse_missing(name: str, best: str, index: int) -> None:
    if name == "cuda" and not torch.cuda.is_available():
        built = "this torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        raise DeviceError(f"CUDA was asked for. There is none: {built}. Use devices='auto' or devices='cpu'.")
    if name == "mps" and best != "mps":
        raise DeviceError("MPS was asked for. This machine has none. Use devices='auto' or devices='cpu'.")
    if name == "cuda" and index >= torch.cuda.device_count():
        raise DeviceError(f"GPU {index} was asked for. There are {torch.cuda.device_count()}, counted from 0. Choose one of these.")


def _precision(precision: Any, accelerator: str, notes: list[str]) -> Any:
    if precision == "auto":
        if accelerator != "cuda":
            return "32-true"
        chosen = "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        notes.append(f"precision: {chosen}")
        return chosen
    precision = SHORT.get(precision, precision)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    return precision
