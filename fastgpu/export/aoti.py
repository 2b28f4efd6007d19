"""AOTI: machine code that torch's compiler makes ahead of time, for processors like the one that it was made on."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from fastgpu.errors import ExportError
from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header
from fastgpu.export.pt2 import know_detectors, program, torch_run

__all__ = ["load", "write"]


def write(source: Source, path: Path) -> None:
    """Compile a source into an archive with a shared library.

    Raises:
        ExportError: there is no C++ compiler, or the network cannot be traced or compiled.
    """
    import torch

    from fastgpu.export.graph import tracing

    if not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise ExportError("The format aoti needs a C++ compiler. None is on the PATH. Install g++, or take format='pt2'.")
    made = program(source, "aoti")
    with tracing(source.graph, "aoti"):
        torch._inductor.aoti_compile_and_package(made, package_path=str(path))
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{KEY}.json", header(source.manifest))


def load(path: Path, threads: int) -> Run:
    """A file in torch; what it says of itself is read past torch."""
    import json

    import torch

    torch.set_num_threads(threads)
    know_detectors()
    with zipfile.ZipFile(path) as archive:
        name = next(each for each in archive.namelist() if each.endswith(f"/extra/{KEY}.json"))
        manifest = json.loads(archive.read(name))
    return torch_run(torch._inductor.aoti_load_package(str(path)), manifest["inputs"], manifest["outputs"])


FORMATS.register("aoti")(Format(suffix=".aoti.pt2", write=write, load=f"{__name__}:load"))
