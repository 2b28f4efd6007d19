"""What an export format has to know: the contract that the files of this package fill."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.errors import ArgumentError, UnknownNameError
from fastgpu.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from fastgpu.export.graph import Graph

__all__ = ["FORMATS", "Format", "Run", "Source", "format_of"]

Run = Callable[[Mapping[str, "np.ndarray"]], "dict[str, np.ndarray]"]
"""A loaded file at work: a batch's columns by name -> the outputs by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a file is made from.

    Args:
        graph: preparation, network and decoding in one.
        example: columns of a batch of at least two items, those that the graph takes.
        lengths: column -> number of the axis, other than the first, on which batches differ.
        manifest: what the file says of itself, see `fastgpu.export.manifest`.
        weights: the network's state dict.
        facts: what rebuilds the learner, plain data.
    """

    graph: Graph
    example: Mapping[str, Tensor]
    lengths: Mapping[str, int]
    manifest: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Args:
        suffix: how its files' names end.
        write: writes the file, and its `companions`; the folder is there.
        load: `"module:function"` of the function that loads a file in its own runtime: `(path, threads) -> Run`. The module
            is imported in a process of its own, so it imports at its top what the runtime needs and no more.
        needs: packages without which it cannot be written.
        companions: suffixes of further files that belong to one of this format, in place of its own.
        tolerance: largest difference from the learner's outputs that counts as the same, as a share of the largest value.
    """

    suffix: str
    write: Callable[[Source, Path], None]
    load: str
    needs: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    tolerance: float = 1e-3


FORMATS: Registry[Format] = Registry("export format", "fastgpu.export")


def format_of(path: Path, name: str | None) -> str:
    """The name of a file's format.

    Args:
        path: the file.
        name: a name of `FORMATS`, None: by the file's suffix.

    Raises:
        UnknownNameError: there is no format of that name.
        ArgumentError: the suffix is none of a format, or not that of the format named.

    Example:
        >>> format_of(Path("model.onnx"), None)
        'onnx'
    """
    if name is not None and name not in FORMATS:
        raise UnknownNameError(FORMATS.kind, name, FORMATS)
    # The longest first: .aoti.pt2 before .pt2.
    known = sorted(((each.suffix, key) for key, each in FORMATS.items()), key=lambda pair: -len(pair[0]))
    found = next((key for suffix, key in known if path.name.endswith(suffix) and path.name != suffix), None)
    suffixes = ", ".join(sorted(suffix for suffix, _ in known))
    if found is None:
        advice = f"Take {FORMATS[name].suffix} for {name}." if name else f"Take one of {suffixes}."
        raise ArgumentError(f"A file's suffix tells its format. {path.name!r} came. {advice}")
    if name is not None and name != found:
        raise ArgumentError(f"A file of the format {name} ends in {FORMATS[name].suffix}. {path.name!r} came. Rename it, or leave format= out.")
    return found
