"""Compressing to a target: what is kept fits the budget, or nothing changes."""

from __future__ import annotations

import copy
import tempfile

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from fastgpu import compressing, trials
from fastgpu.callbacks import Pruning, QuantizationAwareTraining
from fastgpu.compress.quantize import quantized_layers
from fastgpu.errors import ArgumentError, ExportError, NonFiniteLossError, RunFolderError, UnknownNameError
from fastgpu.judging import evaluate

pytest.importorskip("onnxruntime")
pytest.importorskip("torch_pruning")


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def left_behind(tmp_path, monkeypatch):
    """The folder for what is temporary, which nothing may be left in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.glob("fastgpu-*"))


@pytest.fixture
def learn(make):
    learner = make(small(), lr=3e-3)
    learner.fit(6)
    return learner


def test_the_smallest_within_the_budget_is_kept_and_trains_on(learn, out, tmp_path):
    folder = learn.run_dir
    before = sum(p.numel() for p in learn.module.parameters())
    report = learn.compress({"size": 0.25}, max_drop=30, epochs=2)
    kept = report.notes[-1]
    assert kept.startswith("kept: pruned")
    assert "target 0.25 met" in kept
    assert report.steps[-1]["size_kb"] <= 0.25 * report.steps[0]["size_kb"]
    assert sum(p.numel() for p in learn.module.parameters()) < before
    assert quantized_layers(learn.module)
    assert len(learn.history) == 10
    assert learn.evaluate()["accuracy"] == pytest.approx(report.steps[-1]["accuracy"])
    x = learn.data.split("val").head(20)["x"]["image"].numpy()
    assert learn.run_dir == folder
    assert list(out.iterdir()) == [folder]
    assert len((folder / "history.csv").read_text().splitlines()) == 11
    for kept in (learn.save(tmp_path / "small"), folder):
        again = type(learn).load(kept, architecture=small())
        assert (again.predict(x).probabilities == learn.predict(x).probabilities).all()
        assert again.history.rows == learn.history.rows
    made = learn.export(tmp_path / "small.onnx")  # what was promised is what comes, whichever of the two is faster
    assert made.certificate["precision"] in ("int8", "int8 weights")
    assert made.path.stat().st_size / 1024 <= 0.3 * report.steps[0]["size_kb"]
    learn.fit(1)
    assert len(learn.history) == 11
    assert learn.run_dir == folder


def lost_in_whole_numbers(net):
    """Let one weight of each class be so large that the others round to 0; nothing ever reaches it, so floats answer as before."""
    norm, head = [m for m in net if isinstance(m, nn.BatchNorm2d)][-1], net[-1]
    with torch.no_grad():
        norm.bias[0] = -1e6
        head.weight[:, 0] = 1e6


def test_a_budget_that_cannot_be_met_leaves_the_network_as_it_was(learn, out):
    files = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    lost_in_whole_numbers(learn.module)
    saved = copy.deepcopy(learn.module.state_dict())
    learn.lr = 1e-9
    report = learn.compress({"size": 0.3}, max_drop=0.5, epochs=1)
    assert [step["step"] for step in report.steps] == ["as it came", "int8 weights"]  # the other file is refused
    assert any(note.startswith("int8 weights: accuracy drops by") for note in report.notes)
    assert report.notes[-1].startswith("kept: the network as it came")
    assert learn.module.state_dict().keys() == saved.keys()
    assert all(torch.equal(saved[k], v) for k, v in learn.module.state_dict().items())
    assert len(learn.history) == 6
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == files


def test_quantize_leaves_a_network_that_would_lose_too_much(learn):
    lost_in_whole_numbers(learn.module)
    saved = copy.deepcopy(learn.module.state_dict())
    report = learn.quantize(max_drop=0.5, candidates="all")
    assert "refused, accuracy drops by" in report.notes[1]
    assert all(torch.equal(saved[k], v) for k, v in learn.module.state_dict().items())


def test_work_that_is_done_is_kept_where_nothing_can_be_cut(make):
    learner = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), lr=1e-2)
    learner.fit(1)
    report = learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    assert any("no more is pruned: Pruning channels needs some that can be cut" in note for note in report.notes)
    assert report.steps[1]["step"] in ("int8", "int8 weights")
    assert len(learner.history) == 2
    assert quantized_layers(learner.module)


def test_a_latency_is_that_of_the_file_that_export_writes(make, out, monkeypatch):
    monkeypatch.setattr("fastgpu.quantizing._pays", lambda *_: False)  # as it is, by a tenth, in so small a network
    learner = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), lr=1e-2)
    report = learner.compress({"latency": 0.1}, max_drop=100, epochs=1)
    assert [step["step"] for step in report.steps] == ["as it came", "int8 weights"]
    assert report.ratio("size_kb") < 1
    assert report.notes[0].startswith("int8 weights: so export writes it, since computing with whole numbers is slower here")
    assert report.notes[-1].startswith("kept: the network as it came")  # however the times of the same sums differ
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("share", "gains"), [(0.98, False), (0.97, True)])
def test_a_latency_that_noise_may_explain_is_no_gain(make, monkeypatch, share, gains):
    learner, real = make("mlp", lr=1e-2), compressing._measured
    monkeypatch.setattr(compressing, "_measured", lambda *given: (real(*given)[0], {"latency": share}))
    monkeypatch.setattr(compressing, "AMOUNTS", (0.5,))
    report = learner.compress({"latency": 0.5}, max_drop=100, epochs=1)
    assert report.notes[-1].startswith("kept: pruned 50%" if gains else "kept: the network as it came")


@pytest.mark.slow
def test_a_learner_without_a_run_folder_gets_one(make, out):
    learner = make("mlp", lr=1e-2)
    learner.compress({"size": 0.5}, max_drop=100, epochs=1)
    assert list(out.iterdir()) == [learner.run_dir]
    assert {"args.yaml", "env.json", "history.csv", "checkpoints"} <= {file.name for file in learner.run_dir.iterdir()}
    again = type(learner).load(learner.run_dir)
    assert quantized_layers(again.module)
    assert again.settings == learner.settings


@pytest.mark.slow
def test_a_network_whose_file_is_refused_is_left_out(make, monkeypatch):
    learner = make("mlp", lr=1e-2)
    learner.fit(1)
    real = compressing._exported

    def refusing(trial):
        if quantized_layers(trial.module):
            raise ExportError("An exported file must give what the learner gives.")
        return real(trial)

    monkeypatch.setattr(compressing, "_exported", refusing)
    report = learner.compress({"size": 0.5}, max_drop=100, epochs=1)
    assert report.notes[0] == "int8: refused: An exported file must give what the learner gives."
    assert [step["step"] for step in report.steps] == ["as it came"]
    assert report.notes[-1].startswith("kept: the network as it came")
    assert not quantized_layers(learner.module)


def test_an_interrupt_ends_it_with_what_there_is(make, out):
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if any(isinstance(each, Pruning) for each in trainer.callbacks):
                raise KeyboardInterrupt

    learner = make("mlp", lr=1e-2, callbacks=Interrupt())
    learner.fit(1)
    report = learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    assert len(report.steps) == 2
    assert report.steps[1]["step"] in ("int8", "int8 weights")
    assert "interrupted: what was being tried is left out" in report.notes
    assert quantized_layers(learner.module)
    assert list(out.iterdir()) == [learner.run_dir]
    assert quantized_layers(type(learner).load(learner.run_dir).module)


class Breaks(pl.Callback):
    """Raises at the first batch of a fit with a callback of some kind."""

    def __init__(self, kind):
        self.kind = kind

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if any(isinstance(each, self.kind) for each in trainer.callbacks):
            raise ValueError("the disk\nis gone")


def test_the_report_so_far_is_kept_where_an_error_ends_it(make, out):
    learner = make("mlp", lr=1e-2, report=True, callbacks=Breaks(QuantizationAwareTraining))
    learner.fit(1)
    with pytest.raises(ValueError, match="the disk"):
        learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    [report] = learner.compression_reports
    assert [step["step"] for step in report.steps] == ["as it came"]
    assert report.notes[0] == "ended by ValueError: the disk is gone: what was being tried is left out"
    assert report.notes[1].startswith("kept: the network as it came")
    assert report.notes[0] in (learner.run_dir / "report.html").read_text()
    assert list(out.iterdir()) == [learner.run_dir]


@pytest.mark.slow
def test_the_best_so_far_is_kept_where_an_error_ends_it(make, out):
    learner = make("mlp", lr=1e-2, callbacks=Breaks(Pruning))
    learner.fit(1)
    with pytest.raises(ValueError, match="the disk"):
        learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    [report] = learner.compression_reports
    assert len(report.steps) == 2
    assert list(out.iterdir()) == [learner.run_dir]
    assert quantized_layers(type(learner).load(learner.run_dir).module)
    assert learner.unrepeatable == "compress failed after epoch 2"


def test_callbacks_of_its_own_kind(make):
    with pytest.raises(ArgumentError, match="compress brings its own Pruning. The learner has one among its callbacks"):
        make("mlp", callbacks="pruning").compress({"size": 0.5})


@pytest.mark.slow
def test_a_target_that_is_not_met_is_told_with_what_was_reached(make):
    learner = make("mlp", lr=1e-3)
    learner.fit(2)
    report = learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    best = min(step["size_kb"] for step in report.steps) / report.steps[0]["size_kb"]
    assert f"target 0.01 not met; {best:.2f} is the best within the budget" in report.notes[-1]


@pytest.mark.parametrize("target", [{}, {"size": 0.1, "latency": 0.5}, 0.1, None])
def test_target(make, target):
    with pytest.raises(ArgumentError, match=r"target is one of \{'size': share\} and \{'latency': share\}\. .* came"):
        make("mlp").compress(target)


def test_values(make):
    learner = make("mlp")
    with pytest.raises(UnknownNameError, match="Unknown target of compression 'sise'. Did you mean 'size'"):
        learner.compress({"sise": 0.1})
    with pytest.raises(ArgumentError, match=r"A target is a share of what there was, above 0 and below 1\. 1 came"):
        learner.compress({"size": 1})
    with pytest.raises(ArgumentError, match=r"max_drop is a number of points, at least 0\. -1 came"):
        learner.compress({"size": 0.5}, max_drop=-1)
    with pytest.raises(ArgumentError, match="epochs is a whole number"):
        learner.compress({"size": 0.5}, epochs=0)


def test_the_best_is_kept_when_a_later_trial_fails(make):
    class Fails(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if any(isinstance(each, Pruning) for each in trainer.callbacks):
                raise NonFiniteLossError("The loss must be a number.")

    learner = make("mlp", lr=1e-2, callbacks=Fails())
    learner.fit(1)
    report = learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    assert "no more is pruned: The loss must be a number." in report.notes
    assert quantized_layers(learner.module)


def test_an_interrupt_while_it_is_measured_keeps_the_best(make, monkeypatch):
    learner, calls = make("mlp", lr=1e-2), []
    learner.fit(1)

    def interrupted(trial):
        calls.append(trial)
        if len(calls) > 2:  # the network as it came, the first trial, and then
            raise KeyboardInterrupt
        return evaluate(trial)

    monkeypatch.setattr("fastgpu.compressing.evaluate", interrupted)
    report = learner.compress({"size": 0.01}, max_drop=100, epochs=1)
    assert "interrupted: what was being tried is left out" in report.notes
    assert quantized_layers(learner.module)


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_loses_nothing(make, monkeypatch):
    learner = make("mlp", lr=1e-2)
    learner.fit(1)
    before = {name: (learner.run_dir / "checkpoints" / name).read_bytes() for name in ("best", "last")}
    real, written = trials.write, []

    def full(path, *given):
        written.append(path)
        if len(written) == 2:
            raise RunFolderError("No space left on device")
        return real(path, *given)

    monkeypatch.setattr(trials, "write", full)
    with pytest.raises(RunFolderError, match="No space left"):
        learner.compress({"size": 0.5}, max_drop=100, epochs=1)
    assert len(written) == 2
    assert {file.name: file.read_bytes() for file in (learner.run_dir / "checkpoints").iterdir()} == before
    assert quantized_layers(learner.module)  # what was trained is there
    monkeypatch.undo()
    assert learner.fit(1).rows[-1]["epoch"] == len(learner.history)
