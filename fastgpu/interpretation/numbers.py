"""Interpretation of a regression: what is left between prediction and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastgpu.interpretation.base import Interpretation

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["NumberInterpretation"]

MOST_PANELS = 4
"""Targets that are drawn."""


class NumberInterpretation(Interpretation):
    """How far predicted numbers are from the true ones: `learn.interpret()`.

    Attributes:
        targets: `(n, k)` true numbers in their own units.
        values: `(n, k)` predicted numbers likewise.
    """

    task: ClassVar[str] = "regression"

    @property
    def values(self) -> np.ndarray:
        """`(n, k)` predicted numbers in the targets' own units."""
        return self._outputs

    @property
    def target_names(self) -> tuple[str, ...]:
        """Name of each of the `k` targets; `"value"`, or `"value 0"` and so on, where they have none."""
        if self.names:
            return tuple(map(str, self.names))
        k = self.targets.shape[1]
        return ("value",) if k == 1 else tuple(f"value {j}" for j in range(k))

    def truth(self, i: int) -> Any:
        return self._plain(self.targets[i])

    def predicted(self, i: int) -> Any:
        return self._plain(self._outputs[i])

    def title(self, i: int) -> str:
        predicted, truth = (", ".join(f"{v:.4g}" for v in row) for row in (self._outputs[i], self.targets[i]))
        return f"{predicted}\ntruth {truth}"

    def _plain(self, row: np.ndarray) -> Any:
        return float(row[0]) if len(row) == 1 else ", ".join(f"{name} {v:.4g}" for name, v in zip(self.target_names, row))

    def residuals(self) -> DataFrame:
        """One row an item and target: `item`, `target`, `truth`, `predicted`, and `residual`, which is truth less prediction."""
        import pandas as pd

        n, k = self.targets.shape
        frame = pd.DataFrame(
            {
                "item": self.numbers.repeat(k),
                "target": np.tile(np.array(self.target_names, dtype=object), n),
                "truth": self.targets.reshape(-1),
                "predicted": self._outputs.reshape(-1),
            }
        )
        return frame.assign(residual=frame["truth"] - frame["predicted"])

    def plot_residuals(self) -> Figure:
        """Prediction over truth, and how often each residual comes; a row a target, four at most."""
        from fastgpu.figures import Figure, literal

        shown = self.target_names[:MOST_PANELS]
        figure = Figure(figsize=(8.4, 3.6 * len(shown)), layout="constrained")
        panels: Any = figure.subplots(len(shown), 2, squeeze=False)
        for j, (name, (left, right)) in enumerate(zip(shown, panels)):
            truth, predicted = self.targets[:, j], self._outputs[:, j]
            ends = [truth.min(), truth.max()]
            left.plot(ends, ends, "--", color="grey", linewidth=1)
            left.scatter(truth, predicted, s=9, alpha=0.5, linewidths=0, rasterized=True)
            left.set(title=literal(name), xlabel="truth", ylabel="predicted")
            right.hist(truth - predicted, bins=30)
            right.axvline(0, linestyle="--", color="grey", linewidth=1)
            right.set(title="residuals", xlabel="truth less predicted", ylabel="items")
            for axes in (left, right):
                axes.grid(alpha=0.3)
        return figure
