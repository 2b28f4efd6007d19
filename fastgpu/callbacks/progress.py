"""Progress: one row an epoch, in a terminal, a notebook or a log."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.console import unbroken
from fastgpu.history import History

__all__ = ["Progress"]

REFRESH_SECONDS = 0.2


@CALLBACKS.register("progress")
class Progress(Callback):
    """Shows a table with one row an epoch: losses, metrics, seconds.

    In a terminal a bar tells how far the epoch is; in a notebook one table is updated in place; elsewhere plain lines.
    """

    def __init__(self) -> None:
        self._display: _Display | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._display = _display(pl_module.plan.last) if trainer.is_global_zero else None
        self._shown = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._display is not None and time.monotonic() - self._shown > REFRESH_SECONDS:
            self._shown = time.monotonic()
            with unbroken():
                self._display.batch(pl_module.epoch + 1, pl_module.step, pl_module.steps_an_epoch)

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        if self._display is not None:
            with unbroken():
                self._display.row(module.history.since(module.plan.first))
                sys.stdout.flush()

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None


class _Display(Protocol):
    def batch(self, epoch: int, done: int, of: int | None) -> None: ...
    def row(self, history: History) -> None: ...
    def close(self) -> None: ...


class _Lines:
    """Rows as lines; on a terminal with a bar for the epoch that runs."""

    def __init__(self, epochs: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs = epochs
        # A log has no width of its own; the rows must not be folded there.
        self.console = _console(width=None if sys.stdout.isatty() else 200)
        self.bar: Any = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=self.console, transient=True, auto_refresh=False)
            self.bar.start()
            self.bar_task = self.bar.add_task("", total=None)

    def batch(self, epoch: int, done: int, of: int | None) -> None:
        if self.bar is not None:
            self.bar.update(self.bar_task, description=f"epoch {epoch}/{self.epochs}", completed=done, total=of, refresh=True)

    def row(self, history: History) -> None:
        from rich.table import Table

        keys = [key for key in history.keys() if key != "lr"]
        table = Table(box=None, show_header=len(history) == 1, pad_edge=False, padding=(0, 2, 0, 0))
        for key in keys:
            table.add_column(key, justify="right", min_width=max(len(key), 7), no_wrap=True)
        table.add_row(*[_text(key, history.rows[-1].get(key), self.epochs) for key in keys])
        self.console.print(table)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _console(width: int | None) -> Any:
    """A rich console that leaves a broken pipe to `unbroken`; rich's own would end the process."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Patient(width=width)


class _Notebook:
    """One table, updated in place; it stays in the saved notebook."""

    def __init__(self, epochs: int) -> None:
        from IPython.display import HTML, display  # type: ignore[import-not-found]

        self.epochs, self.html = epochs, HTML
        self.handle: Any = display(HTML(f"<i>epoch 1/{epochs}</i>"), display_id=True)
        self.table = ""

    def batch(self, epoch: int, done: int, of: int | None) -> None:
        self.handle.update(self.html(f"{self.table}<i>epoch {epoch}/{self.epochs}, batch {done}/{of or '?'}</i>"))

    def row(self, history: History) -> None:
        frame = history.to_frame().drop(columns="lr")
        formats: Any = {key: lambda value, key=key: _text(key, value, self.epochs) for key in frame.columns}
        self.table = frame.to_html(index=False, formatters=formats, border=0)
        self.handle.update(self.html(self.table))

    def close(self) -> None:
        if self.table:
            self.handle.update(self.html(self.table))


def _display(epochs: int) -> _Display:
    return _Notebook(epochs) if _in_notebook() else _Lines(epochs)


def _in_notebook() -> bool:
    # IPython is asked only where it runs already: a script need not import it.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _text(key: str, value: float | None, epochs: int) -> str:
    if value is None or value != value:
        return "" if value is None else "nan"
    if key == "epoch":
        return f"{int(value)}/{epochs}"
    return f"{value:.1f}" if key == "seconds" else f"{value:.4f}"
