"""The verbs of a Learner that look: at items, at results, and at what is right and wrong in them.

They stand apart for length alone: each builds nothing and hands over to the module that knows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu import looking
from fastgpu.config import known_keywords
from fastgpu.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastgpu.interpretation import Interpretation

__all__ = ["LookingVerbs"]


class LookingVerbs:
    """What `Learner` inherits: `show_batch`, `show_results`, `interpret`, `report`."""

    def show_batch(self: Any, n: int = 9) -> Figure:
        """Draw training items with their targets, as the network sees them."""
        return looking.show_batch(self, n)

    def show_results(self: Any, n: int = 9, split: str | None = None) -> Figure:
        """Draw items with prediction and truth, of the split named, such as `"test"`; None: the val split."""
        return looking.show_results(self, n, split)

    @known_keywords
    def interpret(self: Any, data: Any = None) -> Interpretation:
        """What the network gets right and wrong: confusion, worst items, slices, calibration, curves, residuals.

        Args:
            data: as `evaluate` takes; None: the val split, else the training one.

        Returns:
            The task's `Interpretation`: of a classification, a multilabel task or a regression.

        Raises:
            ArgumentError: the task is another one.
        """
        from fastgpu.interpreting import interpret

        return interpret(self, data)

    @known_keywords
    def report(self: Any, path: str | os.PathLike[str] | None = None) -> Path:
        """Write one page of all that is known of this run: curves, tables, pictures, facts, and how to repeat it.

        It needs no account and no network, and fetches nothing; a fit leaves one in its run folder.

        Args:
            path: the file, `.html`, which a name without a suffix gets; None: `report.html` in the run's folder.

        Returns:
            The file.

        Raises:
            ArgumentError: there is no run folder yet, and no path came; the suffix is another.
            RunFolderError: the file cannot be written.
        """
        from fastgpu.reporting import write_report

        if path is not None and Path(path).suffix not in ("", ".html"):
            raise ArgumentError(f"A report is an .html file. {str(path)!r} came. Give for example report('report.html').")
        path = None if path is None else Path(path).with_suffix(".html")
        return write_report(self, path)
