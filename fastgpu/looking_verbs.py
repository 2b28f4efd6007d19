"""The verbs of a Learner that look: at items, at results, and at what is right and wrong in them.

They stand apart for length alone: each builds nothing and hands over to the module that knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastgpu import looking
from fastgpu.config import known_keywords

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastgpu.interpretation import Interpretation

__all__ = ["LookingVerbs"]


class LookingVerbs:
    """What `Learner` inherits: `show_batch`, `show_results`, `interpret`."""

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
