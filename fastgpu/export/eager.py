"""The network as PyTorch runs it, in a process of its own: what `learn.benchmark` holds the formats against. No format to keep."""

from __future__ import annotations

from pathlib import Path

from fastgpu.errors import ExportError
from fastgpu.export.base import Format, Run, Source

__all__ = ["EAGER", "load", "write"]


def write(source: Source, path: Path) -> None:
    """Pickle the graph, for a process that this one starts and that has the same code.

    Raises:
        ExportError: the network cannot be pickled, or its code is in the script that runs.
    """
    import torch

    own = next((type(part).__name__ for part in source.graph.modules() if type(part).__module__ == "__main__"), None)
    if own is not None:
        raise ExportError(
            f"PyTorch is measured in a process of its own, which imports the network's code. {own} is defined in the script or notebook that runs. "
            "Move it into a file that is imported."
        )
    try:
        torch.save(source.graph, path)
    except Exception as error:  # a lambda, a lock, a class in a function
        raise ExportError(
            f"PyTorch is measured in a process of its own, so the network must be pickled. It cannot be: {error}. Leave 'torch' out of formats=."
        ) from None


def load(path: Path, threads: int) -> Run:
    """The graph, called as it is."""
    import torch

    from fastgpu.export.pt2 import torch_run

    torch.set_num_threads(threads)
    graph = torch.load(path, weights_only=False)  # written by the process that asks
    return torch_run(graph, list(graph.inputs), list(graph.outputs))


EAGER = Format(suffix=".pt", write=write, load=f"{__name__}:load")
