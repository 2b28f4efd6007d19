"""CompressionReport: what a network was before, and what each step of compressing it made of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

__all__ = ["CompressionReport"]

NUMBERS = ("parameters", "macs", "size_kb", "latency_1_ms", "latency_32_ms")
"""Numbers that are also shown as a share of the first step's."""


class CompressionReport:
    """Steps of compression with what was measured after each, in plain numbers and words; it prints as a table.

    Usual keys of a step: `step` (its name), the task's metric by its own name, `parameters`, `macs` (an item's
    multiplications with addition), `size_kb` (of the file), `latency_1_ms` and `latency_32_ms` (median CPU time of a batch of 1
    and of 32), `spread_1_ms` and `spread_32_ms` (between the quartiles), `threads`.

    Args:
        title: what was compressed.

    Attributes:
        steps: the steps in order, the first one being the network as it came.
        notes: what was pruned, quantized or left out, and why, in sentences.

    Example:
        >>> report = CompressionReport("mlp on digits")
        >>> report.add("as it came", accuracy=0.98, parameters=9610)
        >>> report.add("pruned", accuracy=0.97, parameters=4810)
        >>> report.ratio("parameters")
        0.5005...
        >>> print(report)
        mlp on digits
          step         accuracy   parameters
          as it came     0.9800        9,610
          pruned         0.9700   4,810 (50%)
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.steps: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def add(self, step: str, **values: float | str) -> None:
        """Add a step with what was measured after it."""
        self.steps.append({"step": step, **values})

    def note(self, line: str) -> None:
        """Add a sentence about what was done or left out."""
        self.notes.append(line)

    def ratio(self, key: str, step: int = -1) -> float:
        """A number of a step as a share of the first step's; step -1 is the last."""
        return self.steps[step][key] / self.steps[0][key]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {"title": self.title, "steps": [dict(step) for step in self.steps], "notes": list(self.notes)}

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame, one row a step."""
        import pandas as pd

        return pd.DataFrame(self.steps)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(box=None, title=self.title or None, title_justify="left", title_style="", header_style="", pad_edge=True)
        keys = list(dict.fromkeys(key for step in self.steps for key in step if not key.startswith(("spread_", "threads"))))
        for key in keys:
            table.add_column(_heading(key), justify="left" if key == "step" else "right", no_wrap=True)
        for step in self.steps:
            table.add_row(*[self._cell(step, key) for key in keys])
        return table

    def _cell(self, step: dict[str, Any], key: str) -> str:
        value = step.get(key, "")
        if isinstance(value, str) or key not in NUMBERS:
            return f"{value:.4f}" if isinstance(value, float) else str(value)
        text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        spread = step.get(key.replace("latency", "spread")) if key.startswith("latency") else None
        text += f" ±{spread:.2g}" if spread is not None else ""
        first = self.steps[0].get(key)
        return text if step is self.steps[0] or not first else f"{text} ({value / first:.0%})"

    def __str__(self) -> str:
        from rich.console import Console

        file = io.StringIO()
        Console(file=file, width=200, color_system=None, force_jupyter=False).print(self)
        lines = [line.rstrip() for line in file.getvalue().splitlines()]
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        return str(self)


def _heading(key: str) -> str:
    """`latency_32_ms` -> `latency 32 (ms)`."""
    words = key.split("_")
    return " ".join(words[:-1]) + f" ({words[-1].upper() if words[-1] == 'kb' else words[-1]})" if words[-1] in ("kb", "ms") else key
