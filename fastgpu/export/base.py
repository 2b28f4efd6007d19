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
        model: the graph as ONNX where it is made already, with whole numbers; None: it is to be made.
        rounded: layer of the network that the file rounds itself -> how it takes its inputs, of `fastgpu.compress.input_range.INPUTS`.
    """

    graph: Graph
    example: Mapping[str, Tensor]
    lengths: Mapping[str, int]
    manifest: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    model: Any = None
    rounded: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def stating(self, **facts: Any) -> Source:
        """The same source, whose manifest says these facts."""
        return dataclasses.replace(self, manifest={**self.manifest, **facts})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Args:
        suffix: how its files' names end.
        write: writes the file, and its `companions`; the folder is there.
        load: `"module:function"` of the function that loads a file in its own runtime: `(path, threads) -> Run`. The module
            is imported in a process of its own, so it imports at its top what the runtime needs and no more.
        needs: packages without which it cannot be written.
        ready: refuses where it cannot be written for another reason.
        companions: suffixes of further files that belong to one of this format, in place of its own.
        rebuilds: whether the file has weights alone, so that `load` builds the network by its name in the zoo.
        tolerance: largest difference from the learner's outputs that counts as the same, as a share of the largest value.
        targets: kinds of quantized networks, of `fastgpu.compress.quantize.TARGETS`, whose whole numbers it holds.
        precision: what it computes with where nothing is quantized.
        clock: function of `time` by which it is timed: CPU time, where a processor does all the work.
    """

    suffix: str
    write: Callable[[Source, Path], None]
    load: str
    needs: tuple[str, ...] = ()
    ready: Callable[[], None] = lambda: None
    companions: tuple[str, ...] = ()
    rebuilds: bool = False
    tolerance: float = 1e-3
    targets: tuple[str, ...] = ()
    precision: str = "float32"
    clock: str = "process_time"


FORMATS: Registry[Format] = Registry("export format", "fastgpu.export")


def format_of(path: Path, name: str | None) -> tuple[Path, str]:
    """A file's path, with a suffix, and the name of its format.

    Args:
        path: the file; one without a suffix gets that of the format.
        name: a name of `FORMATS`; None: by the suffix, onnx where there is none.

    Raises:
        UnknownNameError: there is no format of that name, or none with that suffix.
        ArgumentError: the suffix is not that of the format named.

    Example:
        >>> format_of(Path("model.onnx"), None)[1]
        'onnx'
    """
    if name is not None and name not in FORMATS:
        raise UnknownNameError(FORMATS.kind, name, FORMATS)
    if not path.suffix:
        name = name or "onnx"
        return path.with_name(path.name + FORMATS[name].suffix), name
    # The longest first: .aoti.pt2 before .pt2.
    known = sorted(((each.suffix, key) for key, each in FORMATS.items()), key=lambda pair: -len(pair[0]))
    found = next((key for suffix, key in known if path.name.endswith(suffix)), None)
    if name is not None and name != found:
        raise ArgumentError(f"A file of the format {name} ends in {FORMATS[name].suffix}. {path.name!r} came. Rename it, or leave format= out.")
    if found is None:
        raise UnknownNameError("suffix of an exported file", path.suffix, [suffix for suffix, _ in known])
    return path, found
