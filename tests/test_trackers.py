"""TensorBoard, CSV and MLflow: the same rows in the files of each; trackers that fail."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import warnings

import lightning.pytorch as pl
import pytest
import torch

from fastgpu import Learner
from fastgpu.callbacks.log_rows import LogRows
from fastgpu.callbacks.trackers import TRACKERS
from fastgpu.callbacks.trackers.base import Tracker
from fastgpu.errors import ArgumentError, MissingPackageError

KEYS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")


def tensorboard(folder):
    """Key -> [(step, value)], and the tags of pictures and texts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}, {*tags["images"], *tags["tensors"]}


def mlflow(folder):
    """The client and the only run in a run folder's own store."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("fastgpu").experiment_id])
    return client, run


@pytest.fixture
def _own_store(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


STEPS = [25, 50, 75, 100]


def expected(learn, key):
    """(step, value) of a key of the history, as files of single precision give it back."""
    return list(zip(STEPS, [pytest.approx(value, rel=1e-6) for value in learn.history[key]]))


def test_several_at_once_have_the_same_rows(make):
    pytest.importorskip("tensorboard")
    learn = make(logger=["csv", "tensorboard"], report=True)
    learn.fit(3)
    learn.fit(1)
    folder = learn.run_dir
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    scalars, others = tensorboard(folder)
    for key in KEYS:
        assert [(int(row["step"]), float(row[key])) for row in rows] == expected(learn, key)
        assert scalars[key] == expected(learn, key)
    # What stands beside the rows.
    assert [step for step, _ in scalars["step/loss"]] == [50, 100]
    pictures = {file.stem for file in folder.glob("*.png")}
    assert {"history", "samples", "worst"} <= pictures
    assert others >= {f"pictures/{name}" for name in pictures}


def csv_steps(learn):
    with (learn.run_dir / "csv" / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_tracker_named_for_one_fit_lives_for_that_fit(make):
    learn = make()
    learn.fit(1)
    learn.fit(1, callbacks="csv")
    assert csv_steps(learn) == [50]
    learn.fit(1)
    assert learn.log_rows.loggers == []
    learn.fit(1, callbacks="csv")  # the same files go on
    assert csv_steps(learn) == [50, 100]


def test_a_tracker_named_for_the_learner_and_for_a_fit_is_one(make):
    learn = make(logger="csv")
    learn.fit(1, callbacks="csv")
    assert csv_steps(learn) == [25]


def test_steps_go_on_where_the_optimizer_begins_anew(make, digits, out):
    pytest.importorskip("torch_pruning")
    learn = make(logger=["csv", steps := Keeps(10)])
    learn.fit(1)
    learn.prune(0.3, epochs=1)
    learn.fit(1)
    assert csv_steps(learn) == [25, 50, 75]
    assert steps.steps == [16, 25, 41, 50, 66, 75]  # at the ends of chunks
    loaded = Learner.load(learn.save(out / "kept"), digits, out=out, report=False, verbose=False)
    loaded.fit(1)
    assert csv_steps(loaded) == [100]
    # A pruned run has no optimizer's state to go on from, but its steps.
    learn.prune(0.3, epochs=1)
    loaded = Learner.load(learn.run_dir, digits, out=out, report=False, verbose=False)
    loaded.fit(1)
    assert csv_steps(loaded) == [125]


def test_steps_go_on_in_a_fit_that_is_resumed_after_pruning(make):
    pytest.importorskip("torch_pruning")

    class Fails(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if module.epoch == 2:
                raise RuntimeError("stop")

    learn = make(logger="csv")
    learn.prune(0.3, epochs=1)
    with pytest.raises(RuntimeError, match="stop"):
        learn.fit(2, callbacks=Fails())
    again = make(logger="csv", architecture=learn.module)
    again.architecture = "mlp"  # the pruned network under its own name
    again.fit(2, resume=learn.run_dir)
    assert csv_steps(again)[-1] == 75


def test_each_tracker_has_its_own_interval(make):
    learn = make(logger=[often := Keeps(5), seldom := Keeps(20)])
    learn.fit(2)
    assert often.steps == [16, 25, 41, 50]  # at the ends of chunks
    assert seldom.steps == [25, 41]
    learn.fit(1)
    assert seldom.steps == [25, 41, 66]


# MLflow takes seconds to make its tables.


@pytest.mark.slow
@pytest.mark.usefixtures("_own_store")
def test_mlflow_has_the_same_rows(make):
    learn = make(logger=["csv", "mlflow"], report=True)
    learn.fit(3)
    learn.fit(1)
    client, run = mlflow(learn.run_dir)
    for key in KEYS:
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] == expected(learn, key)
    assert [m.step for m in client.get_metric_history(run.info.run_id, "step/grad_norm")] == [50, 100]
    pictures = {f"pictures/{file.name}" for file in learn.run_dir.glob("*.png")}
    assert {file.path for file in client.list_artifacts(run.info.run_id, "pictures")} == pictures
    [model] = client.list_artifacts(run.info.run_id, "model")
    assert model.file_size == (learn.run_dir / "checkpoints" / "best").stat().st_size
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mlp-arrays")
    assert (run.data.params["architecture"], run.data.params["parameters"]) == ("mlp", "9610")
    best = learn.history.best("val_accuracy", higher_is_better=True)
    assert (run.data.metrics["best/epoch"], run.data.metrics["best/val_accuracy"]) == (best["epoch"], pytest.approx(best["val_accuracy"]))


@pytest.mark.slow
@pytest.mark.usefixtures("_own_store")
def test_an_mlflow_run_goes_on_after_resume_and_tells_of_a_failure(make):
    class Fails(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if module.epoch == 2:
                raise RuntimeError("stop")

    learn = make(logger="mlflow")
    with pytest.raises(RuntimeError, match="stop"):
        learn.fit(3, callbacks=Fails())
    assert mlflow(learn.run_dir)[1].info.status == "FAILED"
    again = make(logger="mlflow")
    again.fit(3, resume=learn.run_dir)
    client, run = mlflow(learn.run_dir)
    assert run.info.status == "FINISHED"
    assert [m.value for m in client.get_metric_history(run.info.run_id, "epoch")] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.usefixtures("_own_store")
def test_an_mlflow_run_goes_on_with_other_data(make, digits, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)  # where MLflow's own default puts artifacts
    learn = make(logger="mlflow")
    learn.fit(1)
    (x, y), held_out = digits
    loaded = Learner.load(learn.run_dir, ((x[:100], y[:100]), held_out), report=False, verbose=False)
    loaded.fit(1)
    [tracker] = loaded.log_rows.loggers
    run = tracker.experiment.get_run(tracker.run_id)
    assert [m.value for m in tracker.experiment.get_metric_history(tracker.run_id, "epoch")] == [1, 2]
    assert run.data.params["data_facts/sizes/train"] == "200"


@pytest.mark.slow
@pytest.mark.usefixtures("_own_store")
def test_reports_of_compression(make):
    pytest.importorskip("torch_pruning")
    pytest.importorskip("tensorboard")
    learn = make(logger=["tensorboard", "mlflow"])
    learn.fit(1)
    report = learn.prune(0.5, epochs=1)
    client, run = mlflow(learn.run_dir)
    file = client.download_artifacts(run.info.run_id, "compression/report.txt")
    with open(file) as text:
        assert text.read() == str(report)
    assert "compression/report/text_summary" in tensorboard(learn.run_dir)[1]


def test_a_tracker_gets_a_fit_from_its_beginning_to_its_end(make, tmp_path):
    class Told(Tracker, pl.loggers.CSVLogger):
        def __init__(self, folder):
            super().__init__(folder)
            self.told = []

        def __getattribute__(self, name):
            if name in ("begin", "log_best", "log_fit", "end"):
                return lambda *args: self.told.append((name, args))
            return super().__getattribute__(name)

    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            raise KeyboardInterrupt

    tracker = Told(tmp_path / "told")
    learn = make(logger=tracker)
    learn.fit(1)
    assert [name for name, _ in tracker.told] == ["begin", "log_best", "log_fit", "end"]
    assert tracker.told[2][1][0].class_names == tuple(range(10))
    tracker.told.clear()
    learn.fit(1, callbacks=Stop())
    assert tracker.told[-1] == ("end", (255,))


@pytest.mark.parametrize("what", ["begin", "log_step", "log_metrics", "log_best", "log_fit", "end"])
def test_a_tracker_that_fails_anywhere_costs_one_warning(make, what, tmp_path):
    class Broken(Tracker, pl.loggers.CSVLogger):
        every = 1

    def fail(self, *args, **kwargs):
        raise ConnectionError("the network is\ndown")

    setattr(Broken, what, fail)
    learn = make(logger=[Broken(tmp_path / "broken"), "csv"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learn.fit(2)
    said = [str(w.message) for w in caught if "Broken" in str(w.message)]
    assert said == ["The logger Broken failed and is left out from here on: the network is down"]
    assert len(learn.history) == 2
    assert len((learn.run_dir / "csv" / "metrics.csv").read_text().splitlines()) == 3


def test_a_tracker_that_cannot_begin_costs_one_warning(make, monkeypatch):
    def fails(folder, settings):
        raise PermissionError(f"{folder} cannot be written")

    monkeypatch.setitem(TRACKERS._load(), "fails", fails)
    learn = make(logger=["fails", "csv"])
    with pytest.warns(UserWarning, match="The logger 'fails' could not begin and is left out: .* cannot be written"):
        learn.fit(1)
    assert (learn.run_dir / "csv" / "metrics.csv").is_file()


def test_two_loggers_in_one_place_are_refused(make, out, tmp_path):
    with pytest.raises(ArgumentError, match="Each logger writes to a place of its own. Two write to 'csv'"):
        make(logger=["csv", "csv"])
    same = [pl.loggers.CSVLogger(tmp_path, name="a", version=0) for _ in range(2)]
    with pytest.raises(ArgumentError, match=f"Two write to '{tmp_path}/a/version_0'"):
        make(logger=same)
    make(logger=[same[0], pl.loggers.CSVLogger(tmp_path, name="b", version=0)])
    assert not out.exists()


def test_a_package_that_is_missing_is_named(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingPackageError, match=r"The logger 'mlflow' needs the package mlflow.*pip install 'fastgpu\[mlflow\]'"):
        make(logger="mlflow").fit(1)


def test_a_package_that_is_missing_is_named_in_each_fit(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    learn = make(logger="mlflow")
    for _ in range(2):
        with pytest.raises(MissingPackageError, match="The logger 'mlflow' needs the package mlflow"):
            learn.fit(1)
    assert not learn.history.rows


def test_settings_that_are_objects_are_named(make):
    def my_schedule(progress):
        return 1.0

    learn = make(logger=["csv", told := Keeps()])
    learn.fit(1, schedule=my_schedule)
    assert told.facts["schedule"] == {"object": "my_schedule"}
    assert told.facts["architecture"] == "mlp"


class Strange:
    @property
    def __name__(self):
        raise RuntimeError("ask me\nnothing")


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
def test_facts_that_cannot_be_had_cost_one_warning(tmp_path):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.hparams["strange"] = Strange()

        def training_step(self, batch, index):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = pl.Trainer(
        max_epochs=1, default_root_dir=tmp_path, accelerator="cpu", logger=False, callbacks=[LogRows([told := Keeps(1)], None)],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )
    with pytest.warns(UserWarning, match="The facts about this training are left out of the loggers: ask me nothing"):
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(4, 1)))
    assert (list(told.facts), told.steps) == (["environment"], [1, 2, 3, 4])


class Keeps(Tracker, pl.loggers.logger.Logger):
    """Keeps the facts that it got, and the steps at which it got values."""

    name, version = "keeps", ""

    def __init__(self, every=50):
        super().__init__()
        self.every, self.steps = every, []

    def begin(self, folder, facts):
        self.facts = facts

    def log_step(self, row, step):
        assert row["grad_norm"] > 0
        self.steps.append(step)

    def log_hyperparams(self, *args, **kwargs): ...

    def log_metrics(self, *args, **kwargs): ...


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small file system needs root on Linux")
@pytest.mark.parametrize("kept_free", [0, 40_000])
def test_no_space_for_trackers(make, tmp_path, monkeypatch, kept_free):
    """Folders of the trackers on a disk that is full from the beginning, or soon."""
    pytest.importorskip("tensorboard")
    import wandb

    full = tmp_path / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(full)], check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))

    class Elsewhere(pl.Callback):
        def setup(self, trainer, module, stage):
            for name in ("csv", "wandb"):
                if not (learn.run_dir / name).exists():
                    (full / name).mkdir()
                    (learn.run_dir / name).symlink_to(full / name)
            with (full / "filled").open("wb") as file:
                with contextlib.suppress(OSError):
                    while os.statvfs(full).f_bavail * 4096 > kept_free:
                        file.write(b"x" * 4096)
                        file.flush()

    learn = make(logger=["csv", "wandb"])
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            learn.fit(150, callbacks=Elsewhere())
        said = [str(w.message) for w in caught if "is left out from here on" in str(w.message)]
        assert [line for line in said if "CSVLogger" in line]
        assert len(said) == len(set(said)) <= 2
        assert len(learn.history) == 150
        assert Learner.load(learn.run_dir).history.rows == learn.history.rows
    finally:
        wandb.teardown()
        subprocess.run(["umount", str(full)], check=True)
