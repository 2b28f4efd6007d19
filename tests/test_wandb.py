"""Weights & Biases: the real client, offline; what it wrote is read back."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import wandb
from PIL import Image
from wandb_files import parts

from fastgpu import Learner
from fastgpu.callbacks import WandB
from fastgpu.errors import ArgumentError, UnknownKeywordError, UnknownNameError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch, tmp_path):
    """No key anywhere, and the client's own files in a folder of the test."""
    for name in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_SERVICE"]:  # that is the client's own
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


def test_a_run_over_two_fits(make, capsys):
    learn = make(callbacks=[WandB("pictures", every=10, tags="small")], lr=0.01)
    learn.fit(3)
    learn.fit(1)
    first, second = parts(learn.run_dir)
    assert first.run.run_id == second.run.run_id
    assert (first.run.project, list(first.run.tags), first.run.display_name) == ("pictures", ["small"], "mlp-arrays")
    assert (first.exit_code, second.exit_code) == (0, 0)
    # Rows of the history, in their order and at their steps.
    rows = [row for part in (first, second) for row in part.rows if "epoch" in row]
    for key in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"):
        assert [row[key] for row in rows] == learn.history[key]
    assert [row["step"] for row in rows] == [25, 50, 75, 100]
    # Steps between.
    steps = [row for row in first.rows if "step/loss" in row]
    assert [row["step"] for row in steps] == [16, 25, 41, 50, 66, 75]
    assert set(steps[0]) >= {"step/loss", "step/lr", "step/grad_norm", "step/items_per_second"}
    assert 0 < steps[0]["step/grad_norm"] < 100
    assert learn.history["loss"][0] * 0.5 < steps[0]["step/loss"] < learn.history["loss"][0] * 1.5
    # Their axes.
    assert first.metrics["val_loss"] == second.metrics["val_loss"] == "epoch"
    assert first.metrics["step/loss"] == "step"
    # The best epoch, and the facts.
    best = learn.history.best("val_accuracy", higher_is_better=True)
    assert second.summary["best/epoch"] == best["epoch"]
    assert second.summary["best/val_accuracy"] == best["val_accuracy"]
    config = first.config
    assert (config["architecture"], config["lr"], config["parameters"], config["optimizer"]) == ("mlp", 0.01, 9610, "auto")
    assert config["flops"] == 2 * config["macs"] == 2 * (64 * 128 + 128 * 10)
    assert config["data_facts"]["sizes"] == {"train": 200, "val": 100}
    assert config["data_facts"]["class_names"] == [str(i) for i in range(10)]
    assert config["environment"]["packages"]["wandb"] == wandb.__version__
    said = capsys.readouterr().out
    assert said.count("wandb: the run stays on the disk; to upload it: wandb sync --id") == 1
    assert f"{learn.run_dir}/wandb/offline-run-*{first.run.run_id}*" in said


def test_the_name_does_the_same_and_two_learners_have_two_runs(make):
    one, two = make(logger="wandb"), make(callbacks="wandb")
    one.fit(1)
    two.fit(1)
    [first], [second] = parts(one.run_dir), parts(two.run_dir)
    assert first.run.run_id != second.run.run_id
    assert first.run.project == second.run.project == "fastgpu"
    assert first.column("val_loss") == second.column("val_loss") == one.history["val_loss"]
    assert wandb.run is None


def test_a_run_goes_on_after_load(make, digits, out):
    learn = make(logger="wandb")
    learn.fit(1)
    loaded = Learner.load(learn.run_dir, digits, out=out, verbose=False)
    loaded.fit(1)
    assert loaded.run_dir != learn.run_dir
    [first], [second] = parts(learn.run_dir), parts(loaded.run_dir)
    assert first.run.run_id == second.run.run_id
    assert [*first.column("epoch"), *second.column("epoch")] == [1, 2]


def test_one_callback_for_two_learners_gives_two_runs(make):
    tracker = WandB()
    one, two = make(callbacks=tracker), make(callbacks=tracker)
    one.fit(1)
    two.fit(1)
    assert parts(one.run_dir)[0].run.run_id != parts(two.run_dir)[0].run.run_id


def ids(learn):
    """The run of each part in a run folder."""
    return [part.run.run_id for part in parts(learn.run_dir)]


def test_an_equal_callback_in_each_fit_goes_on_in_one_run(make, digits, out):
    learn, quick = make(), {"predictions": 0, "log_model": None}
    for _ in range(2):  # a notebook's cell that is run again
        learn.fit(1, callbacks=WandB("p", **quick))
    learn.fit(1)
    first, second = parts(learn.run_dir)
    assert first.run.run_id == second.run.run_id
    assert [*first.column("epoch"), *second.column("epoch")] == [1, 2]
    loaded = Learner.load(learn.run_dir, digits, out=out, report=False, verbose=False)
    loaded.fit(1, callbacks=WandB("p", every=5, **quick))
    assert ids(loaded) == [first.run.run_id]
    learn.fit(1, callbacks=WandB("q", **quick))
    assert ids(learn)[2] != first.run.run_id


def test_callbacks_come_back_after_load(make, digits, out):
    quick = {"predictions": 0, "log_model": None}
    learn = make(callbacks=[WandB("p", every=10, tags=("a", "b"), **quick), WandB("q", **quick)])
    learn.fit(1)
    assert len(set(ids(learn))) == 2
    loaded = Learner.load(learn.run_dir, digits, out=out, report=False, verbose=False)
    loaded.fit(1)
    first, _ = found = sorted(parts(loaded.run_dir), key=lambda part: part.run.project)
    assert [(part.run.project, part.column("epoch")) for part in found] == [("p", [2]), ("q", [2])]
    assert (list(first.run.tags), len([row for row in first.rows if "step/loss" in row])) == (["a", "b"], 2)
    assert [logger.version for logger in loaded.log_rows.loggers] == [logger.version for logger in learn.log_rows.loggers]


def test_callbacks_that_are_given_again_at_load_go_on_in_their_runs(make, digits, out):
    def callbacks():
        return [WandB("q", name=name, predictions=0, log_model=None) for name in ("first", "second")]

    learn = make(callbacks=callbacks())
    learn.fit(1)
    loaded = Learner.load(learn.run_dir, digits, callbacks=callbacks(), out=out, report=False, verbose=False)
    loaded.fit(1)
    runs = [{part.run.display_name: part.run.run_id for part in parts(each.run_dir)} for each in (learn, loaded)]
    assert runs[0] == runs[1]
    assert len(set(runs[0].values())) == 2


def test_a_callback_given_at_load_takes_the_place_of_the_name(make, digits, out):
    learn = make(logger=["csv", "wandb"])
    learn.fit(1)
    loaded = Learner.load(learn.run_dir, digits, callbacks=[WandB(every=5)], out=out, report=False, verbose=False)
    loaded.fit(1)
    assert ids(loaded) == ids(learn)
    assert [row["step"] for row in parts(loaded.run_dir)[0].rows if "step/loss" in row] == [41, 50]
    assert (loaded.run_dir / "csv" / "metrics.csv").is_file()


def logged_fit(learn):
    """A fit's part of the run, and the row that its end logged: charts, tables, pictures."""
    learn.fit(2)
    [part] = parts(learn.run_dir)
    return part, part.rows[-1]


def table(part, row, key):
    """A logged table: columns and rows, from the artifact that will be uploaded."""
    assert row[key]["_type"] == "table-file"
    [entry] = [entry for a in part.artifacts for entry in a.manifest.contents if entry.path == f"{key}.table.json"]
    found = json.loads(Path(entry.local_path).read_text())
    return found["columns"], found["data"]


def test_charts_tables_and_the_model(make):
    learn = make(callbacks=[WandB(predictions=5, log_model="all")], lr=0.01, report=True)
    part, row = logged_fit(learn)
    seen = learn.interpret()
    # Confusion: one row a pair of classes.
    columns, cells = table(part, row, "evaluation/confusion_matrix_table")
    assert (columns, len(cells)) == (["Actual", "Predicted", "nPredictions"], 100)
    matrix = seen.confusion_matrix()
    assert all(matrix.loc[int(true), int(given)] == count for true, given, count in cells)
    for kind, x, y in (("pr", "recall", "precision"), ("roc", "false_positive_rate", "true_positive_rate")):
        columns, cells = table(part, row, f"evaluation/{kind}_curve_table")
        assert columns == ["class", x, y]
        assert {cell[0] for cell in cells} == {str(i) for i in range(10)}
        assert all(0 <= value <= 1 for cell in cells for value in cell[1:])
    # Items with the pictures themselves.
    columns, cells = table(part, row, "evaluation/predictions")
    assert columns == ["item", "image", "truth", "predicted", "loss"]
    assert [cell[0] for cell in cells] == list(range(5))
    assert [cell[2] for cell in cells] == [str(seen.truth(i)) for i in range(5)]
    columns, cells = table(part, row, "evaluation/worst")
    assert [cell[4] for cell in cells] == pytest.approx(sorted(seen.losses, reverse=True)[:5])
    pictures = {e.path: e.local_path for a in part.artifacts for e in a.manifest.contents if e.path.endswith(".png")}
    for number, cell in zip(seen.top_losses(5).index, cells):
        with Image.open(pictures[cell[1]["path"]]) as picture:
            assert np.array_equal(np.asarray(picture)[::8, ::8], seen.items.plain(number)[..., 0])
    for name in ("samples", "results", "worst", "confusion_matrix", "history"):
        logged = part.folder / "files" / row[f"pictures/{name}"]["path"]
        assert logged.read_bytes() == (learn.run_dir / f"{name}.png").read_bytes()
    # The model, once, by its aliases; the bytes of it are those of the checkpoint.
    models = [a for a in part.artifacts if a.type == "model"]
    best = learn.history.best("val_accuracy", higher_is_better=True)["epoch"]
    # The client gives "latest" to each; on the server the last one has it.
    assert [set(a.aliases) - {"latest"} for a in models] == [{"best", f"epoch-{best:.0f}"}, {"last"}]
    assert "latest" in models[-1].aliases
    [entry] = next(a for a in models if "best" in a.aliases).manifest.contents
    assert (entry.path, entry.size) == ("model.safetensors", (learn.run_dir / "checkpoints" / "best").stat().st_size)


ITEMS = {
    "text": (["good film", "a bad one", "fine", "dull and bad", "good"] * 12, np.array([1, 0, 1, 0, 1] * 12), "text_bag"),
    "table": (np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2, "mlp"),
}


@pytest.mark.parametrize("kind", ITEMS)
def test_items_of_other_kinds(make, kind):
    x, y, architecture = ITEMS[kind]
    learn = make(architecture, (x, y), callbacks=[WandB(predictions=4, log_model=None)])
    part, row = logged_fit(learn)
    columns, cells = table(part, row, "evaluation/predictions")
    expected = ["text"] if kind == "text" else ["table.0", "table.1", "table.2"]
    assert columns == ["item", *expected, "truth", "predicted", "loss"]
    shown = [cell[1 : 1 + len(expected)] for cell in cells]
    if kind == "text":
        assert {text for [text] in shown} <= set(x)
    else:
        assert all(np.isclose(x, np.array(numbers), atol=1e-5).all(1).any() for numbers in shown)
    assert not [a for a in part.artifacts if a.type == "model"]


def test_sounds_stand_in_a_table_as_sounds():
    pytest.importorskip("soundfile")
    from fastgpu.callbacks.trackers.wandb_media import tables
    from fastgpu.inputs.audio import AudioInput
    from fastgpu.interpretation import ClassInterpretation, SeenItems

    waves = [(np.sin(np.arange(4000) * pitch).astype("float32"), 8000) for pitch in (0.1, 0.2, 0.3)]
    items = np.empty(3, dtype=object)
    items[:] = waves
    input = AudioInput.fit(items, sampling_rate=8000)
    seen = ClassInterpretation(
        names=("low", "high"), targets=np.array([0, 1, 1]), outputs=np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]),
        losses=np.array([0.1, 1.6, 0.1]), items=SeenItems(input, input.encode(items), np.arange(3)), judge=lambda index: {}, total=3,
    )
    worst = tables(seen, 2)["evaluation/worst"]
    assert worst.columns == ["item", "audio", "truth", "predicted", "loss"]
    number, sound, truth, predicted, loss = worst.data[0]
    assert (number, truth, predicted, loss) == (1, "high", "low", 1.6)
    assert wandb.Audio.durations([sound]) == [0.5]


def test_a_regression_has_tables_and_no_curves(make):
    x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
    learn = make("mlp", (x, x[:, 0] * 2), callbacks=[WandB(predictions=4)])
    part, row = logged_fit(learn)
    columns, cells = table(part, row, "evaluation/worst")
    assert columns[-3:] == ["truth", "predicted", "loss"]
    assert cells[0][-1] == max(cell[-1] for cell in cells)
    assert not [key for key in row if "curve" in key or "confusion" in key]


def test_reports_of_compression(make):
    pytest.importorskip("torch_pruning")
    learn = make("mlp", logger="wandb", lr=0.01)
    learn.fit(1)
    report = learn.prune(0.5, epochs=1)
    fitted, pruned, reported = parts(learn.run_dir)
    assert fitted.run.run_id == pruned.run.run_id == reported.run.run_id
    assert reported.exit_code == 0
    columns, cells = table(reported, reported.rows[-1], "compression/report")
    assert [dict(zip(columns, cell)) for cell in cells] == [pytest.approx(step) for step in report.steps]
    assert reported.summary["compression/parameters"] == report.steps[-1]["parameters"] < report.steps[0]["parameters"]
    assert reported.summary["compression/notes"] == report.notes


def test_an_exception_ends_the_run_as_failed(make):
    class Fails(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            raise RuntimeError("stop")

    learn = make(logger="wandb")
    with pytest.raises(RuntimeError, match="stop"):
        learn.fit(2, callbacks=Fails())
    learn.fit(1)
    first, second = parts(learn.run_dir)
    assert (first.exit_code, second.exit_code) == (1, 0)
    assert first.run.run_id == second.run.run_id


def test_ctrl_c_ends_the_run_as_killed(make):
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if module.epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    learn = make(logger="wandb")
    learn.fit(3, callbacks=Stop())
    [part] = parts(learn.run_dir)
    assert part.exit_code == 255
    assert part.column("epoch") == [1]


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_trainer_of_ones_own(tmp_path, digits):
    class Module(pl.LightningModule):
        def __init__(self, width):
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Linear(64, width)

        def training_step(self, batch, index):
            loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("mine", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    (x, y), _ = digits
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x).flatten(1).float() / 16, torch.from_numpy(y)), batch_size=20
    )
    tracker = WandB("own", every=5)
    settings = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 2}
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, logger=False, callbacks=[tracker], **settings)
    trainer.fit(Module(10), loader)
    [part] = parts(tmp_path)
    assert (part.exit_code, part.run.project, part.config["width"], part.config["parameters"]) == (0, "own", 10, 650)
    assert [row["step"] for row in part.rows if "mine" in row] == [1, 3, 5, 7, 9]
    assert [row["step"] for row in part.rows if "step/loss" in row] == [5, 10]
    assert all(row["step/grad_norm"] > 0 for row in part.rows if "step/loss" in row)
    # It goes on from Lightning's own checkpoint in the same run.
    again = WandB("own", every=5)
    trainer = pl.Trainer(max_epochs=2, default_root_dir=tmp_path, logger=False, callbacks=[again], **settings)
    checkpoint = next(tmp_path.rglob("*.ckpt"))
    trainer.fit(Module(10), loader, ckpt_path=checkpoint, weights_only=False)
    assert [each.run.run_id for each in parts(tmp_path)] == [part.run.run_id] * 2


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.parametrize("kind", ["plan", "lazy"])
def test_modules_of_ones_own_of_any_kind(tmp_path, kind):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.LazyLinear(1) if kind == "lazy" else torch.nn.Linear(1, 1)
            self.plan = self.best_from = self.steps = "my plan"

        def training_step(self, batch, index):
            loss = (self.layer(batch) - 2 * batch).square().mean()
            self.log("mine", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = pl.Trainer(
        max_epochs=1, default_root_dir=tmp_path, accelerator="cpu", logger=False, callbacks=[WandB()], log_every_n_steps=2,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(16, 1), batch_size=4))
    [part] = parts(tmp_path)
    assert len(part.column("mine")) == 2
    assert part.config["environment"]["packages"]["wandb"] == wandb.__version__
    assert ("parameters" in part.config) == (kind == "plan")


def test_a_run_that_the_user_opened_is_used_and_left_open(make, tmp_path):
    with wandb.init(project="mine", dir=tmp_path, mode="offline", settings=wandb.Settings(silent=True)) as run:
        learn = make(logger="wandb")
        learn.fit(1)
        assert wandb.run is run
        run.log({"after": 1})
    [part] = parts(tmp_path)
    assert part.column("val_loss") == learn.history["val_loss"]
    assert part.column("after") == [1]
    assert part.config["architecture"] == "mlp"
    assert not (learn.run_dir / "wandb").exists()


def test_no_server_and_a_wrong_key_leave_the_run_on_the_disk(make, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    for key in ("short", "a" * 40):
        monkeypatch.setenv("WANDB_API_KEY", key)
        wandb.teardown()
        learn = make(logger="wandb")
        learn.fit(1)
        assert parts(learn.run_dir)[0].column("epoch") == [1]
        said = capsys.readouterr().out
        assert "wandb: the server cannot be used: " in said
        assert "wandb: the run stays on the disk; to upload it:" in said
    wandb.teardown()


def test_trials_wait_once_for_a_server_that_does_not_answer(make, monkeypatch, capsys):
    pytest.importorskip("optuna")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    wandb.teardown()
    learn = make(logger="wandb")
    learn.tune({"lr": [0.01]}, trials=2, epochs=1)
    assert capsys.readouterr().out.count("the server cannot be used") == 1
    learn.fit(1)
    assert "the server cannot be used" not in capsys.readouterr().out
    wandb.teardown()


def test_a_run_may_be_disabled(make):
    learn = make(callbacks=[WandB(mode="disabled")])
    learn.fit(1)
    learn.fit(1)
    assert not parts(learn.run_dir)
    assert len(learn.history) == 2


def test_mistakes_get_one_line(make):
    with pytest.raises(ArgumentError, match=r"A project of Weights & Biases has .* 'a/b' came, with '/'"):
        WandB("a/b")
    with pytest.raises(UnknownNameError, match="Unknown mode of WandB 'offlne'. Did you mean 'offline'"):
        WandB(mode="offlne")
    with pytest.raises(UnknownNameError, match="Unknown log_model of WandB 'bets'. Did you mean 'best'"):
        WandB(log_model="bets")
    with pytest.raises(ArgumentError, match="every is a whole number, at least 1. 0 came"):
        WandB(every=0)
    with pytest.raises(UnknownKeywordError, match="Did you mean 'predictions'"):
        WandB(prediction=3)
    with pytest.raises(UnknownNameError, match="Unknown logger 'wandbb'. Did you mean 'wandb'"):
        make(logger="wandbb")
    with pytest.raises(ArgumentError, match="Two write to 'wandb'. Leave one out"):
        make(logger="wandb", callbacks="wandb")


def test_a_sweep_without_a_key_ends_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sweep.py", "--start"])
    with pytest.raises(SystemExit, match=r"which asks for a key\. .*wandb login.* Or search without one") as ended:
        runpy.run_path(str(ROOT / "examples" / "sweep.py"))
    assert "\n" not in str(ended.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves the agent's file open
def test_a_sweeps_values_win(tmp_path, monkeypatch, capsys):
    values = tmp_path / "config.yaml"
    values.write_text("wandb_version: 1\n\nlr:\n  value: 0.02\noptimizer:\n  value: sgd\nwidth:\n  value: 3\n")
    agent = {"SWEEP_ID": "sweep1", "RUN_ID": "run1", "SWEEP_PARAM_PATH": str(values)}  # what an agent sets
    wandb.teardown()  # the client reads it when it starts
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        for name, value in agent.items():
            patch.setenv(f"WANDB_{name}", value)
        runpy.run_path(str(ROOT / "examples" / "sweep.py"))
    wandb.teardown()
    said = capsys.readouterr().out
    assert "sweep: lr=0.02, optimizer='sgd'; left to the script: width" in said
    assert "optimizer: sgd, lr 0.02" in said
    [part] = parts(tmp_path / "runs" / "mlp-digits")
    assert (part.run.run_id, part.run.sweep_id) == ("run1", "sweep1")
    assert (part.config["lr"], part.config["optimizer"], part.config["width"], part.config["batch_size"]) == (0.02, "sgd", 3, 64)


def test_a_learner_without_tracker_keeps_its_values_in_an_agent(make, monkeypatch, tmp_path):
    values = tmp_path / "config.yaml"
    values.write_text("lr:\n  value: 0.02\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(values))
    assert make(lr=0.5).lr == 0.5
    assert make(lr=0.5, logger="wandb").lr == 0.02


SCRIPT = """
import os, sys, torch
torch.set_num_threads(1)
from fastgpu import Learner
from fastgpu.data import sources
train = sources.load("digits").splits["train"]
data = ((train.x[:200], train.y[:200]), (train.x[200:300], train.y[200:300]))
learn = Learner("mlp", data, out=sys.argv[1], name="run", logger="wandb", batch_size=10, devices=2, strategy="ddp")
learn.fit(2)
learn.fit(1)
"""


@pytest.mark.slow
def test_two_processes_have_one_run(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py", "runs"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=280, check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = parts(tmp_path / "runs" / "run")
    assert first.run.run_id == second.run.run_id
    assert [*first.column("epoch"), *second.column("epoch")] == [1, 2, 3]
    assert done.stdout.count("wandb sync") == 1


@pytest.mark.slow
def test_a_killed_fit_is_resumed_in_the_same_run(make, out, tmp_path):
    code = SCRIPT.replace(', devices=2, strategy="ddp"', "").replace("learn.fit(2)\nlearn.fit(1)", "learn.fit(400)")
    process = subprocess.Popen([sys.executable, "-u", "-c", code, str(out)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "4/400" in line:
            process.kill()
            break
    process.wait()
    process.stdout.close()
    learn = make(logger="wandb", batch_size=10)

    class Stop(pl.Callback):
        def on_history_row(self, trainer, module, row):
            trainer.should_stop = True

    learn.fit(1, resume=out / "run", callbacks=Stop())
    *_, second = parts(out / "run", killed=1)
    # The killed part is there by its name; of what was in it the client may have written nothing yet.
    assert len(list((out / "run" / "wandb").glob(f"offline-run-*-{second.run.run_id}*"))) == 2
    assert second.column("epoch") == list(range(int(second.column("epoch")[0]), len(learn.history) + 1))
    assert second.exit_code == 0


@pytest.mark.slow
def test_a_run_lies_in_its_folder_though_another_process_began_wandb_elsewhere(tmp_path):
    """Child processes share wandb's own process, which takes relative paths from where it was started."""
    code = """
import os, subprocess, sys, wandb
wandb.setup()
os.makedirs(sys.argv[1])
fit = "from fastgpu import Learner; Learner('mlp', 'digits', logger='wandb', name='first', report=False).fit(1)"
subprocess.run([sys.executable, "-c", fit], cwd=sys.argv[1], check=True)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "inner")], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "WANDB_MODE": "offline"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("*.wandb")
    assert file.is_relative_to(tmp_path / "inner" / "runs" / "first")
    assert "wandb sync --id" in done.stdout
    assert " runs/first/wandb/offline-run-" in done.stdout
