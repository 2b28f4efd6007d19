"""What is taken out of a graph of whole numbers changes nothing of what it computes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from fastgpu.export.slim import slim  # noqa: E402


def run(model, feed):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def exported(net, x):
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    return torch.onnx.export(net.eval(), (x,), dynamo=True, dynamic_shapes=shapes, verbose=False, input_names=["x"], output_names=["3"]).model_proto


def test_a_graph_gets_smaller_and_computes_the_same():
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, (3, 1), dilation=(2, 1), groups=4), nn.Flatten(), nn.LazyLinear(3)
    )  # fmt: skip
    x = torch.randn(5, 2, 12, 12)
    net(x)
    model = exported(net, x)
    before = copy.deepcopy(model)
    slim(model)
    onnx.checker.check_model(model)
    assert model.ByteSize() < before.ByteSize()
    assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["x", "3"]  # a short name that is taken is not given
    for items in (1, 5):
        assert np.array_equal(run(model, {"x": x[:items].numpy()})[0], run(before, {"x": x[:items].numpy()})[0])
    first, second = (node for node in model.graph.node if node.op_type == "Conv")
    assert {each.name for each in first.attribute} == {"strides", "pads"}
    assert {each.name for each in second.attribute} == {"dilations", "group"}


def test_equal_tensors_are_one_and_zero_points_of_biases_go():
    ones = np.ones(3, np.float32)
    tensors = {"a": ones, "b": ones, "c": ones.astype(np.int32), "zero": np.zeros(3, np.int32), "unread": ones * 2}
    nodes = [
        helper.make_node("DequantizeLinear", ["c", "a", "zero"], ["bias"], axis=0),
        helper.make_node("Add", ["x", "b"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(value, name) for name, value in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    slim(model)
    onnx.checker.check_model(model)
    assert sorted(numpy_helper.to_array(each).dtype.name for each in model.graph.initializer) == ["float32", "int32"]
    assert len(model.graph.node[0].input) == 2
    assert run(model, {"x": ones})[0].tolist() == [3, 3, 3]


def test_bodies_go_on_reading_the_values_around_them():
    value = lambda name, shape, kind=TensorProto.FLOAT: helper.make_tensor_value_info(name, kind, shape)  # noqa: E731
    ones = np.ones(3, np.float32)
    tensors = [numpy_helper.from_array(ones, "a"), numpy_helper.from_array(ones, "b")]
    branches = {
        "then_branch": helper.make_graph([helper.make_node("Add", ["sum", "b"], ["then"])], "then", [], [value("then", [3])]),
        "else_branch": helper.make_graph([helper.make_node("Sub", ["sum", "inner"], ["else"])], "else", [], [value("else", [3])], [
            numpy_helper.from_array(2 * ones, "inner")]),
    }  # fmt: skip
    nodes = [helper.make_node("Add", ["x", "a"], ["sum"]), helper.make_node("If", ["yes"], ["y"], **branches)]
    graph = helper.make_graph(nodes, "g", [value("x", [3]), value("yes", [], TensorProto.BOOL)], [value("y", [3])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    slim(model)
    onnx.checker.check_model(model)
    assert len(model.graph.initializer) == 1
    assert run(model, {"x": ones, "yes": np.array(True)})[0].tolist() == [3, 3, 3]
    assert run(model, {"x": ones, "yes": np.array(False)})[0].tolist() == [0, 0, 0]
