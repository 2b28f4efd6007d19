"""CUDA: a graph of torch.export for a GPU, in bfloat16, with torchao's whole numbers or 8-bit floats; compiled where it is loaded.

Not compiled ahead of time: the package of a single layer that torch 2.11 compiled so for a GPU ended the process that loaded it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.errors import DeviceError
from fastgpu.export.base import FORMATS, Format, Run, Source
from fastgpu.export.pt2 import opened, save
from fastgpu.optional import require

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FP8_CAPABILITY", "load", "lowered", "refuse_missing", "with_enough_rows", "write"]

FP8_CAPABILITY = (8, 9)
"""Compute capability from which devices multiply 8-bit floats."""

ROWS = 16
"""A kernel that multiplies whole numbers takes more rows than this; layers that may see fewer, of one short item, stay floats."""


def refuse_missing(*, fp8: bool = False) -> None:
    """Refuse where there is no device for it.

    Raises:
        DeviceError: there is no CUDA device, or none that multiplies 8-bit floats.
    """
    import torch

    if not torch.cuda.is_available():
        raise DeviceError("What runs on a GPU is made and measured on one. There is no CUDA device here. Run where there is, or leave the GPU out.")
    if fp8 and torch.cuda.get_device_capability() < FP8_CAPABILITY:
        wanted, has = (".".join(map(str, each)) for each in (FP8_CAPABILITY, torch.cuda.get_device_capability()))
        raise DeviceError(f"8-bit floats need compute capability {wanted}. {torch.cuda.get_device_name()} has {has}. Take mode='int8'.")


def write(source: Source, path: Path, device: str = "cuda") -> None:
    """Write a source as a `.pt2` archive of a graph on a device.

    Raises:
        DeviceError: there is no CUDA device.
        ExportError: the network cannot be traced.
    """
    if device == "cuda":
        refuse_missing()
    save(lowered(source, device), path, "cuda", decomposed=True)  # plain tensors: torchao is not needed where it is loaded


def lowered(source: Source, device: str) -> Source:
    """A source on a device, its network in bfloat16 but for the layers that are rounded, which hold torchao's tensors.

    Args:
        source: the source, on the CPU; it stays as it is.
        device: name of a device of torch.
    """
    import dataclasses

    import torch

    graph = copy.deepcopy(source.graph).to(device)
    example = {name: value.to(device) for name, value in source.example.items()}
    net = graph.model.net
    if source.rounded:
        kind = next(iter(source.rounded.values()))
        if kind == "fp8":
            net.to(torch.bfloat16)  # its kernels take no other
        _round(net, set(source.rounded), kind)
    net.to(torch.bfloat16)
    graph.model.register_forward_pre_hook(_narrow, with_kwargs=True)
    graph.model.register_forward_hook(_widen)
    return dataclasses.replace(source, graph=graph, example=example)


def with_enough_rows(source: Source, names: Collection[str], inputs: str) -> list[str]:
    """The layers that the kernel takes whatever comes: for `"dynamic"` inputs those that see more than 16 rows of any one item.

    Args:
        source: the source, on the CPU.
        names: layers of its network.
        inputs: how they take their inputs, of `fastgpu.compress.input_range.INPUTS`.
    """
    import torch

    if inputs != "dynamic":
        return list(names)
    if source.lengths:  # a text, or a sound, may be as short as a word
        return []
    rows: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(_: Any, given: Any) -> None:
            rows[name] = min(given[0].numel() // given[0].shape[-1], rows.get(name, ROWS + 1))

        return hook

    hooks = [source.graph.model.net.get_submodule(name).register_forward_pre_hook(note(name)) for name in names]
    with torch.no_grad():
        source.graph.named({name: value[:1] for name, value in source.example.items()})
    for hook in hooks:
        hook.remove()
    return [name for name in names if rows.get(name, 0) > ROWS]


def _round(net: nn.Module, names: set[str], kind: str) -> None:
    torchao = require("torchao.quantization", need="Whole numbers on a GPU")
    config = {
        "dynamic": lambda: torchao.Int8DynamicActivationInt8WeightConfig(act_mapping_type=torchao.MappingType.SYMMETRIC),
        "float": torchao.Int8WeightOnlyConfig,
        "fp8": lambda: torchao.Float8DynamicActivationFloat8WeightConfig(granularity=torchao.PerRow()),
    }[kind]()
    torchao.quantize_(net, config, filter_fn=lambda _, name: name in names)


def _narrow(_: Any, args: Any, kwargs: Any) -> Any:
    return _as("bfloat16", (args, kwargs))


def _widen(_: Any, args: Any, out: Any) -> Any:
    return _as("float32", out)


def _as(dtype: str, values: Any) -> Any:
    import torch
    from torch.utils._pytree import tree_map

    to = getattr(torch, dtype)
    return tree_map(lambda v: v.to(to) if isinstance(v, torch.Tensor) and v.is_floating_point() else v, values)


def compiled(graph: Any) -> Any:
    """A graph, compiled for the device that it lies on when it is first called."""
    import torch

    # A loop is compiled whole or not at all, and that over pictures picks as many boxes as there happen to be.
    whole = torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)
    return whole(torch.compile(graph, dynamic=True))


def load(path: Path, threads: int) -> Run:
    """A file in torch, compiled for the device that it lies on at its first calls; arrays go there and come back."""
    import torch

    torch.set_num_threads(threads)
    graph, manifest = opened(path)
    called, device = compiled(graph), next(iter(graph.state_dict().values())).device

    def run(x: Any) -> dict[str, Any]:
        with torch.no_grad():
            found = called(*[torch.from_numpy(x[name]).to(device, non_blocking=True) for name in manifest["inputs"]])
        return {name: value.cpu().numpy() for name, value in zip(manifest["outputs"], found)}

    return run


FORMATS.register("cuda")(
    Format(
        suffix=".cuda.pt2",
        write=write,
        load=f"{__name__}:load",
        ready=refuse_missing,
        tolerance=0.05,
        targets=("cuda",),
        precision="bfloat16",
        clock="perf_counter",
    )
)
