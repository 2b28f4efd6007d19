"""CSV: Lightning's own CSV logger, beside the run's `history.csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.callbacks.trackers.base import TRACKERS


@TRACKERS.register("csv")
def csv(folder: Path, settings: dict[str, Any]) -> Any:
    """A `CSVLogger` that writes to `<run>/csv/`."""
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="csv", version="")
