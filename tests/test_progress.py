"""Progress: in a notebook, a terminal and a log."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastgpu import Learner


def test_a_log_gets_one_line_an_epoch(digits, out, capsys):
    Learner("mlp", digits, out=out).fit(3)
    lines = capsys.readouterr().out.splitlines()
    header = next(i for i, line in enumerate(lines) if "val_accuracy" in line and "epoch" in line)
    rows = lines[header + 1 : header + 4]
    assert [row.split()[0] for row in rows] == ["1/3", "2/3", "3/3"]
    assert "\x1b" not in "".join(lines)


def test_verbose_false_prints_nothing(make, capsys):
    learn = make()
    learn.fit(1)
    learn.evaluate()
    learn.predict()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_a_terminal_gets_a_bar_and_the_rows(out):
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="120")
        code = f"from fastgpu import Learner; Learner('mlp', 'digits', out={str(out)!r}).fit(30)"
        os.execv(sys.executable, [sys.executable, "-c", code])
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.waitpid(pid, 0)
    text = shown.decode()
    assert "30/30" in text
    assert "epoch " in text
    assert text.count("val_accuracy") >= 1
    assert "\x1b[" in text


@pytest.mark.slow
def test_a_notebook_gets_one_table_that_is_updated(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "from fastgpu import Learner\nlearn = Learner('mlp', 'digits')",
        "history = learn.fit(3)",
        "learn.show_batch(4)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[1].outputs
    tables = [o for o in outputs if o.output_type == "display_data"]
    assert len(tables) == 1
    html = tables[0].data["text/html"]
    assert html.count("<tr") == 4
    assert "3/3" in html
    assert any("image/png" in o.get("data", {}) for o in notebook.cells[2].outputs)
    assert len(nbformat.writes(notebook)) < 200_000


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


def test_a_fit_says_why_it_ended_early(digits, out, capsys):
    learn = Learner("mlp", digits, out=out, lr=1e-12)
    learn.fit(9, patience=2)
    assert "stopped after epoch 3 of 9: 2 epochs without a better val_accuracy (patience)" in capsys.readouterr().out
    assert repr(learn).startswith("Learner('mlp', 'arrays'): 3 epochs trained")
