"""What a fit leaves in its run folder, the page, and that both can be run again."""

from __future__ import annotations

import csv
import html
import os
import re
import shlex
import signal
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from comparing import same_weights
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from test_inspection import Copy
from test_verbs import Plain, data_of
from torch import nn
from torch.utils.data import DataLoader

from fastgpu import Learner
from fastgpu.cli import main
from fastgpu.errors import ArgumentError, RunFolderError
from fastgpu.report.page import render
from fastgpu.report_facts import page_facts

PICTURES = {"samples.png", "results.png", "worst.png", "confusion_matrix.png", "history.png"}


class Reader(HTMLParser):
    """Text, and what the page would fetch."""

    def __init__(self, page):
        super().__init__()
        self.text, self.links, self.tags, self._inside = [], [], [], []
        self.feed(page.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "poster")]

    def handle_endtag(self, tag):
        self._inside = self._inside[: -1 - self._inside[::-1].index(tag)] if tag in self._inside else self._inside

    def handle_data(self, data):
        if not {"style", "script"} & set(self._inside):
            self.text.append(data)


def rows_of(folder):
    with open(folder / "history.csv") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    learn = Learner("mlp", digits, out=tmp_path_factory.mktemp("runs"), verbose=False)
    learn.fit(2)
    return learn


def test_a_fit_leaves_its_pictures_and_the_page(run):
    names = {path.name for path in run.run_dir.iterdir()}
    assert names == {*PICTURES, "history.csv", "args.yaml", "env.json", "report.html", "checkpoints"}
    for name in PICTURES:
        with Image.open(run.run_dir / name) as picture:
            low, high = picture.convert("L").getextrema()
            assert (low, high) == (pytest.approx(0, abs=60), 255), name  # something dark on white


def test_the_page_tells_everything_and_fetches_nothing(run):
    page = Reader(run.run_dir / "report.html")
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert page.tags.count("figure") == 5 + 3  # loss, accuracy, rate, seconds, calibration; three pictures
    assert "mlp on arrays" in page.text
    assert f"{run.history['val_accuracy'][-1]:.4f}" in page.text
    for words in ("9,610", "Most confused", "Worst items", "Confusion matrix", "cross_entropy", "adamw", "torch", "200", "100 val"):
        assert words in page.text
    css = (run.run_dir / "report.html").read_text()
    assert not re.search(r"@import|url\(|https?://", css)


def test_pictures_cost_no_bit_of_the_training(make):
    plain, pictured = make(), make(report=True)
    for learn in (plain, pictured):
        learn.fit(1)
        learn.fit(1)
    assert same_weights(plain, pictured)
    assert plain.history.history == pictured.history.history
    assert {path.name for path in plain.run_dir.iterdir()} == {"history.png", "history.csv", "args.yaml", "env.json", "checkpoints"}


class Interrupting(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_fit_leaves_them_too(make):
    learn = make(report=True, callbacks=[Interrupting()])
    history = learn.fit(5)
    assert history.interrupted
    assert {path.name for path in learn.run_dir.iterdir()} >= PICTURES
    page = Reader(learn.run_dir / "report.html").text
    assert "The last fit was interrupted" in page
    assert f"{history['val_loss'][-1]:.4f}" in page


class Spoiling(Callback):
    """What stands in the way of a file is a folder of its name."""

    def __init__(self, *names):
        self.names = names

    def on_train_start(self, trainer, pl_module):
        folder = trainer.callbacks[0].path
        for name in self.names:
            (folder / name).mkdir()


@pytest.mark.parametrize("name", ["worst.png", "report.html"])
def test_a_file_that_cannot_be_written_costs_no_fit(name, make):
    learn = make(report=True, callbacks=[Spoiling(name)])
    with pytest.warns(UserWarning, match=f"Left out of the run's pictures and report: .*{name}"):
        history = learn.fit(2)
    assert len(history) == 2
    assert learn.evaluate()["accuracy"] == pytest.approx(history["val_accuracy"][-1])
    assert all((learn.run_dir / other).is_file() for other in (PICTURES | {"report.html"}) - {name})  # the others are all there


def test_the_curves_as_a_picture_cost_no_fit_either(make):
    learn = make(callbacks=[Spoiling("history.png")])
    with pytest.warns(UserWarning, match="history.png is left out"):
        assert len(learn.fit(1)) == 1


class Broken(Plain):
    """Held-out items that can be read while training lasts."""

    broken = False

    def __getitem__(self, i):
        if self.broken:
            raise OSError("the disk is gone")
        return super().__getitem__(i)


class Breaking(Callback):
    def __init__(self, data):
        self.data = data

    def on_train_end(self, trainer, pl_module):
        self.data.broken = True


def test_items_that_can_no_more_be_read_cost_no_fit(digits, out):
    held = Broken(*digits[1])
    learn = Learner("mlp", (Plain(*digits[0]), held), out=out, verbose=False, callbacks=[Breaking(held)])
    with pytest.warns(UserWarning, match="interpretation: .*the disk is gone; results.png: "):
        assert len(learn.fit(2)) == 2
    assert (learn.run_dir / "samples.png").is_file()
    assert "Every epoch" in Reader(learn.run_dir / "report.html").text


class Keeping(CSVLogger):
    def log_fit(self, interpretation, folder):
        self.given = interpretation, folder, sorted(path.name for path in folder.iterdir())


class Failing(CSVLogger):
    def log_fit(self, interpretation, folder):
        raise ConnectionError("no network")


def test_loggers_get_the_interpretation_and_the_folder(make, tmp_path):
    keeping, failing = Keeping(tmp_path / "a"), Failing(tmp_path / "b")
    learn = make(report=True, logger=[failing, keeping])
    with pytest.warns(UserWarning, match="The logger Failing failed and is left out from here on: no network"):
        learn.fit(1)
    interpretation, folder, names = keeping.given
    assert folder == learn.run_dir
    assert "report.html" in names
    assert len(interpretation.targets) == 100
    assert learn.log_rows.loggers == [keeping]
    learn.fit(1)
    assert keeping.given[0] is not interpretation  # of the weights after the second fit
    again = Keeping(tmp_path / "c")
    make(logger=again).fit(1)
    assert len(again.given[0].targets) == 100
    assert "report.html" not in again.given[2]


# Run it again


def test_args_yaml_runs_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Learner("mlp", "digits", batch_size=128, verbose=False, name="first", metrics=["accuracy", "f1"], class_weight="balanced", report=False)
    first.fit(3, lr=0.01, schedule="cosine", patience=2)
    assert main(["fit", "--config", "runs/first/args.yaml", "--name", "again"]) == 0
    assert rows_of(tmp_path / "runs/again") == rows_of(tmp_path / "runs/first")
    asked = yaml.safe_load((tmp_path / "runs/again/args.yaml").read_text())
    assert asked == {**yaml.safe_load((tmp_path / "runs/first/args.yaml").read_text()), "name": "again"}


def test_objects_of_ones_own_are_named_and_the_command_line_stands_in(make, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    learn = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), callbacks=[Spoiling()])
    learn.fit(1)
    args = learn.run_dir / "args.yaml"
    asked = yaml.safe_load(args.read_text())
    objects = {name: asked[name] for name in ("architecture", "data", "callbacks")}
    assert objects == {"architecture": {"object": "Sequential"}, "data": {"object": "arrays"}, "callbacks": [{"object": "Spoiling"}]}
    assert main(["fit", "--config", str(args)]) == 2
    assert "architecture was an object, Sequential. Take the line out, or give architecture on the command line" in capsys.readouterr().err
    call = ["fit", "mlp", "digits", "--config", str(args), "--callbacks", "none", "--name", "again"]
    assert main(call) == 0


@pytest.mark.slow
def test_the_lines_of_the_page_repeat_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"a": np.arange(60.0), "b": [0.5, 1.5, 2.5] * 20, "which one": list("xyz") * 20})
    rows.to_csv("my rows.csv", index=False)
    learn = Learner("mlp", "my rows.csv", target="which one", lr=3e-3, metrics=["f1"], class_weight=[1.0, 2.0, 1.0], verbose=False, name="one")
    learn.fit(2, schedule="linear")
    page = (tmp_path / "runs/one/report.html").read_text()
    shell, python = (html.unescape(block) for block in re.findall(r"<pre tabindex=\"0\"><code>(.*?)</code></pre>", page, re.S))
    assert main([*shlex.split(shell)[1:], "--name", "two"]) == 0
    exec(python, names := {})  # noqa: S102
    assert rows_of(tmp_path / "runs/two") == rows_of(tmp_path / "runs/one")
    assert same_weights(names["learn"], learn)


def test_several_calls_are_lines_of_python(make):
    learn = make()
    learn.fit(2)
    learn.fine_tune(1, lr_mult=10)
    learn.fit_one_cycle(1, 0.01)
    assert [each.verb for each in learn.calls] == ["fit", "fine_tune", "fit_one_cycle"]
    page = Reader(learn.report(learn.run_dir / "page.html")).text
    assert 'learn = Learner("mlp", arrays) learn.fit(epochs=2) learn.fine_tune(lr_mult=10) learn.fit_one_cycle(lr_max=0.01)' in page
    assert "Objects of your own stand by their names: data." in page
    assert "In a shell" not in page
    with pytest.raises(ArgumentError, match="lr is a number above 0"):
        learn.fit(2, lr=-1.0)
    assert len(learn.calls) == 3  # a call that failed is none to repeat


class FailingAt(Callback):
    """Something breaks as an epoch begins, counted from 0 over all fits."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if pl_module.epoch == self.epoch:
            raise RuntimeError("out of paper")


def page_of(learn, tmp_path):
    """The page without its pictures."""
    page = tmp_path / "page.html"
    page.write_text(render(page_facts(learn, None, [])), encoding="utf-8")
    return Reader(page).text


@pytest.fixture
def repeat(tmp_path):
    """The text of a learner's page from "Repeat it" on."""
    return lambda learn: page_of(learn, tmp_path).split("Repeat it", 1)[1].strip()


def test_an_interrupted_fit_has_no_lines_that_repeat_it(make, repeat):
    learn = make(callbacks=Interrupting())
    learn.fit(5)
    learn.fit(1)
    assert repeat(learn) == "No lines repeat this run: a fit was interrupted."


def test_a_fit_that_failed_after_an_epoch_has_none_either(make, repeat):
    learn = make()
    with pytest.raises(RuntimeError, match="out of paper"):
        learn.fit(2, callbacks=FailingAt(0))  # nothing is left of this one
    learn.fit(1)
    assert repeat(learn).endswith('learn = Learner("mlp", arrays) learn.fit()')
    with pytest.raises(RuntimeError, match="out of paper"):
        learn.fine_tune(3, callbacks=FailingAt(2))  # the first epoch of the second part
    learn.fit(1)
    assert repeat(learn) == "No lines repeat this run: fine_tune failed after epoch 2."


def test_a_resumed_fit_has_none(make, repeat):
    cut = make(name="cut")
    with pytest.raises(RuntimeError, match="out of paper"):
        cut.fit(3, callbacks=FailingAt(2))
    learn = make()
    learn.fit(resume=cut.run_dir)
    assert len(learn.history) == 3
    assert learn.calls[0].arguments == {"resume": str(cut.run_dir)}  # a path is text, no object
    assert repeat(learn) == "No lines repeat this run: a fit was resumed after epoch 2."


def test_tune_on_a_trained_learner(make, repeat):
    learn = make()
    learn.fit(2)
    learn.tune({"lr": [0.05]}, trials=1, epochs=1)
    assert repeat(learn) == "No lines repeat this run: tune changed settings after epoch 2."
    learn.tune({"architecture": ["mlp/large"]}, trials=1, epochs=1)  # a fresh network, which lines do repeat
    lines = 'learn = Learner("mlp/large", arrays, lr=0.05) learn.fit(schedule="constant")'
    assert repeat(learn).endswith(lines.replace("fit(", "fit(epochs=1, "))


def test_a_trial_that_time_ended_has_none(make, repeat):
    learn = make()
    learn.tune({"lr": [0.05]}, trials=1, epochs=5000, max_time=0.3)
    assert repeat(learn) == f"No lines repeat this run: tune cut the fit short after epoch {len(learn.history)}."


def test_layers_that_were_frozen_are_in_the_lines(make, repeat):
    learn = make()
    learn.freeze()
    learn.fit(1)
    learn.unfreeze()
    assert repeat(learn).endswith("learn.freeze() learn.fit() learn.unfreeze()")


def test_callbacks_of_learner_and_fit_are_both_on_the_line(tmp_path, repeat):
    learn = Learner("mlp", "digits", callbacks="early_stopping", out=tmp_path, report=False, verbose=False)
    learn.fit(1, callbacks="progress", lr=0.05)
    assert "fastgpu fit mlp digits --callbacks early_stopping,progress --lr 0.05" in repeat(learn)
    assert "learning rate 0.05 " in page_of(learn, tmp_path)


# The verb


def test_report_before_a_fit_after_load_and_without_data(make, run, digits, tmp_path):
    learn = make()
    with pytest.raises(ArgumentError, match="There is none before the first fit. Give a path"):
        learn.report()
    page = learn.report(tmp_path / "new" / "untrained.html")
    assert "Confusion matrix" in Reader(page).text
    saved = run.save(tmp_path / "saved")
    bare = Reader(Learner.load(saved).report(tmp_path / "bare.html"))
    assert "Every epoch" in bare.text
    assert "img" not in bare.tags
    loaded = Learner.load(saved, digits, out=tmp_path / "runs", verbose=False)
    loaded.fit(1)
    assert "loaded with 2 epochs, which these lines do not train" in Reader(loaded.run_dir / "report.html").text
    assert loaded.report() == loaded.run_dir / "report.html"
    with pytest.raises(RunFolderError, match="A report must be written to"):
        learn.report(tmp_path / "saved" / "report.html")


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path):
    bare = Learner("mlp", "digits", out=tmp_path, verbose=False)
    bare.data.splits = {}  # as after load: nothing is drawn
    folder = tmp_path / "a folder.html"
    folder.mkdir()
    with pytest.raises(RunFolderError, match=r"A report must be written to .*a folder\.html\. It could not be: Is a directory"):
        bare.report(folder)
    assert os.listdir(tmp_path) == ["a folder.html"]


@pytest.mark.slow
def test_each_compression_is_shown(make):
    pytest.importorskip("torch_pruning")
    learn = make(report=True)
    report = learn.prune(0.5, epochs=1)
    assert learn.compression_reports == [report]
    page = Reader(learn.run_dir / "report.html").text
    assert "Compression mlp on arrays" in page
    assert "pruned: " in page
    assert "4,810" in page
    assert "learn.prune(epochs=1)" in page


@pytest.mark.slow
def test_of_much_data_a_part_is_looked_at_and_the_page_says_so(make, monkeypatch):
    monkeypatch.setattr("fastgpu.reporting.MOST", 40)
    learn = make(report=True)
    learn.fit(1)
    assert "of 40 of 100 items. learn.interpret() looks at all." in Reader(learn.run_dir / "report.html").text


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "task"), [("table", "regression"), ("text", "multilabel")])
def test_other_kinds_and_tasks(kind, task, out):
    data, target, _ = data_of(kind, task)
    learn = Learner({"table": "mlp", "text": "text_bag"}[kind], data, task=task, target=target, out=out, verbose=False)
    learn.fit(1)
    names = {path.name for path in learn.run_dir.iterdir()}
    assert ("residuals.png" in names) == (task == "regression")
    assert ("confusion_matrix.png" in names) == (task == "multilabel")
    assert "Worst items" in Reader(learn.run_dir / "report.html").text


@pytest.mark.slow
def test_a_task_without_interpretation_has_its_results_drawn(out):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), columns=list("abcd")).assign(target=[0] * 50 + [1] * 10)
    learn = Learner(Copy(), rows, task="anomaly", out=out, verbose=False)
    learn.fit(1)
    assert {"results.png", "samples.png", "report.html"} <= {path.name for path in learn.run_dir.iterdir()}


@pytest.mark.slow
def test_without_validation_the_page_says_so(make, digits):
    learn = make(data=digits[0], validation_split=None, report=True)
    learn.fit(1)
    assert "There is no validation split" in Reader(learn.run_dir / "report.html").text


@pytest.mark.slow
def test_loaders_of_ones_own(digits, out):
    loaders = (DataLoader(Plain(*digits[0]), batch_size=20, shuffle=True), DataLoader(Plain(*digits[1]), batch_size=50))
    learn = Learner("mlp", loaders, out=out, verbose=False)
    learn.fit(1)
    assert {path.name for path in learn.run_dir.iterdir()} >= PICTURES


def test_names_are_text_not_markup(out):
    hostile = ['<script>alert("1")</script>', "a & b's \"c\" $\\frac$ \\", "日本語"]
    rows = pd.DataFrame({"a": np.arange(60.0), "y": hostile * 20})
    learn = Learner("mlp", rows, target="y", out=out, verbose=False, name="<b>")
    learn.fit(1)
    page = Reader(learn.run_dir / "report.html")
    assert page.tags.count("script") == 1
    assert all(name in page.text for name in hostile)
    assert os.listdir(out) == ["b"]
