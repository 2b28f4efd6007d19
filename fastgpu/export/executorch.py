"""ExecuTorch: a file for phones and small devices, run by a C++ library without PyTorch; on processors by XNNPACK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastgpu.errors import ExportError
from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header
from fastgpu.export.pt2 import program, torch_run
from fastgpu.optional import require

__all__ = ["MOST", "load", "write"]

MOST = 64
"""Items of the largest batch: the format lays out its memory beforehand."""

RESIZES = "upsample_bilinear2d_aa"
"""Operation whose kernel leaves its output as large as that of the largest batch (1.5)."""

LONGER = 4
"""How many times the length of the example's items an item may have, where lengths differ."""


def write(source: Source, path: Path) -> None:
    """Lower a source to XNNPACK, what it lacks to portable kernels; a method `fastgpu` gives the manifest as bytes.

    Raises:
        ExportError: the network cannot be traced, or not be lowered, or resizes pictures.
    """
    import torch

    from fastgpu.export.graph import tracing

    require("executorch", need="Export to ExecuTorch")
    longest = max((source.example[name].shape[axis] for name, axis in source.lengths.items()), default=0)
    made = program(source, "executorch", batch=MOST, length=LONGER * longest)
    said = torch.frombuffer(bytearray(header(source.manifest).encode()), dtype=torch.uint8)
    with tracing(source.graph, "executorch"):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        lowered = to_edge_transform_and_lower(made, partitioner=[XnnpackPartitioner()], constant_methods={KEY: said})
        if any(RESIZES in node.name for node in lowered.exported_program().graph.nodes):
            raise ExportError(
                "ExecuTorch resizes pictures in batches of one size alone. The network is given pictures of another size than its own. "
                "Take another format, or train with pictures of the network's size, image_size=."
            )
        path.write_bytes(lowered.to_executorch().buffer)


def load(path: Path, threads: int) -> Run:
    """A file in ExecuTorch's own runtime, through its Python binding, which takes tensors of torch."""
    from executorch.runtime import Runtime

    file: Any = Runtime.get().load_program(path)
    said: Any = file.load_method(KEY)
    manifest = json.loads(bytes(said.execute([])[0].numpy()))
    method: Any = file.load_method("forward")
    kept = (file, said)  # a method reads the memory of its file

    def called(*columns: Any, _: Any = kept) -> list[Any]:
        return [value.clone() for value in method.execute(columns)]

    return torch_run(called, manifest["inputs"], manifest["outputs"])


FORMATS.register("executorch")(Format(suffix=".pte", write=write, load=f"{__name__}:load", needs=("executorch",)))
