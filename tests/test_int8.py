"""Graphs of whole numbers: what quantize keeps, and that the file computes what was simulated."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from compressible import FAMILIES, network
from torch import nn

from fastgpu import Learner, Predictor
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.budget import drop
from fastgpu.compress.quantize import calibrate, input_ranges, prepare, quantizable, quantized_layers
from fastgpu.errors import ArgumentError, DataError, ExportError, UnknownNameError
from fastgpu.exportable import make_source, samples_of
from fastgpu.quantizing import batches_of, int8_model

onnxruntime = pytest.importorskip("onnxruntime")
from fastgpu.export.int8 import _layer_of, layers_of, quantized  # noqa: E402
from fastgpu.export.int8_weights import with_whole_weights  # noqa: E402
from fastgpu.export.onnx import to_onnx  # noqa: E402


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def wide() -> nn.Module:
    """A network that whole numbers make faster, by far."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def run(model, feed):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def linear(net):
    return [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]


@pytest.fixture
def learn(make):
    learner = make(small())
    learner.fit(6, lr=5e-3)
    return learner


def test_a_layer_is_told_from_another_that_ends_in_its_name():
    class Node:
        input = ("x", "model.net.layer1.0.conv1.weight")
        metadata_props = ()

    assert _layer_of(Node, ["conv1", "layer1.0.conv1"]) == "layer1.0.conv1"
    assert _layer_of(Node, ["conv1"]) is None  # the stem alone is quantized


class TestQuantize:
    def test_the_file_computes_what_is_simulated(self, learn):
        before = learn.evaluate()["accuracy"]
        prepare(learn.module)
        batches = list(batches_of(learn, learn.data.split("train")))
        module = learn.task_module().eval()
        calibrate(learn.module, lambda: [module.model(module.preparation(x)) for x in batches])
        assert drop(before, learn.evaluate()["accuracy"], True) <= 2
        images = learn.data.split("val").head(100)["x"]["image"].numpy()
        simulated = learn.predict("val")
        source = make_source(learn, samples_of(learn), 0.0, snap=False)
        model = int8_model(learn, batches, to_onnx(source.graph, source.example, source.lengths))
        labels, probabilities = run(model, {"image": images})
        assert (labels == np.asarray(simulated.labels)).mean() >= 0.98
        assert np.abs(probabilities - simulated.probabilities).max() < 0.1
        kinds = {tensor.data_type for tensor in model.graph.initializer}
        assert 3 in kinds  # int8

    def test_what_is_kept_is_faster_and_within_the_budget_or_nothing_is(self, learn, capsys):
        saved = copy.deepcopy(learn.module.state_dict())
        report = learn.quantize(max_drop=1.0)
        assert [step["step"] for step in report.steps][:2] == ["as it came", "int8: all"]
        kept = report.notes[-1].removeprefix("kept: ")
        chosen = [step for step in report.steps if step["step"] == kept]
        if chosen:
            assert chosen[0]["latency_1_ms"] < report.steps[0]["latency_1_ms"]
            assert drop(report.steps[0]["accuracy"], chosen[0]["accuracy"], True) <= 1.0
            assert learn.evaluate()["accuracy"] == pytest.approx(chosen[0]["accuracy"])
            with pytest.raises(ArgumentError, match="This one is quantized"):
                learn.quantize()
        else:
            assert kept == "the network as it came; nothing else is within the budget and worth it"
            assert all(torch.equal(saved[k], v) for k, v in learn.module.state_dict().items())

    def test_the_exported_file_is_proved(self, learn, tmp_path):
        prepare(learn.module)
        batches = list(batches_of(learn, learn.data.split("train")))
        module = learn.task_module().eval()
        calibrate(learn.module, lambda: [module.model(module.preparation(x)) for x in batches])
        made = learn.export(tmp_path / "model.onnx", int8=True)
        assert made.certificate["precision"] == "int8"
        assert made.certificate["disagree"]["labels"] <= 0.02
        plain = learn.export(tmp_path / "plain.onnx", int8=False)
        assert plain.certificate["precision"] == "float32"
        assert made.path.stat().st_size < plain.path.stat().st_size
        with pytest.raises(ArgumentError, match=r"Formats that hold whole numbers of a network for cpu are onnx, openvino\. pt2 came with int8=True"):
            learn.export(tmp_path / "model.pt2", int8=True)

    def test_a_file_that_computes_with_whole_numbers_and_is_refused_gives_way_to_one_that_stores_them(self, make, tmp_path, capsys, monkeypatch):
        learner = make(wide(), lr=1e-3, verbose=True)
        learner.fit(1)
        batches = list(batches_of(learner, learner.data.split("train")))
        prepare(learner.module)
        module = learner.task_module().eval()
        calibrate(learner.module, lambda: [module.model(module.preparation(x)) for x in batches])
        with pytest.raises(ExportError, match=r"forced\.onnx differs by .* in probabilities") as whole:
            learner.export(tmp_path / "forced.onnx", int8=True, tolerance=0)
        too_little = 0.85 * float(str(whole.value).split("differs by ")[1].split()[0])
        capsys.readouterr()
        monkeypatch.setattr("fastgpu.quantizing._pays", lambda *_: True)  # as it is on every processor with VNNI
        made = learner.export(tmp_path / "model.onnx", tolerance=too_little)
        assert made.certificate["precision"] == "int8 weights"
        assert made.certificate["mean_distance"] < too_little
        begun, refused, written = capsys.readouterr().out.splitlines()
        assert begun == f"export: writing {made.path}, which is then run and compared"
        assert refused.startswith("export: the file holds int8 weights, since int8 was refused: An exported file must give what")
        assert written.startswith(f"export: {made.path}: onnx, int8 weights")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json", "runs"]
        floats = learner.export(tmp_path / "floats.onnx", int8=False)
        assert made.path.stat().st_size < 0.3 * floats.path.stat().st_size

    @pytest.mark.parametrize(("mode", "architecture"), [("weights", None), ("weights", "mlp"), ("dynamic", "mlp/large")])
    def test_modes_without_ranges(self, make, mode, architecture, tmp_path):
        learner = make(architecture or small(), lr=1e-3)
        learner.fit(2)
        report = learner.quantize(mode, max_drop=100)
        assert [step["step"] for step in report.steps] == ["as it came", mode]
        assert report.ratio("size_kb") < 0.6
        if not report.notes[-1].startswith(f"kept: {mode}"):  # a busy machine may have timed it as slower
            prepare(learner.module, inputs={"weights": "float", "dynamic": "dynamic"}[mode], only=linear(learner.module))
        made = learner.export(tmp_path / "model.onnx", int8=True)
        assert made.certificate["precision"] == {"weights": "int8 weights", "dynamic": "int8, dynamic"}[mode]
        assert made.certificate["largest_difference"] <= {"weights": 1e-5, "dynamic": 0.02}[mode]
        assert made.certificate["disagree"]["labels"] <= {"weights": 0.0, "dynamic": 0.02}[mode]
        own = {} if architecture else {"architecture": small()}
        again = Learner.load(learner.save(tmp_path / "learner"), **own)
        assert {layer.inputs for layer in quantized_layers(again.module).values()} == {"float" if mode == "weights" else "dynamic"}
        images = learner.data.split("val").head(64)["x"]["image"].numpy()
        assert np.allclose(again.predict(images).probabilities, learner.predict(images).probabilities, atol=1e-6)

    def test_what_a_mode_cannot_do(self, make, learn_once):
        with pytest.raises(ArgumentError, match="mode='dynamic' takes networks with linear layers. This one has none"):
            make(nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())).quantize("dynamic")
        with pytest.raises(ArgumentError, match="candidates are placements of mode='int8'"):
            learn_once.quantize("weights", candidates="all")

    def test_calibration_refuses_items_that_say_nothing(self, learn_once):
        alike = (np.full((40, 8, 8), 7, np.uint8), np.arange(40) % 10)
        with pytest.raises(DataError, match="Calibration needs items that differ. All 40 are the same"):
            learn_once.quantize(data=alike)
        with pytest.raises(DataError, match="without targets. Give"):
            learn_once.quantize(data=alike[0])
        with pytest.raises(ArgumentError, match=r"candidates are 'auto', or some of all, inner, pointwise\. \[\] came"):
            learn_once.quantize(candidates=[])

    def test_tied_layers_have_ranges_of_their_own(self, make, tmp_path):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        net[3].weight = net[1].weight
        learner = make(net, lr=1e-2)
        learner.fit(2)
        learner.fit(1, callbacks=[QuantizationAwareTraining()])
        low, high = (quantized_layers(learner.module)[name].input_range.high.item() for name in ("1", "3"))
        assert not 0.8 < low / high < 1.25
        assert learner.export(tmp_path / "tied.onnx", int8=True).certificate["mean_distance"] < 0.03

    def test_a_layer_that_is_never_called_stays_as_it_is(self, make):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.used, self.unused = small(), nn.Linear(4, 4)

            def forward(self, x):
                return self.used(x)

        report = make(Network(), lr=1e-2).quantize(max_drop=100)
        assert "in floats: unused (Linear)" in report.notes[0]

    def test_a_network_in_double_precision(self, make, tmp_path):
        learner = make(small(), lr=1e-2, precision="64-true")
        learner.fit(1)
        assert learner.export(tmp_path / "floats.onnx").certificate["largest_difference"] < 1e-4
        learner.quantize(max_drop=100)
        assert Predictor.load(tmp_path / "floats.onnx").predict(np.zeros((2, 8, 8), np.uint8)).labels

    def test_int8_of_a_network_of_floats(self, learn_once, tmp_path):
        with pytest.raises(ArgumentError, match=r"int8=True exports a quantized network\. This one computes with floats"):
            learn_once.export(tmp_path / "model.onnx", int8=True)
        assert not list(tmp_path.glob("*.onnx*"))

    @pytest.mark.parametrize("value", [-1, "0.5", None, True])
    def test_max_drop(self, learn_once, value):
        with pytest.raises(ArgumentError, match=r"max_drop is a number of points, at least 0\. .* came"):
            learn_once.quantize(max_drop=value)

    def test_a_network_that_onnxruntime_cannot_run_alone(self, make):
        class Neighbours(nn.Sequential):
            def forward(self, x):
                return super().forward(x) + x.flatten(1)[1].mean()

        learner = make(Neighbours(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
        with pytest.raises(ExportError, match=r"^onnxruntime must be able to run the network\. .* Gather node.* change that operation\.$"):
            learner.quantize()
        assert not quantized_layers(learner.module)

    def test_names(self, learn_once):
        with pytest.raises(UnknownNameError, match="Unknown placement 'pontwise'. Did you mean 'pointwise'"):
            learn_once.quantize(candidates="pontwise")
        with pytest.raises(UnknownNameError, match="Unknown mode of quantization for cpu 'int4'. Did you mean 'int8'"):
            learn_once.quantize("int4")
        assert not quantized_layers(learn_once.module)

    def test_data_that_are_all_nothing(self):
        net = nn.Linear(3, 2)
        prepare(net)
        with pytest.raises(DataError, match="Calibration needs items that differ"):
            calibrate(net, lambda: net(torch.zeros(4, 3)))


@pytest.fixture
def learn_once(make):
    return make("mlp")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter about itself
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_becomes_a_graph_of_whole_numbers(name):
    net, x = network(name)
    plain = copy.deepcopy(net).requires_grad_(False)
    prepare(net)
    calibrate(net, lambda: net(*x))
    names = [f"x{i}" for i in range(len(x))]
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in x)
    program = torch.onnx.export(plain, x, dynamo=True, dynamic_shapes=dynamic, input_names=names, output_names=["y"], verbose=False)
    model, ranges = program.model_proto, input_ranges(net)
    assert {layer.name for layer in layers_of(model, list(ranges))} == set(ranges)
    known = {each.name for each in model.graph.input}
    feed = {name: value.numpy() for name, value in zip(names, x) if name in known}
    floats, whole = run(model, feed)[0], run(quantized(model, [feed], ranges=ranges), feed)[0]
    simulated = net(*x).detach().numpy()
    assert np.linalg.norm(floats - plain(*x).detach().numpy()) <= 1e-3 * np.linalg.norm(floats)
    spread = np.linalg.norm(floats - floats.mean(0))
    assert np.linalg.norm(whole - simulated) <= 0.5 * spread
    assert np.linalg.norm(whole - floats) <= 0.5 * spread
    for inputs in ("float", "dynamic"):
        net = copy.deepcopy(plain)
        layers = linear(net) if inputs == "dynamic" else quantizable(net)
        if layers := [each for each in layers if each in quantizable(net)]:
            prepare(net, inputs=inputs, only=layers)
            found = run(with_whole_weights(model, layers, dynamic=inputs == "dynamic"), feed)[0]
            assert np.linalg.norm(found - net(*x).detach().numpy()) <= {"float": 1e-3, "dynamic": 0.1}[inputs] * spread
