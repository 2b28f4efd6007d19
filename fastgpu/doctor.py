"""The doctor: what is installed here, what it can use, and what is known to be bad.

    from fastgpu.doctor import examine
    print(examine())
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
from collections.abc import Mapping
from importlib import metadata

import fastgpu
from fastgpu.optional import EXTRAS, available

__all__ = ["Report", "examine", "known_bad"]

PACKAGES = ("torch", "lightning", "torchmetrics", "timm", "torchvision", "wandb", "numpy", "pandas")
# torchaudio is reported where it is found, and not missed where it is not.
UNWANTED = ("torchaudio",)
MALICIOUS = {"lightning": ("2.6.2", "2.6.3"), "pytorch-lightning": ("2.6.2", "2.6.3")}
GB = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What `examine` found; prints as a table.

    Args:
        versions: package -> its version, None where it is not installed.
        devices: each device in words.
        memory: bytes of memory that are free, None where the system does not tell.
        disk: bytes that are free in the current folder.
        extras: optional package -> whether it is installed.
        problems: what is known to be bad and how to mend it, each one line.
    """

    versions: Mapping[str, str | None]
    devices: tuple[str, ...]
    memory: int | None
    disk: int
    extras: Mapping[str, bool]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        wide = 2 + max(map(len, (*self.versions, *self.extras, "memory")))
        lines = ["versions", *(f"  {name:<{wide}}{version or 'not installed'}" for name, version in self.versions.items())]
        lines += ["devices", *(f"  {device}" for device in self.devices)]
        memory = "unknown" if self.memory is None else f"{self.memory / GB:.1f} GB"
        lines += ["free", f"  {'memory':<{wide}}{memory}", f"  {'disk':<{wide}}{self.disk / GB:.1f} GB, in this folder"]
        lines += ["optional", *(f"  {name:<{wide}}{_installed(name, there)}" for name, there in self.extras.items())]
        return "\n".join([*lines, "problems", *(f"  {line}" for line in self.problems or ("none known",))])


def examine() -> Report:
    """Look at this machine; nothing is changed, and nothing is fetched.

    Returns:
        The report; `report.problems` is empty where nothing is known to be bad.

    Example:
        >>> report = examine()
        >>> report.devices[0].startswith("CPU")
        True
    """
    found = {name: _version(name) for name in (*PACKAGES, "pytorch-lightning", *UNWANTED)}
    devices, broken = _devices()
    problems = [*known_bad(found), *broken, *_torchvision()]
    shown = {name: version for name, version in found.items() if name in PACKAGES or (version and name in UNWANTED)}
    return Report(
        versions={"fastgpu": fastgpu.__version__, "python": platform.python_version(), **shown},
        devices=tuple(devices),
        memory=_free_memory(),
        disk=shutil.disk_usage(".").free,
        extras={name: available(name) for name in EXTRAS},
        problems=tuple(dict.fromkeys(problems)),
    )


def known_bad(versions: Mapping[str, str | None]) -> list[str]:
    """Versions that are known to be bad, alone or together; each line says what to do.

    Args:
        versions: package -> version, None or left out where it is not installed.

    Example:
        >>> known_bad({"torch": "2.15.0", "torchaudio": "2.11.0"})
        ['torchaudio 2.11.0 does not go with torch 2.15.0: ...pip uninstall torchaudio']
        >>> known_bad({"torch": "2.11.0+cu130", "torchaudio": "2.11.0"})
        []
    """
    lines = [
        f"{name} {versions[name]} was malicious: renew every key and password that this machine holds. "
        f"Run: pip install '{name}>=2.6.6'"
        for name, bad in MALICIOUS.items()
        if versions.get(name) in bad
    ]
    torch, audio = versions.get("torch"), versions.get("torchaudio")
    # torchaudio is built against one torch, whose number it bears.
    if torch and audio and _release(torch) != _release(audio):
        lines.append(
            f"torchaudio {audio} does not go with torch {torch}: importing it fails, and so do packages that import it. "
            "Run: pip uninstall torchaudio"
        )
    return lines


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[str, ...]:
    """`"2.15.0+cu132"` -> `("2", "15")`."""
    return tuple(re.findall(r"\d+", version)[:2])


def _installed(package: str, there: bool) -> str:
    return _version(package) or "installed" if there else f"not installed; pip install 'fastgpu[{EXTRAS[package]}]'"


def _devices() -> tuple[list[str], list[str]]:
    """Devices in words, and what keeps torch from finding them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = [f"CPU, {cores} core{'s' if cores > 1 else ''}"]
    try:
        import torch
    # A torch that is only half there fails in many ways: a missing library, a missing symbol.
    except Exception as error:  # noqa: BLE001
        return devices, [f"torch cannot be imported: {_line(error)}. Run: pip install --force-reinstall torch torchvision"]
    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        free, total = torch.cuda.mem_get_info(i)
        memory, capability = f"{free / GB:.1f} of {total / GB:.1f} GB free", f"{facts.major}.{facts.minor}"
        devices.append(f"GPU {i}, {facts.name}, {memory}, compute capability {capability}")
    if torch.backends.mps.is_available():
        devices.append("MPS, the GPU of this Mac")
    return devices, []


def _torchvision() -> list[str]:
    """Whether torchvision goes with torch: only its import tells."""
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "torchvision":
            return ["torchvision is not installed, and timm needs it. Run: pip install torchvision"]
        return [f"torchvision cannot be imported: {_line(error)}. Run: pip install --force-reinstall torch torchvision"]
    # "operator torchvision::nms does not exist" is what a torchvision of another torch ends in; a missing symbol is another way.
    except Exception as error:  # noqa: BLE001
        return [f"torchvision does not match torch: {_line(error)}. Run: pip install --force-reinstall torch torchvision"]
    return []


def _line(error: Exception) -> str:
    return " ".join((str(error).splitlines() or [type(error).__name__])[0].split()).rstrip(".")


def _free_memory() -> int | None:
    """Bytes that a process can still take."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
