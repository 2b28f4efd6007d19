"""tune: real searches on the small digits."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import numpy as np
import pytest
from comparing import same_weights
from torch import nn

pytest.importorskip("optuna")
from fastgpu import Learner  # noqa: E402
from fastgpu.callbacks import WandB  # noqa: E402
from fastgpu.cli import main  # noqa: E402
from fastgpu.errors import ArgumentError, ModelError, UnknownKeywordError, UnknownNameError  # noqa: E402

SPACE = {"lr": (1e-5, 0.1, "log"), "optimizer": ["adamw", "sgd"], "batch_size": (16, 64)}


def test_the_learner_becomes_the_best_trial(make, out, capsys):
    learn = make(verbose=True)
    result = learn.tune(SPACE, trials=6, epochs=3)
    capsys.readouterr()
    assert result.key == "val_accuracy"
    assert len(result) == 6
    assert result.value == max(trial["val_accuracy"] for trial in result.trials)
    assert learn.evaluate()["accuracy"] == pytest.approx(result.value)
    assert (learn.settings.lr, learn.settings.optimizer, learn.settings.batch_size) == tuple(result.best[name] for name in SPACE)
    assert learn.lr == result.best["lr"]
    assert learn.data.batch_size == result.best["batch_size"]
    # Values lie in the space, whole numbers where its ends are whole.
    for trial in result.trials:
        assert 1e-5 <= trial["lr"] <= 0.1
        assert isinstance(trial["batch_size"], int)
        assert 16 <= trial["batch_size"] <= 64
    # Bad trials are cut short, the first ones never.
    states = [trial["state"] for trial in result.trials]
    assert states[:4] == ["complete"] * 4
    assert all((trial["epochs"] < 3) == (trial["state"] == "pruned") for trial in result.trials)
    # Only the best keeps its weights; it trains on.
    kept = [path.parents[1] for path in out.rglob("checkpoints/best")]
    best = next(trial["trial"] for trial in result.trials if trial["val_accuracy"] == result.value)
    assert kept == [out / "mlp-arrays-tune" / f"trial-{best:02}"] == [learn.run_dir]
    assert len(list(out.glob("mlp-arrays-tune/*/history.csv"))) == 6
    learn.fit(1)
    assert len(learn.history) == 4
    assert same_weights(learn, Learner.load(learn.run_dir))
    # The table.
    shown = str(result)
    assert shown.startswith(f"6 trials; best val_accuracy {result.value:.4f} with lr=")
    assert len(shown.splitlines()) == 8
    assert list(result.to_frame().columns) == ["trial", *SPACE, "val_accuracy", "epochs", "seconds", "state", "reason"]


def test_the_calls_that_repeat_it_give_the_same_learner(make, digits, out):
    learn = make()
    result = learn.tune({"lr": (1e-4, 1e-1, "log"), "schedule": ["one_cycle", "constant"]}, trials=2, epochs=2)
    [call] = learn.calls
    assert (call.verb, call.arguments) == ("fit", {"epochs": 2, "schedule": result.best["schedule"]})
    again = make(lr=learn.settings.lr)
    getattr(again, call.verb)(**call.arguments)
    assert same_weights(learn, again)
    assert [row["val_accuracy"] for row in learn.history] == [row["val_accuracy"] for row in again.history]


def test_the_same_seed_gives_the_same_search(make):
    def search(seed):
        found = make(seed=seed).tune(SPACE, trials=3, epochs=1)
        return [{k: v for k, v in trial.items() if k != "seconds"} for trial in found.trials]

    assert search(0) == search(0) != search(1)


def test_bad_trials_are_pruned(make):
    # Rates that learn nothing come after four that do, or the other way: some trial is worse than the median.
    result = make().tune({"lr": (1e-6, 0.03, "log")}, trials=9, epochs=3)
    pruned = [trial for trial in result.trials if trial["state"] == "pruned"]
    assert pruned
    assert all(trial["epochs"] == 2 for trial in pruned)
    assert max(trial["val_accuracy"] for trial in pruned) <= result.value


def test_trials_begin_with_the_network_as_it_is(make):
    learn = make(lr=0.01)
    learn.fit(4)
    before = learn.evaluate()["accuracy"]
    result = learn.tune({"lr": [1e-7, 2e-7]}, trials=2, epochs=1)
    assert result.value == pytest.approx(before, abs=0.02)
    assert len(learn.history) == 5


def test_architectures_schedules_and_objects_are_choices(make):
    learn = make()
    result = learn.tune({"architecture": ["mlp", "mlp/large"], "schedule": ["one_cycle", lambda progress: 1 - progress]}, trials=4, epochs=1)
    assert {trial["architecture"] for trial in result.trials} == {"mlp", "mlp/large"}
    assert learn.architecture == result.best["architecture"]
    assert learn.evaluate()["accuracy"] == pytest.approx(result.value)
    assert len(learn.history) == 1


def test_a_failed_trial_does_not_end_the_search(make):
    learn = make(optimizer="sgd")
    result = learn.tune({"lr": [1e30, 0.01]}, trials=6, epochs=2)
    states = {trial["lr"]: trial["state"] for trial in result.trials}
    assert states[1e30] == "failed"
    assert all(math.isnan(trial["val_accuracy"]) for trial in result.trials if trial["lr"] == 1e30)
    assert result.best == {"lr": 0.01}
    # What failed is told: in the results, and in their table.
    reasons = {trial["lr"]: trial["reason"] for trial in result.to_frame().to_dict("records")}
    assert reasons[0.01] == ""
    assert "loss" in reasons[1e30]
    assert reasons[1e30] in " ".join(repr(result).split())


def test_what_was_tried_is_not_tried_again(make, capsys):
    learn = make(verbose=True)
    result = learn.tune({"lr": [1e-3, 0.001, 1e-2], "batch_size": (31, 32)}, trials=10, epochs=1)
    assert sorted((trial["lr"], trial["batch_size"]) for trial in result.trials) == [(1e-3, 31), (1e-3, 32), (1e-2, 31), (1e-2, 32)]
    said = capsys.readouterr().out.splitlines()
    assert said.count("tune: the space has 4 combinations, so there are 4 trials, not 10") == 1
    assert any(line.startswith("trial 4/4: ") for line in said)


def test_where_every_trial_fails_the_learner_stays(make):
    learn, twin = make(optimizer="sgd"), make(optimizer="sgd")
    result = learn.tune({"lr": [1e30]}, trials=2, epochs=1)
    assert (result.best, str(result).splitlines()[0]) == ({}, "no trial gave a value")
    assert same_weights(learn, twin)
    assert learn.run_dir is None


def test_ctrl_c_ends_the_search_with_the_best_so_far(make):
    class Stop(pl.Callback):
        fits = 0

        def on_fit_start(self, trainer, module):
            Stop.fits += 1

        def on_train_epoch_start(self, trainer, module):
            if Stop.fits == 3 and module.epoch == 1:
                raise KeyboardInterrupt

    learn = make(callbacks=Stop())
    result = learn.tune({"lr": (1e-3, 1e-1, "log")}, trials=10, epochs=2)
    assert len(result) == 3
    assert result.trials[-1]["epochs"] == 1
    assert learn.evaluate()["accuracy"] == pytest.approx(result.value)


def test_max_time_ends_the_search(make):
    result = make().tune({"lr": (1e-3, 1e-1, "log")}, trials=10_000, epochs=1, max_time=1.0)
    assert 1 <= len(result) < 10_000


def test_trials_are_one_group_of_runs(make, out, monkeypatch, tmp_path, capsys):
    from wandb_files import parts

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    learn = make(callbacks=[WandB("search", log_model=None)], logger="csv")
    learn.tune({"lr": (1e-3, 1e-1, "log")}, trials=2, epochs=1)
    folders = sorted(out.glob("mlp-arrays-tune/*"))
    runs = [parts(folder)[0] for folder in folders]
    assert len({part.run.run_id for part in runs}) == 2
    assert {(part.run.project, part.run.run_group) for part in runs} == {("search", "mlp-arrays-tune")}
    assert [part.run.display_name for part in runs] == ["trial-01", "trial-02"]
    assert all((folder / "csv" / "metrics.csv").is_file() for folder in folders)
    assert capsys.readouterr().out.count("wandb sync") == 1
    learn.fit(1)  # goes on in the best trial's run
    first, second = parts(learn.run_dir)
    assert first.run.run_id == second.run.run_id


WRONG = {
    "unknown": ({"learning_rate": [1]}, UnknownNameError, "Unknown setting to tune 'learning_rate'"),
    "misspelt": ({"optimiser": ["adamw"]}, UnknownNameError, "Did you mean 'optimizer'"),
    "of the data": ({"image_size": [8, 16]}, ArgumentError, "what needs no other data: .* 'image_size' came"),
    "empty": ({}, ArgumentError, "A space is a dict"),
    "one number": ({"lr": 0.1}, ArgumentError, "'lr' is searched in a list of choices, .* 0.1 came"),
    "three numbers": ({"lr": (1, 2, 3)}, ArgumentError, "'lr' is searched in a list of choices"),
    "backwards": ({"lr": (0.1, 0.01)}, ArgumentError, "begins below its end"),
    "log of zero": ({"lr": (0.0, 1.0, "log")}, ArgumentError, "above 0 where it is 'log'"),
    "value": ({"lr": [0.1, -1]}, ArgumentError, "lr is 'auto' or a number above 0. -1 came"),
    "name": ({"optimizer": ["adamw", "sdg"]}, UnknownNameError, "Unknown optimizer 'sdg'. Did you mean 'sgd'"),
    "schedule": ({"schedule": ["cosin"]}, UnknownNameError, "Unknown schedule 'cosin'. Did you mean 'cosine'"),
    "schedule of no kind": ({"schedule": ["cosine", 5]}, ArgumentError, "A schedule is a name or a function of progress. 5 came"),
    "range of names": ({"precision": (16, 64)}, ArgumentError, "A range is for .* 'precision' has"),
    "architecture": ({"architecture": ["mlp", "mpl"]}, UnknownNameError, "Unknown architecture 'mpl'"),
    "loss of another task": ({"loss": ["cross_entropy", "mse"]}, ArgumentError, "'mse' is not a loss of classification"),
    "loss that fails": ({"loss": ["cross_entropy", nn.L1Loss()]}, ModelError, "The network must take the data"),
    "architecture of other data": ({"architecture": ["mlp", "text_bag"]}, ArgumentError, "text_bag takes text, the data are image"),
    "architecture of another task": ({"architecture": ["mlp", "fcos/resnet18"]}, ArgumentError, "is for detection, the task is classification"),
    "network of another shape": ({"architecture": ["mlp", nn.Linear(3, 10)]}, ModelError, "The network must take the data"),
    "class_weight": ({"class_weight": [None, "balancd"]}, ArgumentError, "class_weight is 'balanced', a dict .* 'balancd' came"),
    "what does not go together": (
        {"loss": ["cross_entropy", nn.CrossEntropyLoss()], "class_weight": [None, "balanced"]},
        ArgumentError,
        "class_weight goes with a loss by name",
    ),
    "optimizer's option": ({"optimizer": ["adamw", "rprop"], "weight_decay": [None, 0.1]}, UnknownKeywordError, "Rprop has no option 'weight_decay'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_get_one_line_and_leave_nothing(make, out, what):
    space, kind, match = WRONG[what]
    with pytest.raises(kind, match=match):
        make(seed=2).tune(space)  # a search with this seed begins with the first choice
    assert not out.exists()


def test_other_mistakes(make, digits):
    with pytest.raises(ArgumentError, match="trials is a whole number, at least 1. 0 came"):
        make().tune(SPACE, trials=0)
    with pytest.raises(ArgumentError, match="max_time is None or seconds above 0. -1 came"):
        make().tune(SPACE, max_time=-1)
    with pytest.raises(ArgumentError, match="epochs is a whole number, at least 1"):
        make().tune(SPACE, epochs=0)
    with pytest.raises(ArgumentError, match="tune compares val_accuracy. The data have no val split"):
        make(data=digits[0], validation_split=None).tune(SPACE)
    with pytest.raises(ArgumentError, match="in one process, on one device. devices=2 came"):
        make(devices=2).tune(SPACE)


def test_a_regression_is_compared_by_its_error(make):
    x = np.random.default_rng(0).normal(size=(120, 3)).astype("float32")
    learn = make("mlp", (x, x[:, 0] * 2 + 1))
    result = learn.tune({"lr": (1e-4, 1e-1, "log")}, trials=4, epochs=2)
    assert result.value == min(trial[result.key] for trial in result.trials)
    assert learn.evaluate()[result.key.removeprefix("val_")] == pytest.approx(result.value)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    search = ["--search", "lr=1e-4:1e-1:log", "--search", "optimizer=adamw,sgd", "--search", "batch-size=32:64"]
    assert main(["tune", "mlp", "digits", *search, "--trials", "2", "--epochs", "1", "--no-report"]) == 0
    said = capsys.readouterr().out
    assert "2 trials; best val_accuracy" in said
    [best] = [path.parents[1] for path in tmp_path.rglob("checkpoints/best")]
    assert f"run folder: {best.relative_to(tmp_path)}" in said
    for wrong, line in ((["--search", "lr"], "--search takes NAME="), ([], "No --search came"), (["--search", "lrr=1:2"], "Did you mean 'lr'")):
        assert main(["tune", "mlp", "digits", *wrong]) == 2
        assert line in capsys.readouterr().err
