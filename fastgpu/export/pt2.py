"""PT2: the graph of torch.export, for any process with torch; the network's code is not needed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

__all__ = ["know_detectors", "load", "opened", "program", "save", "torch_run", "write"]


def program(source: Source, format: str, *, batch: int | None = None, length: int | None = None) -> ExportedProgram:
    """A source as a program of torch.export, with an open size of the batch and, where batches differ, of their length.

    Args:
        source: the source.
        format: name of the format, for errors.
        batch: most items of a batch, None: any number.
        length: longest item, None: any length.

    Raises:
        ExportError: the network cannot be traced.
    """
    import torch

    from fastgpu.export.graph import tracing

    many, long = torch.export.Dim.DYNAMIC(max=batch), torch.export.Dim.DYNAMIC(max=length)
    shapes = tuple({0: many, **({source.lengths[name]: long} if name in source.lengths else {})} for name in source.graph.inputs)
    columns = tuple(source.example[name] for name in source.graph.inputs)
    if batch is not None:  # with few items, branches for few of them in torch's own kernels would bound the rest
        taken = {size for value in columns for size in value.shape[1:]}
        count = next(n for n in range(batch, 1, -1) if n not in taken)  # as the example's: equal sizes are taken for the same one
        columns = tuple(value[torch.arange(count) % len(value)] for value in columns)
    with tracing(source.graph, format):
        made = torch.export.export(source.graph, columns, dynamic_shapes=(shapes,))
    for part in made.graph_module.modules():  # bodies of loops are modules in it
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # it would tell in the file where the user's own files lie
    return made


def write(source: Source, path: Path) -> None:
    """Write a source as a `.pt2` archive."""
    save(source, path, "pt2")


def save(source: Source, path: Path, format: str, *, decomposed: bool = False) -> None:
    """Trace a source, and write it with its manifest.

    Args:
        source: the source, on whatever device.
        path: the archive.
        format: name of the format, for errors.
        decomposed: whether torch's own operations and plain tensors alone are left.
    """
    import torch

    from fastgpu.export.graph import tracing

    made = program(source, format)
    with tracing(source.graph, format):
        if decomposed:
            made = made.run_decompositions()
        torch.export.save(made, path, extra_files={f"{KEY}.json": header(source.manifest)})


def know_detectors() -> None:
    """Load the operations of torchvision, which detectors have in their graphs, where it is installed."""
    with contextlib.suppress(ImportError):
        import torchvision  # noqa: F401


def opened(path: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The graph in a file, and what the file says of itself."""
    import torch

    know_detectors()
    extra: dict[str, Any] = {f"{KEY}.json": ""}
    graph = torch.export.load(path, extra_files=extra).module()
    return graph, json.loads(extra[f"{KEY}.json"])


def load(path: Path, threads: int) -> Run:
    """A file in torch, as it is: no compiler."""
    import torch

    torch.set_num_threads(threads)
    graph, manifest = opened(path)
    return torch_run(graph, manifest["inputs"], manifest["outputs"])


def torch_run(called: Any, inputs: list[str], outputs: list[str]) -> Run:
    """A function of tensors as one of arrays by name."""
    import torch

    def run(x: Any) -> dict[str, Any]:
        with torch.inference_mode():
            found = called(*[torch.from_numpy(x[name]) for name in inputs])
        return {name: value.numpy() for name, value in zip(outputs, found)}

    return run


FORMATS.register("pt2")(Format(suffix=".pt2", write=write, load=f"{__name__}:load"))
