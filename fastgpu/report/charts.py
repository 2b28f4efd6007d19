"""Curves as SVG that needs no script to be seen; a few lines of script let them be read value by value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastgpu.history import History

__all__ = ["Chart", "history_charts", "number", "ticks"]

SIDE = 1000  # units of the drawing, which the page stretches to whatever room there is
MOST_DOTS = 40
"""Points up to which each is marked."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one axis.

    Args:
        title: what is drawn.
        axis: what the values of `x` are, in one word.
        x: `(n,)` rising numbers.
        lines: name -> `(n,)` values; NaN where there is none.
        note: one sentence below the title.
    """

    title: str
    axis: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    note: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """What the script reads: values as they are shown, places in per cent of the drawing."""
        places = {name: [self._place(value) for value in values] for name, values in self.lines.items()}
        return {
            "axis": self.axis,
            "x": [number(value) for value in self.x],
            "left": [round(100 * self._across(value), 3) for value in self.x],
            "lines": [
                {"name": name, "values": [number(v) for v in values], "bottom": places[name]} for name, values in self.lines.items()
            ],
        }

    @property
    def y_ticks(self) -> list[tuple[str, float]]:
        """Labels of the upright axis and their height in per cent."""
        return [(number(value), round(100 * self._up(value), 3)) for value in self._ticks]

    @property
    def x_ticks(self) -> list[tuple[str, float]]:
        """Labels of the lying axis and their place in per cent: the first, some between, the last."""
        whole = all(float(value).is_integer() for value in self.x)
        inner = [value for value in ticks(min(self.x), max(self.x), 6) if min(self.x) <= value <= max(self.x)]
        shown = [value for value in inner if not whole or float(value).is_integer()]
        return [(number(value), round(100 * self._across(value), 3)) for value in shown or [self.x[0]]]

    @property
    def paths(self) -> list[dict[str, str]]:
        """Path data of each line, and of its marks where the points are few."""
        return [{"name": name, "line": self._path(values), "dots": self._dots(values)} for name, values in self.lines.items()]

    def _path(self, values: Sequence[float]) -> str:
        parts, pen = [], "M"
        for x, value in zip(self.x, values):
            if not math.isfinite(value):
                pen = "M"
                continue
            parts.append(f"{pen}{SIDE * self._across(x):.1f} {SIDE * (1 - self._up(value)):.1f}")
            pen = "L"
        return "".join(parts)

    def _dots(self, values: Sequence[float]) -> str:
        if len(self.x) > MOST_DOTS:
            return ""
        points = ((x, value) for x, value in zip(self.x, values) if math.isfinite(value))
        return "".join(f"M{SIDE * self._across(x):.1f} {SIDE * (1 - self._up(value)):.1f}h0" for x, value in points)

    def _place(self, value: float) -> float | None:
        return round(100 * self._up(value), 3) if math.isfinite(value) else None

    def _across(self, x: float) -> float:
        low, high = min(self.x), max(self.x)
        return (x - low) / (high - low) if high > low else 0.5

    @property
    def _ticks(self) -> list[float]:
        finite = [value for values in self.lines.values() for value in values if math.isfinite(value)]
        return ticks(min(finite), max(finite), 5) if finite else [0.0, 1.0]

    def _up(self, value: float) -> float:
        low, high = self._ticks[0], self._ticks[-1]
        return (value - low) / (high - low)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that span `low` to `high`, about so many.

    Example:
        >>> ticks(0.13, 0.97, 5)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> ticks(5, 5, 5)
        [4.0, 5.0, 6.0]
    """
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        step = abs(low) * 0.2 or 1.0
        return [low - step, float(low), low + step]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]


def number(value: float) -> str:
    """A number as people read it; a dash for NaN.

    Example:
        >>> number(0.03421), number(19283.4), number(3.14e-05), number(float("nan"))
        ('0.03421', '19,283', '3.1e-05', '–')
    """
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.2g}"


def history_charts(history: History) -> list[Chart]:
    """A chart for each key of a history: training and validation together, then learning rate and time."""
    if not len(history):
        return []
    names = [key for key in history.keys() if key not in ("epoch", "lr", "seconds") and not key.startswith("val_")]
    names += [key[4:] for key in history.keys() if key.startswith("val_") and key[4:] not in names]
    charts = []
    for name in names:
        both = {"training": name, "validation": f"val_{name}"}
        lines = {label: history[key] for label, key in both.items() if key in history.keys()}
        charts.append(Chart(title=name.replace("_", " "), axis="epoch", x=history.epoch, lines=lines))
    for name, title in (("lr", "learning rate"), ("seconds", "seconds an epoch")):
        if name in history.keys():
            charts.append(Chart(title=title, axis="epoch", x=history.epoch, lines={title: history[name]}))
    return charts
