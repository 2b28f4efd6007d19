"""RunFolder: `runs/<name>/` with the settings, the machine, and the history as it grows."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from fastgpu.errors import RunFolderError

__all__ = ["RunFolder", "environment"]

PACKAGES = ("fastgpu", "torch", "lightning", "torchmetrics", "timm", "numpy", "pandas", "wandb")


class RunFolder(Callback):
    """Makes the run's folder when a fit begins and writes into it after each epoch.

    Args:
        out: folder in which runs are collected.
        name: name of the run; a number is added where it is taken.
        settings: plain data for `args.yaml`.
        stays: whether the folder is the user's; one that is to go is not told of.
    """

    def __init__(self, out: str | os.PathLike[str], name: str, settings: dict[str, Any], *, stays: bool = True) -> None:
        self.stays = stays
        self.out, self.name, self.settings = Path(out), re.sub(r"[^\w.-]+", "-", name).strip("-") or "run", settings
        self._path: Path | None = None

    def go_on_in(self, path: Path) -> None:
        """Use an existing run's folder instead of a new one."""
        self._path = path

    @property
    def path(self) -> Path:
        """The run's folder, once the fit has begun."""
        assert self._path is not None, "the run folder is made in setup"
        return self._path

    @property
    def made(self) -> bool:
        """Whether there is a folder yet."""
        return self._path is not None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if trainer.is_global_zero and self._path is None:
            arguments = _yaml(self.settings)
            self._path = self._make()
            self._write("args.yaml", arguments)
            self._write("env.json", json.dumps(environment(), indent=2))
        self._path = trainer.strategy.broadcast(self._path)

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        if trainer.is_global_zero:
            try:
                module.history.to_csv(self.path / "history.csv")
            except OSError as error:
                raise RunFolderError(f"history.csv must be written to {self.path}. It could not be: {error.strerror}.") from None

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._plot(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt) and self.made:
            self._plot(trainer, pl_module)

    def _plot(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero and len(pl_module.history):
            try:
                pl_module.history.plot().savefig(self.path / "history.png", dpi=110)
            except Exception as error:  # a drawing must not cost the fit
                warnings.warn(f"history.png is left out: {' '.join(str(error).split())}", stacklevel=2)

    def _make(self) -> Path:
        for number in itertools.count(1):
            path = self.out / (self.name if number == 1 else f"{self.name}-{number}")
            try:
                path.mkdir(parents=True, exist_ok=False)
                return path
            except FileExistsError:
                if not self.out.is_dir():
                    raise RunFolderError(f"out must be a folder. {self.out} is a file. Choose another out=.") from None
            except OSError as error:
                reason = error.strerror or str(error)
                raise RunFolderError(f"A run's folder must be made in {self.out}. It could not be: {reason}. Choose another out=.") from None
        raise AssertionError("unreachable")

    def _write(self, name: str, text: str) -> None:
        try:
            (self.path / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"{name} must be written to {self.path}. It could not be: {error.strerror}. Choose another out=.") from None


def environment() -> dict[str, Any]:
    """Versions and devices of this machine, as plain data."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": gpus,
        "command": sys.argv,
        "packages": found,
    }


def _yaml(settings: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
