"""In the kernel of a notebook: what a cell shows of a fit, and what an interrupt leaves."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import time

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

pytestmark = pytest.mark.slow


class Book:
    """A notebook at work: cells are run one by one in one kernel, and keep their outputs."""

    def __init__(self, folder):
        self.notebook = nbformat.v4.new_notebook()
        where = {"metadata": {"path": str(folder)}}
        self.client = NotebookClient(self.notebook, timeout=120, allow_errors=True, coalesce_streams=True, resources=where)

    def run(self, code):
        self.notebook.cells.append(nbformat.v4.new_code_cell(code))
        return self.again()

    def again(self):
        cell = self.notebook.cells[-1]
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        return cell.outputs


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("notebook"))
    with book.client.setup_kernel():
        started = book.run(
            "from fastgpu import Learner\n"
            "from lightning.pytorch import Callback\n"
            "import torch; torch.set_num_threads(1)\n"
            "from fastgpu.data import sources\n"
            "train = sources.load('digits').splits['train']\n"
            "data = (train.x[:200], train.y[:200]), (train.x[200:300], train.y[200:300])\n"
            "learn = Learner('mlp', data)"
        )
        assert [each.name for each in started] == ["stdout"], "not a word on stderr"
        yield book


def tables(outputs):
    return [each.data["text/html"] for each in outputs if each.output_type == "display_data"]


def epochs(html):
    return re.findall(r"<tr[^>]*><td>(\d+/\d+)</td>", html)


def printed(outputs):
    return "".join(each.text for each in outputs if each.output_type == "stream")


def test_one_table_stays_and_running_a_cell_again_doubles_nothing(book):
    (table,) = tables(book.run("history = learn.fit(3)"))
    assert epochs(table) == ["1/3", "2/3", "3/3"]
    assert "progress" not in table
    assert "val_accuracy" in table
    (table,) = tables(book.again())
    assert epochs(table) == ["4/6", "5/6", "6/6"]
    assert "epoch" not in printed(book.notebook.cells[-1].outputs).replace("weights: epoch", ""), "no lines beside the table"


def test_two_fits_in_a_cell_have_a_table_each(book):
    outputs = book.run("first = Learner('mlp', data, verbose=False, callbacks='progress')\na = first.fit(2)\nb = first.fit(1)")
    assert [epochs(table) for table in tables(outputs)] == [["1/2", "2/2"], ["3/3"]]


def test_the_users_own_prints_stand_below_the_table(book):
    book.run("class Chatty(Callback):\n    def on_train_epoch_start(self, trainer, module):\n        print('mine', module.epoch)")
    outputs = book.run("history = Learner('mlp', data).fit(3, callbacks=Chatty())")
    assert len(tables(outputs)) == 1
    assert [line for line in printed(outputs).splitlines() if line.startswith("mine")] == ["mine 0", "mine 1", "mine 2"]


def test_verbose_false_shows_nothing(book):
    assert book.run("history = Learner('mlp', data, verbose=False).fit(1)") == []


def test_a_long_fit_with_many_metrics_stays_small(book):
    outputs = book.run("many = Learner('mlp', data, metrics=['accuracy', 'f1', 'precision', 'recall'])\nhistory = many.fit(60)")
    (table,) = tables(outputs)
    assert epochs(table)[-1] == "60/60"
    assert "earlier epochs are in learn.history" in table
    assert "overflow-x: auto" in table, "a wide table scrolls"
    assert len(json.dumps(outputs)) < 20_000
    # What the theme says about colours holds: dark on light, or light on dark.
    assert not re.search("color|background", table)
    assert table.count("<tr") == table.count("</tr>")
    plain = next(each for each in outputs if each.output_type == "display_data").data["text/plain"]
    assert plain.splitlines()[-1].split()[0] == "60/60", "where no HTML is shown, the table is text"


def test_an_error_leaves_the_table(book):
    outputs = book.run(
        "class Breaks(Callback):\n"
        "    def on_train_epoch_start(self, trainer, module):\n"
        "        if module.epoch == 2: raise RuntimeError('mine')\n"
        "Learner('mlp', data).fit(5, callbacks=Breaks())"
    )
    (table,) = tables(outputs)
    assert epochs(table) == ["1/5", "2/5"]
    assert "progress" not in table
    assert outputs[-1].ename == "RuntimeError"


def test_a_long_prediction_shows_how_far_it_is(book):
    code = (
        "from fastgpu.callbacks import progress\n"
        "progress.PATIENCE_SECONDS = -1\n"
        "results = learn.predict()\n"
        "progress.PATIENCE_SECONDS = 2.0"
    )
    assert tables(book.run(code)) == [""], "nothing of it stays"


def test_figures_and_reports_show_themselves(book):
    for code in ("learn.history.plot()", "learn.lr_find(steps=10).plot()", "learn.show_batch(4)", "learn.predict().plot(4)"):
        assert any("image/png" in each.get("data", {}) for each in book.run(code)), code
    book.run(
        "from fastgpu.compress.report import CompressionReport\nreport = CompressionReport('mlp')\nreport.add('as it came', accuracy=0.5)"
    )
    (stream,) = book.run("print(report)")
    assert stream.text.split() == ["mlp", "step", "accuracy", "as", "it", "came", "0.5000"]


# Interrupts


class Kernel:
    """A kernel, asked as a front end asks it."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(cwd=str(folder), startup_timeout=60)

    def begin(self, code):
        self.asked, self.reply = self.client.execute(code), None

    def wait_for(self, words):
        """Until a display or a print of the running cell has the words."""
        while words not in json.dumps((message := self.client.get_iopub_msg(timeout=60))["content"]):
            assert message["content"].get("execution_state") != "idle", f"the cell ended without {words!r}"

    def interrupt(self):
        """As often as it takes: Python drops an interrupt that comes while it runs a `__del__`."""
        for _ in range(10):
            self.manager.interrupt_kernel()
            with contextlib.suppress(queue.Empty):
                self.reply = self._reply(timeout=3)
                return

    def end(self):
        """The reply, and all that was printed since."""
        reply = self.reply or self._reply(timeout=60)
        text = ""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != self.asked:
                continue
            text += message["content"].get("text", "")
            if message["content"].get("execution_state") == "idle":
                return reply["content"], text

    def _reply(self, timeout):
        while (reply := self.client.get_shell_msg(timeout=timeout))["parent_header"].get("msg_id") != self.asked:
            pass
        return reply

    def run(self, code):
        self.begin(code)
        return self.end()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    reply, text = kernel.run(
        "import torch; torch.set_num_threads(1)\nfrom fastgpu import Learner\nlearn = Learner('mlp', 'digits')\nlearn.fit(1)"
    )
    assert reply["status"] == "ok", text
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def test_interrupting_a_fit_leaves_a_usable_learner(kernel):
    kernel.begin("history = learn.fit(100_000)\nprint(type(history).__name__, len(history), history.interrupted)")
    kernel.wait_for("<td>5/100001</td>")
    kernel.interrupt()
    reply, text = kernel.end()
    assert reply["status"] == "ok", "no SystemExit, no traceback"
    done = int(re.search(r"History (\d+) True", text)[1])
    assert done >= 4
    assert "interrupted: the epoch in progress is dropped" in text
    reply, text = kernel.run(
        "import numpy as np\nprint(learn.evaluate()['accuracy'], len(learn.predict(np.zeros((3, 8, 8), np.uint8))))"
    )
    assert reply["status"] == "ok", reply
    accuracy, predicted = text.split()
    assert float(accuracy) > 0.5
    assert predicted == "3"
    reply, text = kernel.run("history = learn.fit(1)\nprint(len(history), len(learn.history), learn.history.interrupted)")
    assert reply["status"] == "ok", reply
    assert text.splitlines()[-1] == f"1 {done + 2} False"
    assert kernel.manager.is_alive()


@pytest.mark.parametrize("verb", ["evaluate", "predict", "lr_find"])
def test_interrupting_another_verb_is_a_keyboard_interrupt(kernel, verb):
    kernel.begin(f"while True:\n    learn.{verb}()\n    print('once')")
    kernel.wait_for("once")
    time.sleep(0.05)  # somewhere in the next call
    kernel.interrupt()
    reply, _ = kernel.end()
    assert reply["ename"] == "KeyboardInterrupt"
    reply, text = kernel.run("print(len(learn.fit(1)))")
    assert reply["status"] == "ok", reply
    assert text.splitlines()[-1] == "1"
