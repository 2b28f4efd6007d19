"""Figures: matplotlib without pyplot, so that no window opens and no state is left behind.

Importing this module imports matplotlib: import it inside the function that draws.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib.figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Figure", "grid", "literal", "shortened"]


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook shows when it is the last value of a cell."""

    def _repr_png_(self) -> bytes:
        # IPython asks for this; matplotlib itself registers only figures that pyplot made.
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, cut in its middle: names often differ at their ends.

    Example:
        >>> shortened("a_very_long_name_1", 10)
        'a_ver…me_1'
    """
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def literal(text: Any, most: int = 24) -> str:
    """A name as matplotlib may show it: short, and no formula where it holds dollar signs."""
    return shortened(str(text), most).replace("$", r"\$")


def grid(
    n: int,
    draw: Callable[[Axes, int], None],
    title: Callable[[int], str] | None = None,
    *,
    side: float = 2.0,
) -> Figure:
    """Draw `n` items in a grid as near to a square as it can be.

    Args:
        n: how many items; 0 gives an empty figure.
        draw: `draw(axes, i)` draws item `i`, counted from 0.
        title: `title(i)` is the text above item `i`; None for no titles.
        side: width and height of an item in inches.

    Returns:
        The figure; `figure.savefig("grid.png")` writes it.

    Example:
        >>> figure = grid(4, lambda axes, i: axes.plot([0, i]), title=str)
        >>> [axes.get_title() for axes in figure.axes]
        ['0', '1', '2', '3']
    """
    columns = max(1, math.ceil(math.sqrt(n)))
    rows = max(1, math.ceil(n / columns))
    # Titles take a line above each item.
    figure = Figure(figsize=(columns * side, rows * (side + (0.3 if title else 0.0))), layout="constrained")
    for i in range(n):
        axes = figure.add_subplot(rows, columns, i + 1)
        draw(axes, i)
        if title is not None:
            lines = title(i).splitlines()
            axes.set_title("\n".join(shortened(line, round(12 * side)) for line in lines), fontsize=9, parse_math=False)
    return figure
