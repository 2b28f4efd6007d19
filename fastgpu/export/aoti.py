"""AOTI: machine code that torch's compiler makes ahead of time, for processors like the one that it was made on."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from fastgpu.errors import ExportError
from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.manifest import KEY, header
from fastgpu.export.pt2 import program, torch_run

__all__ = ["archive", "load", "manifest_of", "write"]


def write(source: Source, path: Path) -> None:
    """Compile a source into an archive with a shared library.

    Raises:
        ExportError: there is no C++ compiler, or the network cannot be traced or compiled.
    """
    archive(source, path, "aoti")


def archive(source: Source, path: Path, format: str) -> None:
    """Compile a source for the device that it is on.

    Args:
        source: the source.
        path: the archive.
        format: name of the format, for errors.

    Raises:
        ExportError: there is no C++ compiler, or the network cannot be traced or compiled.
    """
    import torch

    from fastgpu.export.graph import tracing

    if not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise ExportError(f"The format {format} needs a C++ compiler. None is on the PATH. Install g++, or take format='pt2'.")
    made = program(source, format)
    with tracing(source.graph, format):
        torch._inductor.aoti_compile_and_package(made, package_path=str(path))
    with zipfile.ZipFile(path, "a") as file:
        root = file.namelist()[0].partition("/")[0]
        file.writestr(f"{root}/extra/{KEY}.json", header(source.manifest))


def manifest_of(path: Path) -> dict[str, Any]:
    """What an archive says of itself, read past torch."""
    with zipfile.ZipFile(path) as file:
        name = next(each for each in file.namelist() if each.endswith(f"/extra/{KEY}.json"))
        return json.loads(file.read(name))


def load(path: Path, threads: int) -> Run:
    """A file in torch."""
    import torch

    torch.set_num_threads(threads)
    manifest = manifest_of(path)
    return torch_run(torch._inductor.aoti_load_package(str(path)), manifest["inputs"], manifest["outputs"])


FORMATS.register("aoti")(Format(suffix=".aoti.pt2", write=write, load=f"{__name__}:load"))
