"""Whole numbers in an ONNX graph: ranges and weights' grids that training learnt, placed by onnxruntime's quantizer."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fastgpu.compress.weight_grid import weight_scales
from fastgpu.errors import ModelError
from fastgpu.export.onnx import SCOPES, graphs_of, strip
from fastgpu.export.slim import slim
from fastgpu.optional import require

__all__ = ["Layer", "grid_of", "layers_of", "quantized"]

CONVOLUTIONAL = ("Conv", "Gemm", "MatMul", "Clip", "Relu", "Add", "MaxPool", "ReduceMean", "GlobalAveragePool")
"""Operations on whole numbers between convolutions: without them each convolution's output would go to floats and back."""

ATTENDING = ("Conv", "Gemm", "MatMul")
"""In Transformers layers alone: normalisation and attention lose too much."""

WITHIN = "model.net."
"""Where the network is in an exported `Graph`."""


class Layer(NamedTuple):
    """A node of the graph that multiplies by weights."""

    node: Any
    name: str
    """The network's layer, by its dotted name."""
    weight: np.ndarray
    axis: int
    """Axis of the output channels in the weight."""


def layers_of(model: Any, names: Sequence[str], *, inside: bool = False) -> list[Layer]:
    """The nodes that compute the named layers of the network.

    Args:
        model: an `onnx.ModelProto` by torch's exporter, which keeps the names of the modules around a node, or else of the weights.
        names: dotted names of convolutions and linear layers.
        inside: whether those in the bodies of loops are among them.
    """
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    known, found = set(names), []
    for node in (node for graph in (graphs_of(model.graph) if inside else (model.graph,)) for node in graph.node):
        if node.op_type not in ATTENDING or len(node.input) < 2 or node.input[1] not in weights:
            continue
        name = _layer_of(node, known)
        if name is not None:
            transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
            axis = 0 if node.op_type == "Conv" or transposed else 1
            found.append(Layer(node, name, numpy_helper.to_array(weights[node.input[1]]), axis))
    return found


def _layer_of(node: Any, names: Collection[str]) -> str | None:
    """The layer whose weight a node reads, by the modules around the node, innermost first, or else by the weight's whole name, which tied
    layers share."""
    places = [*reversed(_around(node)), node.input[1].removesuffix(".weight")]
    return next((name for name in (place.removeprefix(WITHIN) for place in places) if name in names), None)


def _outside(model: Any, chosen: Collection[str]) -> list[str]:
    """Nodes before and after the network; none where the graph is the network alone."""
    around = {node.name: _around(node) for node in model.graph.node if node.name not in chosen}
    if not any(WITHIN.rstrip(".") in places for places in around.values()):
        return []
    return [name for name, places in around.items() if places and WITHIN.rstrip(".") not in places]


def _around(node: Any) -> list[str]:
    """Dotted names of the modules around a node, outermost first; none where torch's exporter left no note."""
    scopes = next((p.value for p in node.metadata_props if p.key == SCOPES), "")
    return [scope.strip(" '\"") for scope in scopes.strip("[]").split(",")] if scopes else []


def quantized(
    model: Any,
    batches: Sequence[Mapping[str, np.ndarray]],
    *,
    ranges: Mapping[str, tuple[float, float]],
    bits: int = 8,
    target: str = "cpu",
) -> Any:
    """A graph of floats -> the same graph that computes the named layers, and what lies between them, with whole numbers.

    Of layers in the bodies of loops, which the quantizer does not look into, the weights alone are whole numbers.

    Args:
        model: the graph in single precision, an `onnx.ModelProto`.
        batches: inputs by name, from which the ranges between the layers are read.
        ranges: layer -> least and largest input, as training or calibration saw them.
        bits: bits of a weight.
        target: `"cpu"` or `"tensorrt"`, see `fastgpu.compress.quantize.TARGETS`.

    Raises:
        ModelError: none of the layers is found in the graph.
    """
    quantization = require("onnxruntime.quantization", need="Quantizing an ONNX graph")
    from fastgpu.export.int8_weights import with_whole_weights  # it builds on this file

    model = with_whole_weights(model, list(ranges), bits=bits, target=target, outside=False)
    layers = layers_of(model, list(ranges))
    if not layers:
        raise ModelError("An int8 file needs convolutions or linear layers in its graph. None of the quantized ones is there. Use int8=False.")
    weights = {tensor.name for tensor in model.graph.initializer}
    attends = any(n.op_type == "MatMul" and not weights & set(n.input) for n in model.graph.node)
    kinds = ATTENDING if attends else CONVOLUTIONAL
    chosen = {layer.node.name for layer in layers}
    left = [n.name for n in model.graph.node if n.op_type in ATTENDING and n.name not in chosen]
    # What is computed before and after the network is exact: corners of boxes do not fit into 8 bits.
    left += _outside(model, chosen)
    symmetric = target == "tensorrt"
    activation, weight = quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8, quantization.QuantType.QInt8
    overrides: dict[str, list[dict[str, Any]]] = {}
    for layer in layers:
        overrides[layer.node.input[0]] = [{"quant_type": activation, **_grid(*ranges[layer.name], symmetric)}]
        overrides[layer.node.input[1]] = _weight_grids(layer, bits, target, weight)
    options: dict[str, Any] = {"TensorQuantOverrides": overrides, "ActivationSymmetric": symmetric}
    if attends:
        options["OpTypesToExcludeOutputQuantization"] = ["MatMul", "Gemm"]
    made = _quantize_static(
        model,
        _Batches(batches),
        op_types_to_quantize=list(kinds),
        nodes_to_exclude=left,
        activation_type=activation,
        weight_type=weight,
        extra_options=options,
    )
    strip(made)
    slim(made)
    return made


def _quantize_static(model: Any, batches: Any, **options: Any) -> Any:
    """onnxruntime's quantizer on a copy of a graph: it takes the weights out of the one that it is given."""
    quantization = require("onnxruntime.quantization", need="Quantizing an ONNX graph")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            copy.deepcopy(model), file, batches, quant_format=quantization.QuantFormat.QDQ, per_channel=True, **options
        )
        return require("onnx", need="Quantizing an ONNX graph").load(file)


def _grid(low: float, high: float, symmetric: bool) -> dict[str, np.ndarray]:
    """Step and number of 0, as `InputRange.grid` has them."""
    tiny = np.finfo(np.float32).eps
    if symmetric:
        return {"scale": np.array(max(high, -low, 127 * tiny) / 127, np.float32), "zero_point": np.array(0, np.int8)}
    step = np.maximum(np.float32(np.float32(high) - np.float32(low)) / np.float32(255), tiny).astype(np.float32)
    return {"scale": np.array(step), "zero_point": np.array(np.clip(np.rint(-np.float32(low) / step), 0, 255), np.uint8)}


def _weight_grids(layer: Layer, bits: int, target: str, kind: Any) -> list[dict[str, Any]]:
    zero = np.array(0, np.int8)
    return [{"quant_type": kind, "axis": layer.axis, "scale": np.array(s), "zero_point": zero} for s in grid_of(layer, bits, target)]


def grid_of(layer: Layer, bits: int, target: str) -> np.ndarray:
    """`(out,)` float32 steps of a layer's channels.

    From the graph's own weights: a symmetric grid for each channel stays the same when a batch norm's factors go into it.
    """
    rows = torch.from_numpy(np.array(layer.weight if layer.axis == 0 else layer.weight.T))
    depthwise = layer.node.op_type == "Conv" and rows.shape[1] == 1 and any(a.name == "group" and a.i > 1 for a in layer.node.attribute)
    return weight_scales(rows, bits=bits, saturation_safe=target == "cpu", depthwise=depthwise).numpy()


class _Batches:
    """Batches in the form in which the quantizer reads them."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._rest: Iterator[Mapping[str, np.ndarray]] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._rest, None)
        return None if batch is None else dict(batch)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice on steps that torch's exporter has done."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
