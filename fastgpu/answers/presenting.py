"""Columns of predictions and what they were made of -> `Results`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastgpu.answers.base import Answers
from fastgpu.errors import ArgumentError
from fastgpu.reading.base import Reader
from fastgpu.reading.film_writing import write_film
from fastgpu.results import FILMS, Results

__all__ = ["as_results"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Suffixes of pictures that predictions are drawn over."""


def as_results(
    answers: Answers,
    reader: Reader,
    columns: Mapping[str, Any],
    items: Any,
    *,
    draw: Callable[[Any, int], None] | None,
    speed: float,
) -> Results:
    """Predictions as `Results` that can be saved, drawn and painted.

    Args:
        answers: of the task.
        reader: of the items.
        columns: what `answers.columns` gave, and where the items come from.
        items: the items as they came; None where they are known encoded only.
        draw: `draw(axes, i)` draws item `i`; None where the items cannot be drawn.
        speed: items predicted a second.
    """
    painted = _painted(answers, reader, columns, items)
    write = (lambda i, path: _write_picture(painted(i), path)) if painted else None
    if answers.writes:
        write = lambda i, path: answers.write(columns, i, path)  # noqa: E731
    rate = getattr(items, "frames_per_second", 10.0)
    film = (lambda numbers, path: write_film(path, map(painted, numbers), rate)) if painted else None
    title = lambda i: answers.title(columns, i)  # noqa: E731
    return Results(columns, names=answers.names, draw=draw, title=title, write=write, table=answers.table, film=film, speed=speed)


def _painted(answers: Answers, reader: Reader, columns: Mapping[str, Any], items: Any) -> Callable[[int], Any] | None:
    """Number of an item -> its picture with the prediction over it; None where that cannot be."""
    pictures = reader.pictures(items) if items is not None and answers.paints else None
    return None if pictures is None else lambda i: answers.paint(pictures(i).copy(), columns, i)


def _write_picture(picture: Any, path: Path) -> None:
    if path.suffix.lower() not in PICTURES:
        raise ArgumentError(
            f"Pictures with their predictions are written as {', '.join(PICTURES)}, or as a film: {', '.join(FILMS)}. {path.name!r} came. "
            "Give such a name, or a .csv for a table."
        )
    picture.save(path)
