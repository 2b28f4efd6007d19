"""OpenVINO: the runtime of Intel's processors; an `.xml` with the graph, a `.bin` beside it with the weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header
from fastgpu.export.onnx import finish, model_of
from fastgpu.optional import require

__all__ = ["load", "write"]


def write(source: Source, path: Path) -> None:
    """Convert a source's ONNX model; both files are written in full precision."""
    openvino = require("openvino", need="Export to OpenVINO")
    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "model.onnx"
        finish(model_of(source), source.manifest, between)
        model = openvino.convert_model(between)
    model.set_rt_info(header(source.manifest), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def load(path: Path, threads: int) -> Run:
    """A file in OpenVINO, on the CPU, in the precision that it was written in."""
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", hints)
    names = [value.any_name for value in model.outputs]
    return lambda x: {name: value.copy() for name, value in zip(names, model(dict(x)).values())}


FORMATS.register("openvino")(
    Format(
        suffix=".xml",
        write=write,
        load=f"{__name__}:load",
        needs=("onnx", "onnxscript", "openvino"),
        companions=(".bin",),
        targets=("cpu", "tensorrt"),
    )
)
