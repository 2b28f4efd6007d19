"""Takes out of a graph what no runtime needs: in a small network's file of whole numbers that is a quarter of it."""

from __future__ import annotations

from typing import Any

from fastgpu.optional import require

__all__ = ["slim"]


def slim(model: Any) -> None:
    """Make a graph's file smaller, in place; what it computes, and the names of its inputs and outputs, stay.

    Values between the nodes get short names; shapes, names of nodes, attributes that say what holds anyway, zero points of
    32-bit biases, which are 0, and all but the first of equal tensors go.

    Args:
        model: the graph, an `onnx.ModelProto`.
    """
    graph, version = model.graph, next(each.version for each in model.opset_import if not each.domain)
    graph.ClearField("value_info")  # every runtime infers them
    for node in graph.node:
        node.ClearField("name")  # it is that of the node's output
        _drop_usual(node, version)
    _drop_zero_points(graph)
    _share_equals(graph)
    _shorten(graph)


def _drop_usual(node: Any, version: int) -> None:
    """Attributes that say what ONNX takes where they are missing; the size of a kernel is that of its weight."""
    onnx = require("onnx", need="An ONNX graph")
    if node.domain or not onnx.defs.has(node.op_type):
        return
    known = onnx.defs.get_schema(node.op_type, version).attributes
    along_axes = {"strides": 1, "dilations": 1, "pads": 0, "kernel_shape": None} if node.op_type == "Conv" else {}

    def usual(given: Any) -> bool:
        if given.name in along_axes:
            return given.name == "kernel_shape" or set(given.ints) == {along_axes[given.name]}
        default = known[given.name].default_value
        return default.type == given.type and onnx.helper.get_attribute_value(default) == onnx.helper.get_attribute_value(given)

    kept = [each for each in node.attribute if not usual(each)]
    node.ClearField("attribute")
    node.attribute.extend(kept)


def _drop_zero_points(graph: Any) -> None:
    whole = require("onnx", need="An ONNX graph").TensorProto.INT32
    biases = {tensor.name for tensor in graph.initializer if tensor.data_type == whole}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in biases:  # of such a tensor it may only be 0
            del node.input[2:]


def _share_equals(graph: Any) -> None:
    """One tensor for all that hold the same; those that nothing reads go."""
    first: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        name, tensor.name = tensor.name, ""
        same[name] = first.setdefault(tensor.SerializeToString(), name)
        tensor.name = name
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)


def _shorten(graph: Any) -> None:
    short = {"": "", **{each.name: each.name for each in (*graph.input, *graph.output)}}
    taken = set(short)

    def of(name: str) -> str:
        if name not in short:
            count = len(short)
            while (new := f"{count:x}") in taken:
                count += 1
            short[name] = new
            taken.add(new)
        return short[name]

    for tensor in graph.initializer:
        tensor.name = of(tensor.name)
    for node in graph.node:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                values[i] = of(name)

