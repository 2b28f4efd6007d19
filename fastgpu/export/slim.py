"""Takes out of a graph what no runtime needs: in a small network's file of whole numbers that is a quarter of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    version = next(each.version for each in model.opset_import if not each.domain)
    for graph in reversed(list(_with_bodies(model.graph))):  # those inside first: what is done to a node copies its body
        graph.ClearField("value_info")  # every runtime infers them
        for node in graph.node:
            node.ClearField("name")  # it is that of the node's output
            _drop_usual(node, version)
    graphs = list(_with_bodies(model.graph))
    _drop_zero_points(graphs)
    _share_equals(graphs)
    _shorten(graphs)


def _with_bodies(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes, the bodies of loops and of choices, which read the outer ones' values."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _with_bodies(body)


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


def _drop_zero_points(graphs: Sequence[Any]) -> None:
    whole = require("onnx", need="An ONNX graph").TensorProto.INT32
    biases = {tensor.name for graph in graphs for tensor in graph.initializer if tensor.data_type == whole}
    for node in (node for graph in graphs for node in graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in biases:  # of such a tensor it may only be 0
            del node.input[2:]


def _share_equals(graphs: Sequence[Any]) -> None:
    """One tensor for all of the outermost graph that hold the same; those that nothing reads go."""
    first: dict[bytes, str] = {}
    same: dict[str, str] = {}
    outermost = graphs[0]
    ends = {each.name for each in (*outermost.input, *outermost.output)}
    for tensor in outermost.initializer:
        if tensor.name in ends:
            continue
        name, tensor.name = tensor.name, ""
        same[name] = first.setdefault(tensor.SerializeToString(), name)
        tensor.name = name
    _rename(graphs, lambda name: same.get(name, name))
    read = {name for graph in graphs for node in graph.node for name in node.input} | {each.name for graph in graphs for each in graph.output}
    kept = {tensor.name: tensor for tensor in outermost.initializer if tensor.name in read}
    outermost.ClearField("initializer")
    outermost.initializer.extend(kept.values())


def _shorten(graphs: Sequence[Any]) -> None:
    short = {"": "", **{each.name: each.name for each in (*graphs[0].input, *graphs[0].output)}}
    taken = set(short)

    def of(name: str) -> str:
        if name not in short:
            count = len(short)
            while (new := f"{count:x}") in taken:
                count += 1
            short[name] = new
            taken.add(new)
        return short[name]

    _rename(graphs, of)


def _rename(graphs: Sequence[Any], of: Callable[[str], str]) -> None:
    for graph in graphs:
        for each in (*graph.initializer, *graph.input, *graph.output):
            each.name = of(each.name)
        for node in graph.node:
            for values in (node.input, node.output):
                for i, name in enumerate(values):
                    values[i] = of(name)
