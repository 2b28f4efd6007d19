"""ONNX: one file for onnxruntime and many other runtimes, the default of `learn.export`."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.errors import ExportError
from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header, sealed, write_atomically
from fastgpu.optional import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto
    from torch import Tensor

    from fastgpu.export.graph import Graph

__all__ = ["OPSET", "finish", "graphs_of", "load", "running", "strip", "to_onnx", "write"]

OPSET = 18
"""Version of ONNX's operators: the one in which torch's exporter is written, so that nothing is converted afterwards."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""The modules around a node, by which `export.int8` knows its layer: the one note of torch's exporter that is of use."""

LARGEST = 2**31 - 1
"""Bytes that one file of the format can hold."""


def to_onnx(graph: Graph, example: Mapping[str, Tensor], lengths: Mapping[str, int] | None = None) -> ModelProto:
    """A graph as ONNX, in memory.

    Args:
        graph: the module.
        example: a batch's `x` of at least two items.
        lengths: column -> number of the axis, other than the first, on which batches differ; all of one length.

    Returns:
        The model: its inputs and outputs are those of the graph by name, their first axis is called `"batch"`, and the axis
        on which batches differ `"length"`.

    Raises:
        ExportError: the network cannot be traced, or ONNX lacks one of its operations.
    """
    import torch

    from fastgpu.export.graph import tracing

    for package in ("onnx", "onnxscript"):
        require(package, need="Export to ONNX")
    graph, lengths = _single(graph), lengths or {}
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple({0: dynamic, **({lengths[name]: dynamic} if name in lengths else {})} for name in graph.inputs)
    with tracing(graph, "onnx"):
        program = torch.onnx.export(
            graph,
            tuple(example[name] for name in graph.inputs),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            verbose=False,
        )
        model = program.model_proto  # type: ignore[union-attr]
    strip(model, keep=SCOPES)
    _place_in_loops(model, graph)
    _name_axes(model, lengths)
    return model


def _single(graph: Graph) -> Graph:
    """The graph in single precision: onnxruntime lacks many operations, convolutions among them, in double."""
    doubles = any(str(value.dtype) == "torch.float64" for value in graph.parameters())
    return copy.deepcopy(graph).float() if doubles else graph


def finish(model: ModelProto, manifest: Mapping[str, Any], path: Path) -> None:
    """Put the manifest into a model, seal it with its digest, and write it in one step.

    Raises:
        ExportError: the model is too large for one file.
        RunFolderError: the file cannot be written; nothing is left behind.
    """
    strip(model)
    if model.ByteSize() > LARGEST:
        raise ExportError(f"An ONNX file holds 2 GB. The network has {model.ByteSize() / 1e9:.1f}. Take format='pt2', or a smaller network.")
    model.metadata_props.add(key=KEY, value=header(manifest))
    write_atomically(sealed(model.SerializeToString()), path)


def strip(model: ModelProto, keep: str = "") -> None:
    """Take out the notes of torch's exporter: they are long, and its stack traces tell where the user's files lie."""
    for part in (model, *(part for g in graphs_of(model.graph) for part in (g, *g.node, *g.initializer, *g.value_info, *g.input, *g.output))):
        kept = [note for note in part.metadata_props if note.key == keep]
        del part.metadata_props[:]
        part.metadata_props.extend(kept)


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those inside of it: the bodies of loops, the branches of conditions."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def _place_in_loops(model: ModelProto, graph: Graph) -> None:
    """Note the layer of each product in the body of a loop, where the exporter notes none: the one that has its weights."""
    from onnx import numpy_helper

    inside = [node for part in graphs_of(model.graph) if part is not model.graph for node in part.node if node.op_type in ("MatMul", "Gemm")]
    if not inside:
        return
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = {value.T.contiguous().numpy().tobytes(): name for name, value in graph.named_parameters() if value.ndim == 2}
    for node in inside:
        values = numpy_helper.to_array(weights[node.input[1]]).tobytes() if node.input[1] in weights else b""
        if values in layers:
            del node.metadata_props[:]
            node.metadata_props.add(key=SCOPES, value=f"['{layers[values].removesuffix('.weight')}']")


def _name_axes(model: ModelProto, lengths: Mapping[str, int]) -> None:
    """Give the symbols that the tracer made up their names, wherever they stand."""
    names: dict[str, str] = {}
    for value in model.graph.input:
        for axis, name in ((0, "batch"), (lengths.get(value.name), "length")):
            if axis is not None:
                symbol = value.type.tensor_type.shape.dim[axis].dim_param
                if not symbol:
                    raise ExportError(
                        f"The size of a batch must stay open. The network fixed axis {axis} of {value.name}. "
                        "Look for a shape that it keeps as a number."
                    )
                names.setdefault(symbol, name)
    for value in (value for g in graphs_of(model.graph) for value in (*g.input, *g.output, *g.value_info)):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"[A-Za-z_]\w*", lambda m: names.get(m.group(), m.group()), dim.dim_param)
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].dim_param != "batch":
            raise ExportError(f"Each output has one entry an item. {value.name} has not. Look for a step over the batch in the network.")


def write(source: Source, path: Path) -> None:
    """Write a source as one ONNX file."""
    finish(model_of(source), {**source.manifest, "opset": OPSET}, path)


def model_of(source: Source) -> ModelProto:
    """A source's graph as ONNX."""
    return to_onnx(source.graph, source.example, source.lengths) if source.model is None else source.model


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Within, what onnxruntime cannot compute is told in one line.

    Raises:
        ExportError: onnxruntime failed.
    """
    try:
        yield
    except Exception as error:  # onnxruntime's errors have no common class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        why = " ".join(str(error).split())
        raise ExportError(f"onnxruntime must be able to run the network. {why} Leave quantization out, or change that operation.") from None


def load(path: Path, threads: int) -> Run:
    """A file in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(names, dict(x))))


FORMATS.register("onnx")(
    Format(suffix=".onnx", write=write, load=f"{__name__}:load", needs=("onnx", "onnxscript", "onnxruntime"), targets=("cpu", "tensorrt"))
)
