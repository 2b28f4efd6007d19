"""TensorBoard, from the extra `tensorboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.callbacks.trackers.base import TRACKERS
from fastgpu.optional import require


@TRACKERS.register("tensorboard")
def tensorboard(folder: Path, settings: dict[str, Any]) -> Any:
    """A `TensorBoardLogger` that writes to `<run>/tensorboard/`."""
    require("tensorboard", need="The logger 'tensorboard'")
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")
