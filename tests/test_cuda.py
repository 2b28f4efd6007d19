"""Networks on CUDA devices: the grids of rows are torchao's, files compiled on a GPU give what the learner gives, and pay or are refused."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from fastgpu import Learner
from fastgpu.callbacks import QuantizationAwareTraining
from fastgpu.compress.quantize import finalize, prepare, quantizable, quantized_layers
from fastgpu.compress.restore import load_weights
from fastgpu.compress.row_grid import whole_rows
from fastgpu.errors import ArgumentError, DeviceError, ModelError, UnknownNameError
from fastgpu.export.base import FORMATS
from fastgpu.export.cuda import lowered, with_enough_rows, write
from fastgpu.export.worker import Worker
from fastgpu.exportable import agreement_of, by_learner, make_source, samples_of

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
float8 = pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9), reason="no 8-bit floats")


class Tokens(nn.Module):
    """Each pixel of an 8x8 picture a token; blocks mix tokens, then channels."""

    def __init__(self, width=32, blocks=2):
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.place = nn.Parameter(torch.randn(64, width) / 8)
        self.mix = nn.ModuleList(nn.Linear(64, 64) for _ in range(blocks))
        self.inner = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)) for _ in range(blocks))
        self.squeeze = nn.Linear(width, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.embed(x.flatten(1)[..., None]) + self.place
        for mix, inner in zip(self.mix, self.inner):
            x = x + mix(x.transpose(1, 2)).transpose(1, 2)
            x = x + inner(x)
        return self.head(self.squeeze(x.mean(1)).relu())


ROUNDED = ["mix.0", "mix.1", "inner.0.1", "inner.0.3", "inner.1.1", "inner.1.3", "squeeze"]


@pytest.fixture
def learn(make):
    torch.manual_seed(0)
    learner = make(Tokens())
    learner.fit(4, lr=3e-3)
    return learner


# The simulation


def test_linear_layers_that_the_kernels_take():
    net = Tokens()
    assert quantizable(net, "cuda") == ROUNDED
    assert prepare(net, target="cuda") == ROUNDED
    assert all(layer.inputs == "dynamic" for layer in quantized_layers(net).values())


def test_a_row_has_a_grid_of_its_own():
    net = nn.Sequential(nn.Linear(16, 16, bias=False))
    nn.init.eye_(net[0].weight)
    prepare(net, target="cuda")
    x = torch.stack([torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16) / 1000])[None]
    small, large = net(x)[0, 1] * 1000, net(x)[0, 0]
    assert torch.allclose(small, large, atol=0.01)  # under one grid for both the small row would be zeros
    assert large.unique().numel() == 16


def test_the_gradient_passes():
    x = torch.randn(3, 16, requires_grad=True)
    whole_rows(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize(("inputs", "steps"), [("dynamic", 256), ("float", 256), ("fp8", 254)])
def test_weights_have_few_values(inputs, steps):
    net = nn.Sequential(nn.Linear(512, 16))
    prepare(net, target="cuda", inputs=inputs)
    assert all(len(row.unique()) <= steps for row in net[0].weight)
    assert not torch.equal(net[0].weight, net[0]._parameters["weight"])
    assert torch.allclose(net[0].weight, net[0]._parameters["weight"], rtol=0.07, atol=1e-3)


@pytest.mark.parametrize("inputs", ["dynamic", "float"])
def test_the_grid_of_whole_numbers_is_torchaos(inputs):
    quantization = pytest.importorskip("torchao.quantization")
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(64, 32)).eval(), torch.randn(5, 64)
    theirs = copy.deepcopy(net)
    prepare(net, target="cuda", inputs=inputs)
    kind = quantization.Int8WeightOnlyConfig()
    if inputs == "dynamic":
        kind = quantization.Int8DynamicActivationInt8WeightConfig(act_mapping_type=quantization.MappingType.SYMMETRIC)
    quantization.quantize_(theirs, kind)
    assert torch.allclose(net[0].weight, theirs[0].weight.dequantize(), atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(net(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize("inputs", ["dynamic", "float"])
def test_what_is_lowered_gives_what_was_simulated(learn, inputs):
    pytest.importorskip("torchao")
    batches = samples_of(learn)
    source = make_source(learn, batches, 0.0)
    prepare(learn.module, target="cuda", inputs=inputs)
    simulated = by_learner(learn, source.graph, batches)
    chosen = with_enough_rows(source, ROUNDED, inputs)
    assert {*chosen} == {*ROUNDED} - ({"squeeze"} if inputs == "dynamic" else set())  # it sees one row of an item
    low = lowered(dataclasses.replace(source, rounded=dict.fromkeys(chosen, inputs)), "cpu")
    net = low.graph.model.net
    assert {name for name in ROUNDED if type(net.get_submodule(name).weight).__name__ == "Int8Tensor"} == {*chosen}
    assert net.head.weight.dtype == torch.bfloat16
    with torch.no_grad():
        found = [dict(zip(low.graph.outputs, low.graph(*(each["x"][name] for name in low.graph.inputs)))) for each in batches]
    assert {value.dtype for each in found for value in each.values()} == {torch.float32, torch.int64}
    agreement = agreement_of(learn, [{name: value.numpy() for name, value in each.items()} for each in found], simulated)
    assert agreement.largest < 0.05
    assert next(source.graph.parameters()).dtype == torch.float32, "the source stays as it is"


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["dynamic", "float", None])
def test_a_file_is_compiled_in_a_process_without_torchao(learn, tmp_path, inputs):
    """As on a GPU, but on the processor: what a file holds, and how it is loaded, does not depend on the device."""
    pytest.importorskip("torchao")
    if inputs:
        prepare(learn.module, target="cuda", inputs=inputs)
    batches = samples_of(learn)[1:3]
    source = make_source(learn, batches, 0.0)
    rounded = dict.fromkeys(with_enough_rows(source, list(quantized_layers(learn.module)), str(inputs)), inputs)
    write(dataclasses.replace(source, rounded=rounded), tmp_path / "m.cuda.pt2", "cpu")
    given = [{name: each["x"][name].numpy() for name in source.graph.inputs} for each in batches]
    with Worker(FORMATS["cuda"].load, tmp_path / "m.cuda.pt2") as worker:
        found = worker.run(given, tmp_path)
        np.savez(tmp_path / "batch.npz", **given[-1])
        assert worker.time(tmp_path / "batch.npz", 0.05, FORMATS["cuda"].clock) > 0
    assert agreement_of(learn, found, by_learner(learn, source.graph, batches)).largest < 0.05


def test_layers_that_may_see_few_rows_stay_floats(make, out, monkeypatch):
    mlp = make("mlp/large")
    source = make_source(mlp, samples_of(mlp), 0.0)
    linear = quantizable(mlp.module, "cuda")
    assert linear
    assert with_enough_rows(source, linear, "dynamic") == []
    assert with_enough_rows(source, linear, "fp8") == linear
    pytest.importorskip("transformers")
    texts = make("bert/tiny", (["good and long enough", "bad"] * 20, ["yes", "no"] * 20))
    source = make_source(texts, samples_of(texts), 0.0)
    assert with_enough_rows(source, quantizable(texts.module, "cuda"), "dynamic") == [], "a text may be a word"
    monkeypatch.setattr("fastgpu.quantizing.refuse_missing", lambda **_: None)  # what is refused next needs no device
    with pytest.raises(ArgumentError, match="Whole numbers on a GPU need linear layers that see more than 16 rows of any one item"):
        mlp.quantize(device="cuda")


def test_it_travels_with_the_weights(learn, tmp_path):
    prepare(learn.module, target="cuda", inputs="fp8")
    learn.save(tmp_path / "m.safetensors")
    loaded = Learner.load(tmp_path / "m.safetensors", architecture=Tokens())
    assert {(layer.target, layer.inputs) for layer in quantized_layers(loaded.module).values()} == {("cuda", "fp8")}
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(loaded.module(x), learn.module.eval()(x))
    net = Tokens()
    load_weights(net, learn.module.state_dict())
    assert type(finalize(net).squeeze) is nn.Linear


def test_it_learns_to_compute_so(learn):
    before = learn.evaluate()["accuracy"]
    learn.fit(1, lr=3e-4, callbacks=[QuantizationAwareTraining(target="cuda")])
    assert {(layer.target, layer.inputs) for layer in quantized_layers(learn.module).values()} == {("cuda", "dynamic")}
    assert learn.evaluate()["accuracy"] > before - 0.1


# What is refused


def test_mistakes_of_prepare():
    with pytest.raises(ArgumentError, match=r"For cuda, layers have 8 bits and ranges of each batch\. 4 bits with inputs 'dynamic' came"):
        prepare(Tokens(), target="cuda", bits=4)
    with pytest.raises(ArgumentError, match=r"8-bit floats are numbers of CUDA devices\. target='cpu' came"):
        prepare(Tokens(), inputs="fp8")
    with pytest.raises(ModelError, match="Quantization needs linear layers with a multiple of 16 inputs and outputs"):
        prepare(nn.Sequential(nn.Conv2d(16, 16, 3)), target="cuda")


def test_modes_and_devices(learn):
    with pytest.raises(UnknownNameError, match=r"Unknown device of quantization 'cuda0'\. Did you mean 'cuda'"):
        learn.quantize(device="cuda0")
    with pytest.raises(UnknownNameError, match=r"Unknown mode of quantization for cpu 'fp8'"):
        learn.quantize("fp8", device="cpu")
    with pytest.raises(UnknownNameError, match=r"Unknown mode of quantization for cuda 'dynamic'"):
        learn.quantize("dynamic", device="cuda")


@without_gpu
def test_without_a_gpu(learn, tmp_path):
    pytest.importorskip("torchao")
    for call in (
        lambda: learn.quantize("fp8"),
        lambda: learn.quantize(device="cuda"),
        lambda: learn.export(tmp_path / "new" / "m.cuda.pt2"),
        lambda: learn.benchmark(["cuda"]),
    ):
        with pytest.raises(DeviceError, match="What runs on a GPU is made and measured on one. There is no CUDA device here"):
            call()
    assert not (tmp_path / "new").exists()


def test_a_network_for_cuda_is_exported_to_others_with_floats(learn, tmp_path):
    pytest.importorskip("onnxruntime")
    prepare(learn.module, target="cuda")
    with pytest.raises(ArgumentError, match=r"Formats that hold whole numbers of a network for cuda are cuda\. onnx came with int8=True"):
        learn.export(tmp_path / "m.onnx", int8=True)
    assert learn.export(tmp_path / "m.onnx").certificate["precision"] == "float32"


# On a GPU


@on_gpu
def test_a_file_in_bfloat16(learn, tmp_path):
    made = learn.export(tmp_path / "m.cuda.pt2")
    assert made.certificate["precision"] == "bfloat16"
    assert made.certificate["largest_difference"] < 0.05
    row = learn.benchmark(["cuda"])["cuda"]
    assert row["precision"] == "bfloat16"
    assert row["value"] == pytest.approx(learn.evaluate()["accuracy"], abs=0.02)


@on_gpu
@pytest.mark.parametrize("mode", ["int8", "weights", pytest.param("fp8", marks=float8)])
def test_what_quantize_keeps_or_refuses_on_a_gpu(learn, mode):
    before = learn.evaluate()["accuracy"]
    report = learn.quantize(mode, device="cuda", max_drop=5)
    assert [step["step"] for step in report.steps] == ["as it came", mode]
    assert all(step["latency_1_ms"] > 0 and step["latency_32_ms"] > 0 and step["size_kb"] > 0 for step in report.steps)
    assert ("kept: " + mode in report.notes) == bool(quantized_layers(learn.module)), report.notes
    assert learn.evaluate()["accuracy"] > before - 0.05


@on_gpu
@pytest.mark.parametrize(("inputs", "precision"), [("dynamic", "int8, dynamic"), ("float", "int8 weights"), pytest.param("fp8", "fp8", marks=float8)])
def test_the_file_computes_on_the_gpu_what_was_simulated(learn, tmp_path, inputs, precision):
    prepare(learn.module, target="cuda", inputs=inputs)
    made = learn.export(tmp_path / "m.cuda.pt2", int8=True)
    assert made.certificate["precision"] == precision
    assert made.certificate["largest_difference"] < 0.1
