"""Compressing to a target: what is kept fits the budget, or nothing changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fastgpu.compress.quantize import quantized_layers
from fastgpu.errors import ArgumentError, UnknownNameError

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
    made = learn.export(tmp_path / "small.onnx", int8=True)
    assert made.certificate["precision"] == "int8"
    learn.fit(1)
    assert len(learn.history) == 11


def test_a_budget_that_cannot_be_met_leaves_the_network_as_it_was(make):
    learner = make(small(), lr=3e-3)
    learner.fit(1)
    for layer in learner.module:  # what the teacher knows by chance alone cannot be learnt in one epoch at this rate
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    saved = copy.deepcopy(learner.module.state_dict())
    learner.lr = 1e-9
    report = learner.compress({"size": 0.01}, max_drop=0, epochs=1)
    if report.notes[-1].startswith("kept: the network as it came"):
        assert all(torch.equal(saved[k], v) for k, v in learner.module.state_dict().items())
    else:
        assert "not met" in report.notes[-1]


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
