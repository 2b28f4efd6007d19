"""Columns of predictions and what they were made of -> `Results`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastgpu.answers.base import Answers
from fastgpu.reading.base import Reader
from fastgpu.reading.film_writing import write_film
from fastgpu.results import FILMS, Results

__all__ = ["as_results", "forms_of"]

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
    write = (lambda i, path: painted(i).save(path)) if painted else None
    if answers.files:
        write = lambda i, path: answers.write(columns, i, path)  # noqa: E731
    rate = getattr(items, "frames_per_second", 10.0)
    film = (lambda numbers, path: write_film(path, map(painted, numbers), rate)) if painted else None
    title = lambda i: answers.title(columns, i)  # noqa: E731
    return Results(
        columns,
        names=answers.names,
        draw=draw,
        title=title,
        write=write,
        table=answers.table,
        film=film,
        speed=speed,
        forms=forms_of(answers, reader, items),
    )


def forms_of(answers: Answers, reader: Reader, items: Any) -> tuple[str, ...]:
    """Suffixes of the files in which predictions of these items can be saved; see `as_results`.

    Example:
        >>> from fastgpu.answers.classes import ClassAnswers
        >>> from fastgpu.reading.text import TextReader
        >>> forms_of(ClassAnswers(classes=("bad", "good")), TextReader(tokenizer="", max_length=9), ["well"])
        ('.csv',)
    """
    painted = _pictures(answers, reader, items) is not None
    return (
        *((".csv",) if answers.tabled else ()),
        *(answers.files or (PICTURES if painted else ())),
        *(FILMS if painted else ()),
    )


def _painted(answers: Answers, reader: Reader, columns: Mapping[str, Any], items: Any) -> Callable[[int], Any] | None:
    """Number of an item -> its picture with the prediction over it; None where that cannot be."""
    pictures = _pictures(answers, reader, items)
    return None if pictures is None else lambda i: answers.paint(pictures(i).copy(), columns, i)


def _pictures(answers: Answers, reader: Reader, items: Any) -> Callable[[int], Any] | None:
    return reader.pictures(items) if items is not None and answers.paints else None
