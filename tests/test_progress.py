"""Progress in a terminal and in a log; tests/test_kernel.py has notebooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from lightning.pytorch import Callback
from torch import nn

from fastgpu import Learner, metrics
from fastgpu.callbacks import progress
from fastgpu.callbacks.progress_displays import Lines, Terminal, display_for
from fastgpu.errors import NonFiniteLossError

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class Chatty(Callback):
    """Prints in the middle of an epoch, as a user's own code may."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 0:
            print(f"[bold]mine[/bold] {pl_module.epoch + 1}")


class Stops(Callback):
    """Ctrl-C, in the second epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def terminals():
    if sys.platform == "win32":
        pytest.skip("pseudo-terminals are Unix's")
    import terminals

    return terminals


def rows(lines):
    """Numbers of the epochs whose rows are shown."""
    return [match[1] for line in lines if (match := re.match(r"\s*(?:epoch )?(\d+/\d+)  ", line))]


def test_a_log_gets_one_line_an_epoch(digits, out, capsys):
    Learner("mlp", digits, out=out).fit(3)
    lines = capsys.readouterr().out.splitlines()
    header = next(i for i, line in enumerate(lines) if "val_accuracy" in line and "epoch" in line)
    assert rows(lines[header + 1 : header + 4]) == ["1/3", "2/3", "3/3"]
    assert "\x1b" not in "".join(lines)


def test_a_wide_log_is_not_folded(digits, out, capsys):
    Learner("mlp", digits, out=out, metrics=list(metrics.names("classification"))).fit(1)
    header, row = capsys.readouterr().out.splitlines()[-3:-1]
    assert len(header) > 150
    assert len(header) == len(row)


def test_the_header_comes_again_where_an_epoch_brings_other_keys(capsys):
    lines = Lines(3)
    for row in ({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 2e-5}, {"epoch": 3, "loss": 3e6, "bleu": float("nan")}):
        lines.row({**row, "lr": 0.1, "seconds": 2.0})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["epoch", "loss", "seconds"],
        ["1/3", "0.5000", "2.0"],
        ["2/3", "2.00e-05", "2.0"],
        ["epoch", "loss", "bleu", "seconds"],
        ["3/3", "3.00e+06", "nan", "2.0"],
    ]


def test_a_stdout_of_ones_own_gets_lines(monkeypatch):
    class Tee:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", tee := Tee())
    display_for(1).row({"epoch": 1, "loss": 0.5, "seconds": 1.0})
    assert tee.text.splitlines()[1].split() == ["1/1", "0.5000", "1.0"]
    monkeypatch.setattr(sys, "stdout", None)  # as in a program without a console
    display_for(1).row({"epoch": 1, "loss": 0.5, "seconds": 1.0})


def test_verbose_false_prints_nothing(make, capsys):
    learn = make()
    learn.fit(1)
    learn.evaluate()
    learn.predict()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_a_progress_of_ones_own_is_not_doubled(digits, out, capsys):
    Learner("mlp", digits, out=out, callbacks="progress").fit(2)
    assert rows(capsys.readouterr().out.splitlines()) == ["1/2", "2/2"]


def test_a_terminal_keeps_the_rows_and_what_the_user_prints(digits, out, monkeypatch, terminals):
    with terminals.stdout_in_terminal(monkeypatch) as terminal:
        learn = Learner("mlp", digits, out=out)
        learn.fit(2, callbacks=[Chatty()])
        learn.fit(1)
    lines = terminal.lines()
    assert rows(lines) == ["1/2", "2/2", "3/3"]
    assert sum("val_accuracy" in line and "epoch  " in line for line in lines) == 2
    assert [line for line in lines if "mine" in line] == ["[bold]mine[/bold] 1", "[bold]mine[/bold] 2"]
    assert "epoch 1/2" in terminal.text, "the bar was there"
    assert not any("━" in line or line.startswith("epoch") for line in lines), "and is gone"
    assert lines.index("[bold]mine[/bold] 1") + 2 < lines.index("[bold]mine[/bold] 2"), "all stands in the order in which it came"
    assert not terminal.screen.cursor.hidden


@pytest.mark.parametrize("columns", [30, 60])
def test_a_narrow_terminal_folds_the_rows(digits, out, monkeypatch, terminals, columns):
    with terminals.stdout_in_terminal(monkeypatch, columns) as terminal:
        learn = Learner("mlp", digits, out=out, metrics=["accuracy", "f1", "precision"])
        learn.fit(2)
    lines = terminal.lines()
    assert rows(lines) == ["1/2", "2/2"]
    for key, value in learn.history.rows[-1].items():
        if key not in ("epoch", "lr", "seconds"):
            assert f"{key} {value:.4f}" in "\n".join(lines), "no value is cut off or parted from its name"
    assert "…" not in terminal.text


@pytest.mark.parametrize("columns", [12, 24, 80])
def test_the_bar_fits_its_terminal(monkeypatch, terminals, columns):
    with terminals.stdout_in_terminal(monkeypatch, columns) as terminal:
        display = display_for(10)
        assert isinstance(display, Terminal)
        for done in range(20):
            display.doing("epoch 10/10, validation", done, None if done < 9 else 20)
        print("after")
        display.close()
    assert terminal.lines() == ["after"], "no frame of the bar stays behind"


def test_what_is_printed_meanwhile_stays_whole(monkeypatch, terminals):
    with terminals.stdout_in_terminal(monkeypatch) as terminal, open(os.dup(terminal.inner), "w") as errors:
        monkeypatch.setattr(sys, "stderr", errors)
        display = display_for(1)
        for done in range(3):
            print(done, end=" ")
            display.doing("epoch 1/1", done, 3)
        assert "━" not in "".join(terminal.lines()), "a line that has not ended is left alone"
        print("numbers")
        sys.stderr.writelines(["a warning\n", "of two lines\n"])
        sys.stdout = sys.stdout.stream  # as somebody does who redirects stdout himself
        display.close()
    assert terminal.text.count("━") > 0
    assert terminal.lines() == ["0 1 2 numbers", "a warning", "of two lines"]


def test_an_interrupt_gives_the_terminal_back(digits, out, monkeypatch, terminals):
    with terminals.stdout_in_terminal(monkeypatch) as terminal:
        learn = Learner("mlp", digits, out=out)
        learn.fit(3, callbacks=[Stops()])
    assert rows(terminal.lines()) == ["1/3"]
    assert terminal.lines()[-1] == "interrupted: the epoch in progress is dropped; fit(2, callbacks=...) goes on"
    assert "━" not in "".join(terminal.lines())
    assert not terminal.screen.cursor.hidden


def test_an_error_gives_the_terminal_back(out, monkeypatch, terminals):
    x = np.random.default_rng(0).normal(size=(640, 3)).astype(np.float32)
    with terminals.stdout_in_terminal(monkeypatch) as terminal, pytest.raises(NonFiniteLossError, match="must stay finite"):
        Learner(nn.Linear(3, 1), (x, x.sum(1)), optimizer="sgd", lr=1e30, out=out).fit(1)
    assert "epoch 1/1" in terminal.text
    assert not terminal.screen.cursor.hidden


def test_a_long_evaluation_or_prediction_has_a_bar(digits, out, monkeypatch, terminals):
    learn = Learner("mlp", digits, out=out)
    with terminals.stdout_in_terminal(monkeypatch) as quick:
        learn.evaluate()
        learn.predict()
    assert quick.text == ""
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", -1.0)
    with terminals.stdout_in_terminal(monkeypatch) as terminal:
        learn.evaluate()
        learn.predict()
    assert re.search("evaluate.* 1/1", terminal.text)
    assert re.search("predict.* 1/1", terminal.text)
    assert terminal.lines() == []


@pytest.mark.slow
def test_ctrl_c_in_ipython_in_a_terminal(tmp_path, terminals):
    pytest.importorskip("IPython")
    terminal = terminals.Terminal(90)
    code = f"from fastgpu import Learner; h = Learner('mlp', 'digits', out={str(tmp_path)!r}).fit(100_000); print('rows', len(h), h.interrupted)"
    process = subprocess.Popen(
        [sys.executable, "-m", "IPython", "-c", code],
        stdin=terminal.inner, stdout=terminal.inner, stderr=terminal.inner, start_new_session=True, preexec_fn=_own_terminal,
        env={**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}, "TERM": "xterm-256color", "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    terminal.wait_for("3/100000  ")
    terminal.type(b"\x03")
    terminal.wait_for("rows ")
    assert process.wait(60) == 0
    terminal.end()
    assert re.search(r"rows [1-9]\d* True", terminal.text)
    assert "display.HTML" not in terminal.text
    assert "━" not in "".join(terminal.lines())
    assert not terminal.screen.cursor.hidden


def _own_terminal():
    """The terminal becomes that of the process, whose Ctrl-C reaches it then."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_training_goes_on_when_nobody_reads_any_more(out):
    """`fastgpu fit ... | head -2`"""
    code = f"from fastgpu import Learner; Learner('mlp', 'digits', out={str(out)!r}, name='run').fit(40)"
    process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0, errors
    assert len((out / "run" / "history.csv").read_text().splitlines()) == 41
    assert "Broken" not in errors


def test_training_goes_on_when_the_terminal_is_gone(digits, out, monkeypatch, terminals):
    """A connection that broke: the session was kept alive, its terminal was not."""

    class HangsUp(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if pl_module.epoch == 1 and batch_idx == 0:
                os.close(terminal.outer)

    monkeypatch.setattr(terminals.Terminal, "_read", lambda self: None)  # who reads keeps the terminal open
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = terminals.Terminal()
    with open(terminal.inner, "w", buffering=1) as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        history = Learner("mlp", digits, out=out).fit(3, callbacks=[HangsUp()])
    assert len(history) == 3


@pytest.mark.slow
def test_of_two_processes_the_first_alone_shows_progress(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import torch; torch.set_num_threads(1)\n"
        "from fastgpu import Learner\n"
        f"learn = Learner('mlp', 'digits', out={str(tmp_path / 'runs')!r}, strategy='ddp')\n"
        "learn.fit(3)\n"
        "learn.evaluate()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert rows(lines) == ["1/3", "2/3", "3/3"]
    assert sum(line.split()[:2] == ["epoch", "loss"] for line in lines) == 1


def test_a_fit_says_why_it_ended_early(digits, out, capsys):
    learn = Learner("mlp", digits, out=out, lr=1e-12)
    learn.fit(9, patience=2)
    assert "stopped after epoch 3 of 9: 2 epochs without a better val_accuracy (patience)" in capsys.readouterr().out
    assert repr(learn).startswith("Learner('mlp', 'arrays'): 3 epochs trained")
