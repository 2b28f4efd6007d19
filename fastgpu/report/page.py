"""The page: facts into a template. Everything is escaped; nothing is fetched."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastgpu.report.charts import Chart, number

__all__ = ["Facts", "Picture", "Table", "render"]

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells.

    Args:
        columns: headings; those of numbers are set to the right.
        rows: cells: words and numbers.
        note: one sentence above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    @property
    def right(self) -> list[bool]:
        """Which columns hold numbers alone."""
        cells = [[row[i] for row in self.rows] for i in range(len(self.columns))]
        return [bool(column) and all(isinstance(cell, (int, float)) for cell in column if cell is not None) for column in cells]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG with the words below it."""

    name: str
    png: bytes
    caption: str

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        width, height = struct.unpack(">II", self.png[16:24])  # where the header of a PNG has them
        return width > 1.5 * height

    @property
    def uri(self) -> str:
        """The picture itself, in the page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the page shows.

    Args:
        title: what was trained on what.
        subtitle: the task, in one line.
        tiles: `(what, value, further words)` in large type.
        notices: what a reader must know: a part was looked at, a fit was interrupted.
        charts: curves of the training.
        result_charts: curves of the results.
        history: the rows of the history.
        pictures: drawings.
        confusion: `(names, counts)` of a confusion matrix, drawn by the page; None: there is none, or too many classes.
        tables: title -> table.
        compression: what each report of compression holds: its title, steps as a table, notes.
        facts: group -> `(name, value)` rows.
        shell: the command that repeats the run; empty where a shell cannot.
        python: the lines that repeat it; empty where none can.
        repeat_note: what stands against repeating it.
        made: when.
    """

    title: str
    subtitle: str
    tiles: Sequence[tuple[str, str, str]] = ()
    notices: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    result_charts: Sequence[Chart] = ()
    history: Table | None = None
    pictures: Sequence[Picture] = ()
    confusion: tuple[Sequence[str], Sequence[Sequence[int]]] | None = None
    tables: Mapping[str, Table] = dataclasses.field(default_factory=dict)
    compression: Sequence[tuple[str, Table, Sequence[str]]] = ()
    facts: Mapping[str, Sequence[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    shell: str = ""
    python: str = ""
    repeat_note: str = ""
    made: datetime.datetime = dataclasses.field(default_factory=datetime.datetime.now)


def render(facts: Facts) -> str:
    """The page as HTML.

    Example:
        >>> "<h1>a &lt;b&gt;</h1>" in render(Facts(title="a <b>", subtitle=""))
        True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": _cell, "json": _json}
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(facts=facts, style=style, script=script)


def _cell(value: Any) -> str:
    """A cell as people read it; metrics keep four digits after the point, so that columns line up."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if isinstance(value, float) and (value == 0 or 0.01 <= abs(value) < 10):
        return f"{value:.4f}"
    return number(value)


def _json(value: Any) -> str:
    """JSON, to stand in an attribute, where the template escapes it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
