"""Where progress is shown: in a terminal, in a notebook, or as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol

from fastgpu.callbacks.progress_bar import TerminalBar, is_terminal

__all__ = ["REFRESH_SECONDS", "Display", "display_for"]

REFRESH_SECONDS = 0.5
"""A bar and a notebook's table are drawn anew at most this often, which keeps their cost below 1 % of an epoch."""

CELLS = 400
"""Cells of a notebook's table, at most: a fit of a thousand epochs must not swell the saved notebook."""

Row = Mapping[str, float]


class Display(Protocol):
    """What shows the progress of one run."""

    def doing(self, what: str, done: int, of: int | None) -> None:
        """Show that `done` batches are through, of `of` where the number is known."""

    def row(self, row: Row) -> None:
        """Show an epoch's row."""

    def close(self) -> None:
        """Leave the rows, and nothing else."""


def display_for(epochs: int, earlier: Sequence[Row] = ()) -> Display:
    """The display for where the output goes.

    Args:
        epochs: number of the last epoch.
        earlier: rows of a fit that was cut off and goes on now.
    """
    if _in_notebook():
        return Notebook(epochs, earlier)
    if is_terminal(sys.stdout):
        from rich.console import Console

        console = Console(file=sys.stdout, force_terminal=True, force_jupyter=False, highlight=False)
        # A terminal that cannot erase a line (TERM=dumb, an old Windows) gets lines alone.
        if not console.is_dumb_terminal and not console.legacy_windows:
            return Terminal(epochs, console)
    return Lines(epochs)


def _in_notebook() -> bool:
    # IPython is asked only where it runs already: a script need not import it. Its shell in a terminal has no kernel.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class Lines:
    """A line an epoch; the header comes first, and again where an epoch brings other keys."""

    def __init__(self, epochs: int) -> None:
        self.columns = Columns(epochs)
        self.header: list[str] = []

    def doing(self, what: str, done: int, of: int | None) -> None:
        pass

    def row(self, row: Row) -> None:
        self.columns.add(row)
        lines = [self.columns.line(self.columns.texts(row))]
        if self.header != self.columns.keys:
            self.header = self.columns.keys
            lines.insert(0, self.columns.line(self.header))
        _print(lines)

    def close(self) -> None:
        pass


class Terminal(Lines):
    """Lines, and below them a bar for what runs; where the lines are too wide, each epoch is folded."""

    def __init__(self, epochs: int, console: Any) -> None:
        super().__init__(epochs)
        self.console = console
        self.bar = TerminalBar(console)

    def doing(self, what: str, done: int, of: int | None) -> None:
        self.bar.show(what, done, of)

    def row(self, row: Row) -> None:
        self.columns.add(row)
        if len(self.columns.line(self.columns.keys)) < self.console.width:
            super().row(row)
        else:
            self.header = []
            _print(self.columns.folded(row, self.console.width))

    def close(self) -> None:
        self.bar.close()


class Notebook:
    """One table that is updated in place, and that stays in the saved notebook.

    It is plain HTML without colours: widgets are not in every notebook and do not survive saving, and themes are light and dark.
    """

    def __init__(self, epochs: int, earlier: Sequence[Row] = ()) -> None:
        from IPython.display import display  # type: ignore[import-not-found]

        self.columns, self.rows = Columns(epochs), list(earlier)
        for row in earlier:
            self.columns.add(row)
        self.handle: Any = display(self._bundle(), raw=True, display_id=True)
        self.drawn = 0.0

    def doing(self, what: str, done: int, of: int | None) -> None:
        share = f' value="{done}" max="{of}"' if of else ""
        self._update(f"<div><progress{share}></progress> {escape(what)}, batch {done}/{of or '?'}</div>")

    def row(self, row: Row) -> None:
        self.columns.add(row)
        self.rows.append(row)
        if time.monotonic() - self.drawn > REFRESH_SECONDS:  # else the next batch shows it, or the end
            self._update()

    def close(self) -> None:
        self._update()

    def _update(self, status: str = "") -> None:
        self.handle.update(self._bundle(status), raw=True)
        self.drawn = time.monotonic()

    def _bundle(self, status: str = "") -> dict[str, str]:
        if not self.rows:
            return {"text/html": status, "text/plain": ""}
        shown = self.rows[-max(5, CELLS // len(self.columns.keys)) :]
        earlier = len(self.rows) - len(shown)
        note = f"{earlier} earlier epochs are in learn.history" if earlier else ""
        lines = [note] * bool(note) + [self.columns.line(texts) for texts in (self.columns.keys, *map(self.columns.texts, shown))]
        return {"text/html": self.columns.html(shown, note) + status, "text/plain": "\n".join(lines)}


def _print(lines: Sequence[str]) -> None:
    """In one piece, where `print` would write each line and its end by themselves."""
    print("".join(f"{line}\n" for line in lines), end="", flush=True)


class Columns:
    """The keys that rows have had so far, and rows as text.

    Args:
        epochs: number of the last epoch.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.keys: list[str] = ["seconds"]

    def add(self, row: Row) -> None:
        """Take note of the keys of a row; `seconds` stays the last, and `lr` is left to the history."""
        if new := [key for key in row if key not in self.keys and key != "lr"]:
            self.keys = [*self.keys[:-1], *new, "seconds"]

    def texts(self, row: Row) -> list[str]:
        """A row's values as text; empty where the row has none."""
        return [self._text(key, row.get(key)) for key in self.keys]

    def line(self, texts: Sequence[str]) -> str:
        """Texts under each other's like, a column a key."""
        return "  ".join(text.rjust(max(len(key), 7)) for key, text in zip(self.keys, texts))

    def folded(self, row: Row, width: int) -> list[str]:
        """A row as names with values, in as many lines as it takes."""
        lines = [""]
        for key, text in zip(self.keys, self.texts(row)):
            pair = f"{key} {text}"
            if lines[-1] and len(lines[-1]) + 2 + len(pair) >= width:
                lines.append("")
            lines[-1] += ("  " if lines[-1] or len(lines) > 1 else "") + pair
        return lines

    def html(self, rows: Sequence[Row], note: str) -> str:
        """Rows as a table that scrolls where it is too wide; the note goes above them."""

        def line(tag: str, texts: Sequence[str]) -> str:
            return '<tr style="text-align: right">' + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

        above = f'<tr><td colspan="{len(self.keys)}">{escape(note)}</td></tr>' if note else ""
        body = above + "".join(line("td", self.texts(row)) for row in rows)
        head = f"<thead>{line('th', self.keys)}</thead>"
        return f'<div style="overflow-x: auto"><table class="dataframe">{head}<tbody>{body}</tbody></table></div>'

    def _text(self, key: str, value: float | None) -> str:
        if value is None:
            return ""
        if key == "epoch":
            return f"{int(value)}/{self.epochs}"
        if key == "seconds":
            return f"{value:.1f}"
        # Four decimals tell nothing of a loss of 0.00002, and too much of one of a million.
        return f"{value:.4f}" if value == 0 or value != value or 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"
