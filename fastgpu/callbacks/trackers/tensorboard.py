"""TensorBoard, from the extra `tensorboard`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from fastgpu.callbacks.trackers.base import TRACKERS, Tracker
from fastgpu.optional import require


class TensorBoard(Tracker, TensorBoardLogger):
    """Lightning's logger, which also writes steps, pictures of the run folder and compression reports."""

    def begin(self, folder: Path, facts: Mapping[str, Any]) -> None:
        lines = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in facts.items()]
        self.experiment.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *lines]))

    def log_step(self, row: Mapping[str, float], step: int) -> None:
        self.log_metrics({f"step/{key}": value for key, value in row.items()}, step)

    def log_fit(self, interpretation: Any, folder: Path) -> None:
        import numpy as np
        from PIL import Image

        for file in sorted(folder.glob("*.png")):
            with Image.open(file) as picture:
                self.experiment.add_image(f"pictures/{file.stem}", np.asarray(picture.convert("RGB")), dataformats="HWC")
        self.save()

    def log_report(self, report: Any) -> None:
        self.experiment.add_text("compression/report", "    " + str(report).replace("\n", "\n    "))
        self.save()


@TRACKERS.register("tensorboard")
def tensorboard(folder: Path, settings: dict[str, Any]) -> Any:
    """A logger that writes to `<run>/tensorboard/`."""
    require("tensorboard", need="The logger 'tensorboard'")
    return TensorBoard(folder, name="tensorboard", version="")
