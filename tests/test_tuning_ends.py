"""tune: whatever ends a search or a trial, what was found is kept; what a search leaves behind."""

from __future__ import annotations

import copy
import signal
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
import yaml
from fields.recommendation import plays
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("optuna")
from fastgpu import Learner  # noqa: E402
from fastgpu.cli import main  # noqa: E402
from fastgpu.errors import ArgumentError  # noqa: E402

SPACE = {"lr": (1e-3, 1e-1, "log")}


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class Interrupted(nn.Sequential):
    """A network that Ctrl-C meets while it is copied for the third time."""

    copies = 0

    def __deepcopy__(self, memo):
        Interrupted.copies += 1
        if Interrupted.copies == 3:
            signal.raise_signal(signal.SIGINT)
        return Interrupted(*copy.deepcopy(list(self), memo))


class In(pl.Callback):
    """Does something when an epoch of the third fit begins."""

    def __init__(self, act):
        self.act, self.fits = act, 0

    def on_fit_start(self, trainer, module):
        self.fits += 1

    def on_train_epoch_start(self, trainer, module):
        if self.fits == 3:
            self.act()


class Hungry(nn.Sequential):
    """A network that takes more memory than there is to train on batches of more than 32."""

    def forward(self, x):
        if self.training and len(x) > 32:
            torch.empty(1 << 50)
        return super().forward(x)


def only_weights_of(learn, out):
    return [path.parents[1] for path in out.rglob("checkpoints/best")] == [learn.run_dir]


def test_ctrl_c_between_trials_keeps_the_best(make, out):
    Interrupted.copies = 0
    learn = make(Interrupted(*net()))
    result = learn.tune(SPACE, trials=5, epochs=1)
    assert Interrupted.copies >= 3
    assert [trial["state"] for trial in result.trials] == ["complete"] * 2
    assert learn.evaluate()["accuracy"] == pytest.approx(result.value)
    assert only_weights_of(learn, out)


def test_a_trial_that_ctrl_c_stops_before_its_first_row_has_not_failed(make, out):
    learn = make(callbacks=In(lambda: signal.raise_signal(signal.SIGINT)))
    result = learn.tune(SPACE, trials=5, epochs=1)
    assert [trial["state"] for trial in result.trials] == ["complete"] * 2
    assert [trial.state.name for trial in result.study.trials] == ["COMPLETE"] * 2 + ["RUNNING"]
    assert learn.evaluate()["accuracy"] == pytest.approx(result.value)
    assert only_weights_of(learn, out)


def test_a_trial_that_ctrl_c_stops_later_is_interrupted(make):
    class AfterTwo(In):
        def on_train_epoch_start(self, trainer, module):
            if module.epoch == 2:
                super().on_train_epoch_start(trainer, module)

    result = make(callbacks=AfterTwo(lambda: signal.raise_signal(signal.SIGINT))).tune(SPACE, trials=5, epochs=3)
    assert [trial["state"] for trial in result.trials] == ["complete"] * 2 + ["interrupted"]
    assert [trial.state.name for trial in result.study.trials] == ["COMPLETE"] * 2 + ["PRUNED"]
    assert result.trials[-1]["epochs"] == 2


def test_ctrl_c_before_any_value_changes_nothing(make, capsys):
    def stop():
        raise KeyboardInterrupt

    action = In(stop)
    action.fits = 2
    learn = make(callbacks=action, verbose=True)
    assert len(learn.tune(SPACE, trials=5, epochs=1)) == 0
    assert "tune: interrupted; nothing is changed" in capsys.readouterr().out
    assert (len(learn.history), learn.run_dir) == (0, None)


def test_an_error_is_raised_once_the_learner_is_the_best(make, out):
    def fail():
        raise RuntimeError("a worker died")

    learn = make(callbacks=In(fail))
    with pytest.raises(RuntimeError, match="a worker died"):
        learn.tune(SPACE, trials=5, epochs=2)
    assert len(learn.history) == 2
    assert learn.run_dir.name in ("trial-01", "trial-02")
    assert only_weights_of(learn, out)
    assert learn.evaluate()["accuracy"] == pytest.approx(max(learn.history["val_accuracy"]))


def test_a_trial_for_which_the_memory_does_not_suffice_has_failed(make):
    result = make(Hungry(*net())).tune({"batch_size": [64, 16]}, trials=6, epochs=1)
    states = {trial["batch_size"]: trial["state"] for trial in result.trials}
    assert states == {64: "failed", 16: "complete"}
    assert result.best == {"batch_size": 16}


def test_epochs_that_are_not_decoded_are_passed_over(make, tmp_path):
    learn = make("sasrec/tiny", plays(tmp_path), task="ranking", decode_every=2)
    result = learn.tune(SPACE, trials=1, epochs=3)
    assert [result.key in row for row in learn.history] == [False, True, True]
    assert result.value == max(row[result.key] for row in learn.history.rows[1:])


def test_a_network_among_the_choices_stays_as_it_is(make):
    choice = net()
    before = copy.deepcopy(choice.state_dict())
    make().tune({"architecture": [choice]}, trials=1, epochs=1)
    assert all(bool((tensor == before[name]).all()) for name, tensor in choice.state_dict().items())


def test_a_logger_of_the_users_own_goes_on_afterwards(make, tmp_path):
    mine = CSVLogger(tmp_path, "mine")
    learn = make(logger=[mine, "csv"])
    learn.fit(1)
    learn.tune(SPACE, trials=1, epochs=1)
    learn.tune(SPACE, trials=1, epochs=1)
    learn.fit(1)
    lines = Path(mine.log_dir, "metrics.csv").read_text().splitlines()
    assert [line.split(",")[lines[0].split(",").index("epoch")] for line in lines[1:]] == ["1", "4"]
    assert (learn.run_dir / "csv" / "metrics.csv").is_file()


def test_a_batch_size_that_the_data_bring_is_refused(digits, out, make):
    (x, y), _ = digits
    items = TensorDataset(torch.as_tensor(x).float(), torch.as_tensor(y))
    loaders = (DataLoader(items, batch_size=50), DataLoader(items, batch_size=50))
    with pytest.raises(ArgumentError, match="batch_size is searched where batches are made here. The data came in batches"):
        make(net(), loaders).tune({"batch_size": [1, 50]})
    assert not out.exists()
    result = make(net(), items).tune({"batch_size": [10, 50]}, trials=1, epochs=1)
    assert len(result) == 1


def test_a_trial_is_repeated_from_its_own_settings(out, tmp_path, capsys):
    learn = Learner("mlp", "digits", out=out, report=False, verbose=False, callbacks="early_stopping")
    learn.tune({"lr": [0.01]}, trials=1, epochs=1)
    file = learn.run_dir / "args.yaml"
    assert yaml.safe_load(file.read_text())["callbacks"] == ["early_stopping"]
    assert main(["fit", "--config", str(file), "--name", "again", "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "again" / "history.csv").is_file()


def test_the_best_trial_has_pictures_and_page(make, out):
    learn = make(report=True)
    learn.tune(SPACE, trials=2, epochs=1)
    assert {"report.html", "results.png", "samples.png", "confusion_matrix.png", "worst.png"} <= {path.name for path in learn.run_dir.iterdir()}
    assert len(list(out.rglob("report.html"))) == 1
