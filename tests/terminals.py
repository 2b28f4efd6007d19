"""A pseudo-terminal with a screen, to see what a user would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import threading

import pyte


class Terminal:
    """A terminal of `columns` by 60; `file` is its inner side, `text` all that came, `lines()` what its screen shows."""

    def __init__(self, columns=100):
        self.outer, self.inner = pty.openpty()
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        self.screen = pyte.Screen(columns, 60)
        self.stream = pyte.ByteStream(self.screen)
        self.text = ""
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with contextlib.suppress(OSError):  # the inner side is closed: that is its end
            while piece := os.read(self.outer, 65536):
                with self.changed:
                    self.stream.feed(piece)
                    self.text += piece.decode(errors="replace")
                    self.changed.notify_all()

    def lines(self):
        return [line for line in (line.rstrip() for line in self.screen.display) if line]

    def wait_for(self, words, seconds=60):
        with self.changed:
            assert self.changed.wait_for(lambda: words in self.text, seconds), self.text

    def type(self, keys):
        os.write(self.outer, keys)

    def end(self):
        """Close the inner side and read what is left."""
        os.close(self.inner)
        self.reader.join(10)
        os.close(self.outer)


@contextlib.contextmanager
def stdout_in_terminal(monkeypatch, columns=100):
    """This process's `sys.stdout` in a terminal meanwhile."""
    terminal = Terminal(columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    # The size is asked of the process's own files, which are pytest's here.
    monkeypatch.setenv("COLUMNS", str(columns))
    with monkeypatch.context() as patched, open(os.dup(terminal.inner), "w", buffering=1) as file:
        patched.setattr(sys, "stdout", file)
        try:
            yield terminal
            assert sys.stdout is file, "the user's own stdout is back in place"
        finally:
            file.flush()
    terminal.end()
