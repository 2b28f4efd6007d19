"""Compressing to a target: what is kept fits the budget, or nothing changes."""

from __future__ import annotations

import copy

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from fastgpu import compressing
from fastgpu.callbacks import Pruning
from fastgpu.compress.quantize import quantized_layers
from fastgpu.errors import ArgumentError, ExportError, NonFiniteLossError, UnknownNameError
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


@pytest.fixture
def learn(make):
    learner = make(small(), lr=3e-3)
    learner.fit(6)
    return learner


def test_the_smallest_within_the_budget_is_kept_and_trains_on(learn, tmp_path):
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
    again = type(learn).load(learn.save(tmp_path / "small"), architecture=small())
    x = learn.data.split("val").head(20)["x"]["image"].numpy()
    assert (again.predict(x).probabilities == learn.predict(x).probabilities).all()
    made = learn.export(tmp_path / "small.onnx")  # what was promised is what comes, whichever of the two is faster
    assert made.certificate["precision"] in ("int8", "int8 weights")
    assert made.path.stat().st_size / 1024 <= 0.25 * report.steps[0]["size_kb"]
    learn.fit(1)
    assert len(learn.history) == 11


def lost_in_whole_numbers(net):
    """Let one weight of each class be so large that the others round to 0; nothing ever reaches it, so floats answer as before."""
    norm, head = [m for m in net if isinstance(m, nn.BatchNorm2d)][-1], net[-1]
    with torch.no_grad():
        norm.bias[0] = -1e6
        head.weight[:, 0] = 1e6


def test_a_budget_that_cannot_be_met_leaves_the_network_as_it_was(learn):
    lost_in_whole_numbers(learn.module)
    saved = copy.deepcopy(learn.module.state_dict())
    learn.lr = 1e-9
    report = learn.compress({"size": 0.3}, max_drop=0.5, epochs=1)
    assert [step["step"] for step in report.steps] == ["as it came", "int8 weights"]  # the other file is refused
    assert "int8 weights: accuracy drops by" in report.notes[1]
    assert report.notes[-1].startswith("kept: the network as it came")
    assert learn.module.state_dict().keys() == saved.keys()
    assert all(torch.equal(saved[k], v) for k, v in learn.module.state_dict().items())
    assert len(learn.history) == 6


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


def test_a_latency_is_that_of_the_file_that_export_writes(make):
    learner = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), lr=1e-2)  # too small for whole numbers to be faster
    report = learner.compress({"latency": 0.1}, max_drop=100, epochs=1)
    assert [step["step"] for step in report.steps] == ["as it came", "int8 weights"]
    assert report.ratio("size_kb") < 1
    assert report.notes[0].startswith("int8 weights: so export writes it, since computing with whole numbers is slower here")


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


def test_an_interrupt_ends_it_with_what_there_is(make):
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
