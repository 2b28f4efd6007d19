"""Whole numbers for weights alone in an ONNX graph; inputs stay floats, or are rounded to the range of each batch as it comes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.errors import ModelError
from fastgpu.export.int8 import Layer, grid_of, layers_of
from fastgpu.export.onnx import graphs_of, strip
from fastgpu.export.slim import slim
from fastgpu.optional import require

__all__ = ["with_whole_weights"]


def with_whole_weights(model: Any, names: Sequence[str], *, bits: int = 8, target: str = "cpu", dynamic: bool = False, outside: bool = True) -> Any:
    """A graph of floats -> the same graph with the weights of the named layers in whole numbers.

    Args:
        model: the graph in single precision, an `onnx.ModelProto`.
        names: the layers.
        bits: bits of a weight.
        target: `"cpu"` or `"tensorrt"`, see `fastgpu.compress.quantize.TARGETS`.
        dynamic: whether the layers multiply whole numbers, their inputs being rounded as they come; linear layers alone.
            Otherwise weights are brought back to floats when the file is loaded.
        outside: whether layers that are not in the body of a loop are among them; if not, there may be none, and all names stay.

    Raises:
        ModelError: none of the layers is found in the graph.
    """
    onnx = require("onnx", need="Quantizing an ONNX graph")
    layers = [each for each in layers_of(model, names, inside=True) if not dynamic or each.node.op_type != "Conv"]
    if not outside:
        left = {node.output[0] for node in model.graph.node}
        layers = [each for each in layers if each.node.output[0] not in left]
    if not layers and not outside:
        return model
    if not layers:
        raise ModelError("An int8 file needs convolutions or linear layers in its graph. None of the quantized ones is there. Use int8=False.")
    before, replaced, tensors = list[Any](), dict[str, list[Any]](), dict[str, Any]()
    for layer in layers:
        first, replaced[layer.node.output[0]], own = (_dynamic if dynamic else _stored)(onnx, layer, *_whole(layer, bits, target))
        before += first
        tensors |= {name: onnx.numpy_helper.from_array(value, name) for name, value in own.items()}
    made = copy.deepcopy(model)
    for graph in reversed(list(graphs_of(made.graph))):  # those inside first: a node is copied with its body
        nodes = [copy.deepcopy(node) for each in graph.node for node in replaced.get(each.output[0], [each])]
        graph.ClearField("node")
        # Once for tied weights, and outside of loops.
        graph.node.extend({node.output[0]: node for node in (*(before if graph is made.graph else ()), *nodes)}.values())
    used = {name for graph in graphs_of(made.graph) for node in graph.node for name in node.input}
    made.graph.ClearField("initializer")
    made.graph.initializer.extend([*(tensor for tensor in model.graph.initializer if tensor.name in used), *tensors.values()])
    if outside:
        strip(made)
        slim(made)
    return made


def _whole(layer: Layer, bits: int, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the channels, in the shape that goes with the weights, and the weights in steps, int8."""
    shape = [1] * layer.weight.ndim
    shape[layer.axis] = -1
    scales, most = grid_of(layer, bits, target).reshape(shape), 2 ** (bits - 1) - 1
    return scales, np.clip(np.rint(layer.weight / scales), -most, most).astype(np.int8)


def _stored(onnx: Any, layer: Layer, scales: np.ndarray, whole: np.ndarray) -> tuple[list[Any], list[Any], dict[str, np.ndarray]]:
    """What goes before all nodes, and the node, on floats that those make of whole numbers: not by DequantizeLinear, which onnxruntime would
    repeat in each call."""
    make, node, weight = onnx.helper.make_node, copy.deepcopy(layer.node), layer.node.input[1]
    node.input[1] = f"{weight}_float"
    tensors = {f"{weight}_int8": whole, f"{weight}_scale": scales}
    before = [
        make("Cast", [f"{weight}_int8"], [f"{weight}_steps"], name=f"{weight}_cast", to=onnx.TensorProto.FLOAT),
        make("Mul", [f"{weight}_steps", f"{weight}_scale"], [f"{weight}_float"], name=f"{weight}_scale"),
    ]
    return before, [node], tensors


def _dynamic(onnx: Any, layer: Layer, scales: np.ndarray, whole: np.ndarray) -> tuple[list[Any], list[Any], dict[str, np.ndarray]]:
    """The product of whole numbers, in the shape that onnxruntime makes one operation of."""
    make, node = onnx.helper.make_node, layer.node
    given, weight, *bias = node.input
    made, name = node.output[0], node.name
    tensors = {f"{weight}_int8": np.ascontiguousarray(whole if layer.axis == 1 else whole.T), f"{weight}_scale": scales.reshape(-1)}
    whole_weight, weight_scale = tensors
    rounded, step, zero = (f"{made}_{what}" for what in ("input", "step", "zero"))
    parts = [
        make("DynamicQuantizeLinear", [given], [rounded, step, zero], name=f"{name}_quantize"),
        make("MatMulInteger", [rounded, whole_weight, zero], [f"{made}_sums"], name=f"{name}_multiply"),
        make("Cast", [f"{made}_sums"], [f"{made}_float"], name=f"{name}_cast", to=onnx.TensorProto.FLOAT),
        make("Mul", [step, weight_scale], [f"{made}_steps"], name=f"{name}_steps"),
        make("Mul", [f"{made}_float", f"{made}_steps"], [f"{made}_product" if bias else made], name=f"{name}_scale"),
    ]
    if bias:
        parts.append(make("Add", [f"{made}_product", *bias], [made], name=f"{name}_bias"))
    return [], parts, tensors
