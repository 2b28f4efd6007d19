"""What showing progress costs: `python -m benchmarks.progress [--epochs 100] [--rounds 5]`.

CPU seconds spent in the hooks of the Progress callback, as a share of those of the fit around them: an MLP and a ResNet-18 on the
built-in digits, in a log, in a pseudo-terminal and in the kernel of a notebook. The hooks are timed one by one, in the fit itself:
the difference between a fit with and one without would drown in the noise of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from typing import Any

import torch

from fastgpu import Learner
from fastgpu.callbacks import Progress

HOOKS = ("on_train_start", "on_train_batch_end", "on_validation_batch_end", "on_history_row", "teardown")


class Timed(Progress):
    """Progress that counts its own CPU seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self._timed(found) if name in HOOKS else found

    def _timed(self, hook: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> None:
            began = time.thread_time()
            hook(*args, **kwargs)
            self.seconds += time.thread_time() - began

        return timed


@contextlib.contextmanager
def log() -> Any:
    with open(os.devnull, "w") as file, contextlib.redirect_stdout(file):
        yield


@contextlib.contextmanager
def terminal() -> Any:
    import pty

    outer, inner = pty.openpty()
    threading.Thread(target=_drain, args=(outer,), daemon=True).start()
    with open(inner, "w", buffering=1) as file, contextlib.redirect_stdout(file):
        yield


def _drain(outer: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(outer, 65536):
            pass


def notebook() -> Any:
    """Runs in a kernel already, where `main` started itself anew."""
    return contextlib.nullcontext()


PLACES = {"log": log, "terminal": terminal, "notebook": notebook}


def measure(place: str, architecture: str, epochs: int, rounds: int) -> str:
    """A line of the table: the median over the rounds, with the least and the most."""
    shares, each = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, PLACES[place]():
            timed = Timed()
            learn = Learner(architecture, "digits", out=folder, verbose=False, callbacks=timed)
            began = time.thread_time()
            learn.fit(epochs)
            total = time.thread_time() - began
            shares.append(timed.seconds / total)
            each.append((1000 * total / epochs, 1000 * timed.seconds / epochs))
    epoch, own = (statistics.median(values) for values in zip(*each))
    spread = f"{min(shares):.2%} to {max(shares):.2%}"
    return f"| {architecture} | {place} | {epoch:.0f} ms | {own:.2f} ms | {statistics.median(shares):.2%} ({spread}) |"


def in_kernel(architecture: str, epochs: int, rounds: int) -> str:
    """The same measurement in a cell of a notebook."""
    import nbclient
    import nbformat

    code = f"from benchmarks import progress\nline = progress.measure('notebook', {architecture!r}, {epochs}, {rounds})"
    cells = [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("print(line)")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": os.getcwd()}}).execute()
    return book.cells[1].outputs[0].text.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | where | an epoch | of it progress | share |\n|---|---|---|---|---|")
    for architecture, epochs, rounds in (("mlp", options.epochs, options.rounds), ("resnet18", 2, 1)):
        for place in ("log", "terminal"):
            print(measure(place, architecture, epochs, rounds), flush=True)
        print(in_kernel(architecture, epochs, rounds), flush=True)


if __name__ == "__main__":
    main()
