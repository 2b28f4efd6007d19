"""A bar in the last line of a terminal, below whatever is printed meanwhile."""

from __future__ import annotations

import datetime
import sys
import time
from typing import Any

__all__ = ["TerminalBar", "is_terminal"]

ERASE = "\r\x1b[2K"
WIDTH = 20


def is_terminal(stream: Any) -> bool:
    """Whether a stream ends in a terminal; one of the user's own may not tell, and there may be none."""
    return hasattr(stream, "isatty") and stream.isatty()


class TerminalBar:
    """Rich draws the bar; that it stays below everything else is done here.

    Rich's own live display lays all of it out again for each line that is printed: 4 % of a small network's epoch.

    Args:
        console: the rich console of the terminal.
    """

    def __init__(self, console: Any) -> None:
        self.console, self.terminal = console, sys.stdout
        self._what = self._line = ""
        self._shown, self._at_start = False, True
        self._streams = {name: _Above(self, stream) for name in ("stdout", "stderr") if is_terminal(stream := getattr(sys, name))}
        for name, stream in self._streams.items():
            setattr(sys, name, stream)

    def show(self, what: str, done: int, of: int | None) -> None:
        """Draw the bar.

        Args:
            what: what is done.
            done: how much of it.
            of: the whole; None: not known.
        """
        if what != self._what:
            self._what, self._began = what, time.monotonic()
        count = f"{done}/{of or '?'}"
        if of and done:
            left = (time.monotonic() - self._began) * (of - done) / done
            count += f"  {datetime.timedelta(seconds=round(left))}"
        # A column less than there are, or the terminal would begin a second line.
        room = self.console.width - 1
        if len(what) + WIDTH + len(count) + 2 <= room:
            self._line = f"{what} {self._drawn(done, of)} {count}"
        else:
            self._line = f"{what} {count}"[:room]
        self.draw()

    def _drawn(self, done: int, of: int | None) -> str:
        from rich.progress_bar import ProgressBar

        with self.console.capture() as capture:
            self.console.print(ProgressBar(total=of, completed=done, width=WIDTH), end="")
        return capture.get()

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
