"""Where a quantized network is to run: how it is made ready there, and measured."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastgpu.compress.measure import Latency, alternate
from fastgpu.compress.quantize import input_ranges, quantized_layers
from fastgpu.export.base import FORMATS, Source
from fastgpu.export.cuda import compiled, with_enough_rows
from fastgpu.export.graph import columns_of
from fastgpu.export.int8 import quantized
from fastgpu.export.int8_weights import with_whole_weights
from fastgpu.export.onnx import running, to_onnx
from fastgpu.export.pt2 import opened
from fastgpu.optional import require

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["CPU", "CUDA", "PLACES", "PRECISIONS", "Place", "int8_model", "latencies", "place_of", "stored_model"]

PRECISIONS = {"range": "int8", "dynamic": "int8, dynamic", "float": "int8 weights", "fp8": "fp8"}
"""How layers take their inputs -> what a file's manifest says of its numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A place where networks run.

    Args:
        modes: name of a way to quantize -> how layers take their inputs.
        target: of `fastgpu.compress.quantize.TARGETS`, that of networks which are quantized for it.
        ready: source -> what runs there.
        layers: source, names of layers, how they take their inputs -> those that can be rounded there.
        rounded: learner of a quantized network, the `x` of some batches, the source with weights as they were trained, and what `ready` made of it
            -> the source that computes with whole numbers.
        size_kb: of what `ready` made.
        latencies: what `ready` made of several sources, columns of a batch, number of items -> times, in turns.
        clocked: where they are taken, in words.
    """

    modes: Mapping[str, str]
    target: str
    ready: Callable[[Source], Any]
    layers: Callable[[Source, Sequence[str], str], list[str]]
    rounded: Callable[[Learner, Sequence[Mapping[str, Any]], Source, Any], Source]
    size_kb: Callable[[Any], float]
    latencies: Callable[[Sequence[Any], Mapping[str, Tensor], int], list[Latency]]
    clocked: str


def place_of(learner: Learner) -> Place:
    """The place that the learner's quantized network is for."""
    return CUDA if next(iter(quantized_layers(learner.module).values())).target == "cuda" else CPU


# Processors: a graph in onnxruntime


def int8_model(learner: Learner, batches: Sequence[Mapping[str, Any]], floats: Any) -> Any:
    """The learner's quantized network as an ONNX graph of whole numbers.

    Args:
        learner: the learner.
        batches: the `x` of some batches, from which ranges between the layers are read.
        floats: its graph of floats, weights as they were trained, an `onnx.ModelProto`.
    """
    layers = quantized_layers(learner.module)
    layer: Any = next(iter(layers.values()))
    settings = {"bits": layer.bits, "target": layer.target}
    if layer.inputs != "range":
        return with_whole_weights(floats, list(layers), dynamic=layer.inputs == "dynamic", **settings)
    taken = {each.name for each in floats.graph.input}
    feeds = [{name: value.numpy() for name, value in columns_of(x).items() if name in taken} for x in batches]
    return quantized(floats, feeds, ranges=input_ranges(learner.module), **settings)


def stored_model(learner: Learner, floats: Any) -> Any:
    """The learner's quantized network as an ONNX graph that computes with floats, made of whole weights when it is loaded; `floats` as in
    `int8_model`."""
    layers = quantized_layers(learner.module)
    layer: Any = next(iter(layers.values()))
    return with_whole_weights(floats, list(layers), bits=layer.bits, target=layer.target)


def latencies(models: Sequence[Any], example: Mapping[str, Tensor], items: int = 1) -> list[Latency]:
    """CPU time of one thread for a batch of `items` in onnxruntime, of all graphs in turns."""
    runtime = require("onnxruntime", need="Measuring an ONNX graph")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, too
    with running():
        sessions = [runtime.InferenceSession(each.SerializeToString(), options, providers=["CPUExecutionProvider"]) for each in models]
        given = {each.name: example[each.name][:1].repeat_interleave(items, 0).numpy() for each in sessions[0].get_inputs()}
        return alternate([partial(session.run, None, given) for session in sessions])


def _graph(source: Source) -> Any:
    return to_onnx(source.graph, source.example, source.lengths) if source.model is None else source.model


def _whole(learner: Learner, batches: Sequence[Mapping[str, Any]], source: Source, floats: Any) -> Source:
    with running():
        return dataclasses.replace(source, model=int8_model(learner, batches, floats))


CPU = Place(
    modes={"int8": "range", "dynamic": "dynamic", "weights": "float"},
    target="cpu",
    ready=_graph,
    layers=lambda source, names, inputs: list(names),
    rounded=_whole,
    size_kb=lambda model: model.ByteSize() / 1024,
    latencies=latencies,
    clocked="in onnxruntime",
)


# CUDA devices: a graph of torch.export, compiled when it is first called


@dataclasses.dataclass(frozen=True)
class _Compiled:
    call: Callable[..., Any]
    size_kb: float


def _compiled(source: Source) -> _Compiled:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.cuda.pt2"
        FORMATS["cuda"].write(source, file)
        return _Compiled(compiled(opened(file)[0]), file.stat().st_size / 1024)


def _named(learner: Learner, batches: Sequence[Mapping[str, Any]], source: Source, floats: Any) -> Source:
    layers = quantized_layers(learner.module)
    inputs = str(next(iter(layers.values())).inputs)
    return dataclasses.replace(source, rounded=dict.fromkeys(with_enough_rows(source, list(layers), inputs), inputs))


def _on_device(models: Sequence[_Compiled], example: Mapping[str, Tensor], items: int = 1) -> list[Latency]:
    """Wall clock of a batch of `items` that lies on the device."""
    given = [value[:1].repeat_interleave(items, 0).cuda() for value in example.values()]

    def call(model: _Compiled) -> None:
        with torch.no_grad():
            model.call(*given)
        torch.cuda.synchronize()

    found = alternate([partial(call, model) for model in models], clock=time.perf_counter_ns)
    return [each._replace(threads=0) for each in found]


CUDA = Place(
    modes={"int8": "dynamic", "weights": "float", "fp8": "fp8"},
    target="cuda",
    ready=_compiled,
    layers=with_enough_rows,
    rounded=_named,
    size_kb=lambda model: model.size_kb,
    latencies=_on_device,
    clocked="on the GPU",
)

PLACES = {"cpu": CPU, "cuda": CUDA}
"""Name of a device -> the place."""
