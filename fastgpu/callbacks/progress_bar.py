"""A bar in the last line of a terminal, below whatever is printed meanwhile."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["TerminalBar"]

ERASE = "\r\x1b[2K"


class TerminalBar:
    """Rich draws the bar; that it stays below everything else is done here.

    Rich's own live display lays the bar out again for each line that is printed, which costs more than a small network's epoch.

    Args:
        console: the rich console of the terminal.
    """

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.terminal = console, sys.stdout
        columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._task: Any = None
        self._what = self._line = ""
        self._shown, self._at_start = False, True
        self._streams = {name: _Above(self, stream) for name in ("stdout", "stderr") if (stream := getattr(sys, name)) is not None and stream.isatty()}
        for name, stream in self._streams.items():
            setattr(sys, name, stream)

    def show(self, what: str, done: int, of: int | None) -> None:
        """Draw the bar.

        Args:
            what: what is done.
            done: how much of it.
            of: the whole; None: not known.
        """
        if what != self._what:  # a task of its own, whose time is counted anew
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._what, self._task = what, self._progress.add_task(what, total=of, count="")
        self._progress.update(self._task, completed=done, total=of, count=f"{done}/{of or '?'}")
        with self.console.capture() as capture:
            # A column less than there are, or the terminal would begin a second line.
            self.console.print(self._progress.get_renderable(), width=self.console.width - 1, no_wrap=True, crop=True)
        self._line = capture.get().splitlines()[0]
        self.draw()

    def draw(self) -> None:
        """Put the bar below what was printed, unless that has not ended its line yet."""
        if self._at_start and self._line:
            self.terminal.write(ERASE + self._line)
            self.terminal.flush()
            self._shown = True

    def write(self, stream: Any, text: str) -> int:
        """Print above the bar."""
        if not text:
            return 0
        self._at_start = text.endswith("\n")
        if stream is self.terminal and self._shown and self._at_start:
            # One write where three would do: at fifty epochs a second they are what progress costs.
            stream.write(f"{ERASE}{text}{self._line}")
            stream.flush()
            return len(text)
        self._erase()
        written = stream.write(text)
        stream.flush()
        self.draw()
        return written

    def close(self) -> None:
        """Erase the bar, and give the streams back."""
        for name, stream in self._streams.items():
            if getattr(sys, name) is stream:  # else somebody has put another there meanwhile
                setattr(sys, name, stream.stream)
        self._line = ""
        self._erase()

    def _erase(self) -> None:
        if self._shown:
            self._shown = False
            self.terminal.write(ERASE)
            self.terminal.flush()


class _Above:
    """A stream whose text goes above the bar."""

    def __init__(self, bar: TerminalBar, stream: Any) -> None:
        self._bar, self.stream = bar, stream

    def write(self, text: str) -> int:
        return self._bar.write(self.stream, text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
