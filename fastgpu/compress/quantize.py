"""Quantization-aware networks: convolutions and linear layers that compute as if they held whole numbers.

The network stays what it was: its parameters keep their names, shapes and full precision, its classes are subclasses of
what they were. What is added are the ranges of the layers' inputs, as buffers. So any loop trains it, and any export that knows
the ranges can make it real.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.input_range import INPUTS, InputRange
from fastgpu.compress.names import check_ignored
from fastgpu.compress.row_grid import fp8_rows, whole_rows
from fastgpu.compress.weight_grid import fake_quantize_weight, weight_scales
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError

__all__ = ["TARGETS", "calibrate", "finalize", "input_ranges", "match_layers", "prepare", "quantizable", "quantized_layers", "settle", "take_floats"]

KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)

TARGETS = ("cpu", "tensorrt", "cuda")
"""`"cpu"`: unsigned inputs, and weights that are safe from saturation; `"tensorrt"`: inputs symmetric around 0, as it takes them;
`"cuda"`: linear layers alone, each row of inputs on a grid of its own, as torchao's kernels take them."""

MULTIPLE = 16
"""Kernels for CUDA devices multiply whole numbers and 8-bit floats where inputs and outputs are a multiple of this."""


def quantizable(net: nn.Module, target: str = "cpu") -> list[str]:
    """Names of the layers that can be quantized: convolutions and linear layers with weights of their own, but those inside torch's own
    attention, which reads their weights past their `forward`; for `"cuda"` linear layers that its kernels take."""
    inside = {id(part) for m in net.modules() if isinstance(m, nn.MultiheadAttention) for part in m.modules()}
    layers = ((name, m) for name, m in net.named_modules() if isinstance(m, KINDS) and id(m) not in inside)
    owned = [(name, m) for name, m in layers if m._parameters.get("weight") is not None]
    return [name for name, m in owned if target != "cuda" or _fits_cuda(m)]


def prepare(
    net: nn.Module,
    *,
    bits: int = 8,
    target: str = "cpu",
    inputs: str | None = None,
    ignore: Collection[str] | None = (),
    only: Collection[str] | None = None,
) -> list[str]:
    """Let the layers of a network compute as if quantized, in place; a prepared network stays as it is.

    Args:
        net: the network.
        bits: bits of a weight, 2 to 8; inputs have 8.
        target: `"cpu"`, `"tensorrt"` or `"cuda"`, see `TARGETS`.
        inputs: `"range"`, `"dynamic"`, `"float"` or `"fp8"`, see `fastgpu.compress.input_range.INPUTS`; None: `"range"`, and `"dynamic"`
            for `"cuda"`.
        ignore: names of layers, or of parts of the network, that stay as they are.
        only: names of the layers to quantize; None: all that can be.

    Returns:
        Names of the quantized layers.

    Raises:
        ArgumentError: bits out of range, inputs that the target does not take, or the network is quantized in another way.
        UnknownNameError: there is no such target or way of inputs; `ignore` names no part of the network.
        ModelError: there is no layer to quantize.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> prepare(net, ignore=["2"])
        ['0']
        >>> _ = net(torch.randn(8, 4))
        >>> sorted(set(net.state_dict()) - {"0.weight", "0.bias", "2.weight", "2.bias"})
        ['0.input_range.batches', '0.input_range.high', '0.input_range.low', '0.weight_grid']
    """
    grid = _grid(bits, target, inputs)
    present = quantized_layers(net)
    for layer in present.values():
        has: Any = layer.weight_grid.tolist()  # type: ignore[operator, union-attr]
        if has != grid:
            has, came = (f"{b} bits for {TARGETS[t]} with inputs {INPUTS[i]!r}" for b, t, i in (has, grid))
            raise ArgumentError(f"The network is quantized with {has}. {came} came. Call finalize(network) first.")
    if not present or only is not None:
        wanted = match_layers(net, quantizable(net, target) if only is None else only, ignore)
        if not wanted:
            kinds = f"linear layers with a multiple of {MULTIPLE} inputs and outputs" if target == "cuda" else "convolutions or linear layers"
            raise ModelError(f"Quantization needs {kinds}. The network has none that may be quantized. Check ignore=.")
        for name in wanted:
            if name not in present:
                _quantize(net.get_submodule(name), grid)
    return list(quantized_layers(net))


def _grid(bits: int, target: str, inputs: str | None) -> list[int]:
    """What a layer keeps of how it is quantized: its bits, and the places of its target and of its way of inputs among all."""
    if not isinstance(bits, int) or not 2 <= bits <= 8:
        raise ArgumentError(f"bits is a whole number, 2 to 8. {bits!r} came. 8 is what processors compute with.")
    if target not in TARGETS:
        raise UnknownNameError("target", str(target), TARGETS)
    inputs = ("dynamic" if target == "cuda" else "range") if inputs is None else inputs
    if inputs not in INPUTS:
        raise UnknownNameError("way of inputs", str(inputs), INPUTS)
    if target == "cuda" and (inputs == "range" or bits != 8):
        raise ArgumentError(f"For cuda, layers have 8 bits and ranges of each batch. {bits} bits with inputs {inputs!r} came. Leave both out.")
    if target != "cuda" and inputs == "fp8":
        raise ArgumentError(f"8-bit floats are numbers of CUDA devices. target={target!r} came with them. Give target='cuda'.")
    return [bits, TARGETS.index(target), INPUTS.index(inputs)]


def take_floats(net: nn.Module) -> None:
    """Let the layers of a prepared network take their inputs as they are: what a file computes that only stores whole numbers."""
    for layer in quantized_layers(net).values():
        bits, target, _ = layer.weight_grid.tolist()  # type: ignore[operator, union-attr]
        layer.weight_grid.copy_(torch.tensor([bits, target, INPUTS.index("float")]))  # type: ignore[operator, union-attr]
        layer.inputs = layer.input_range.inputs = "float"  # type: ignore[assignment, union-attr]


def match_layers(net: nn.Module, layers: Iterable[str], ignore: Collection[str] | None) -> list[str]:
    """The layers that `ignore` does not name, by themselves or by a part of the network that they are in."""
    ignored = check_ignored(net, ignore)
    return [name for name in layers if not any(name == each or name.startswith(each + ".") for each in ignored)]


def quantized_layers(net: nn.Module) -> dict[str, nn.Module]:
    """Name -> layer that computes as if quantized; `input_range` is the range of its inputs."""
    return {name: m for name, m in net.named_modules() if isinstance(getattr(m, "input_range", None), InputRange)}


def settle(net: nn.Module, *, observing: bool, simulating: bool) -> None:
    """Set for all quantized layers whether batches widen their ranges, and whether they round."""
    for layer in quantized_layers(net).values():
        layer.input_range.settle(observing=observing, simulating=simulating)  # type: ignore[union-attr, operator]
        layer.rounds_weights = simulating  # type: ignore[assignment]


def calibrate(net: nn.Module, run: Callable[[], Any]) -> None:
    """Take the ranges of a prepared network's inputs from trained weights, without training: the widest that were seen.

    Args:
        net: the prepared network; ranges that it has are forgotten.
        run: calls the network on items like those of training, some hundred of them.

    Raises:
        DataError: the layers got nothing but zeros, or the network was not called.
    """
    ranges: Any = [layer.input_range for layer in quantized_layers(net).values()]
    for each in ranges:
        each.widest = True
        for buffer in (each.low, each.high, each.batches):
            buffer.zero_()
    settle(net, observing=True, simulating=False)
    try:
        run()
    finally:
        settle(net, observing=False, simulating=True)
        for each in ranges:
            each.widest = False
    if not any(float(each.high - each.low) > 0 for each in ranges):
        raise DataError("Calibration needs items that differ. Nothing but zeros reached the layers. Give data like those of training.")


def input_ranges(net: nn.Module) -> dict[str, tuple[float, float]]:
    """Layer's name -> least and largest input, of the layers that have seen any."""
    ranges = {name: layer.input_range for name, layer in quantized_layers(net).items()}
    return {name: (float(r.low), float(r.high)) for name, r in ranges.items() if int(r.batches) > 0}  # type: ignore[union-attr, arg-type]


def finalize(net: nn.Module, *, snap: bool = True) -> nn.Module:
    """Make a prepared network an ordinary one again, in place; returns it.

    Args:
        net: the network.
        snap: put the weights onto their grid, as the simulation rounded them; else they stay as they were trained.
    """
    for layer in quantized_layers(net).values():
        if snap:
            with torch.no_grad():
                layer._parameters["weight"].copy_(layer.weight)  # type: ignore[union-attr]
        del layer.input_range, layer.weight_grid
        layer.__dict__["_forward_pre_hooks"] = type(layer._forward_pre_hooks)(
            (key, hook) for key, hook in layer._forward_pre_hooks.items() if hook is not _round_input
        )
        for name in ("rounds_weights", "bits", "target", "inputs"):
            layer.__dict__.pop(name, None)
        layer.__class__ = type(layer).__mro__[1]
    return net


def _fits_cuda(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and layer.in_features % MULTIPLE == 0 and layer.out_features % MULTIPLE == 0


def _quantize(layer: Any, grid: list[int]) -> None:
    target, inputs = TARGETS[grid[1]], INPUTS[grid[2]]
    seen = InputRange(symmetric=target == "tensorrt", inputs=inputs, rows=target == "cuda")
    layer.add_module("input_range", seen.to(layer.weight.device))
    layer.register_buffer("weight_grid", torch.tensor(grid, device=layer.weight.device))  # the grid's facts travel with the weights
    _come_alive(layer)


def _come_alive(layer: Any) -> None:
    # By a hook, not by a forward of its own: torch's Transformer layer reads weights past their layers unless it sees one.
    layer.register_forward_pre_hook(_round_input)
    layer.rounds_weights = True
    layer.bits, target, inputs = layer.weight_grid.tolist()
    layer.target, layer.inputs = TARGETS[target], INPUTS[inputs]
    layer.__class__ = _quantized_kind(type(layer))


def _round_input(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.input_range(inputs[0]), *inputs[1:])


@cache
def _quantized_kind(kind: type[nn.Module]) -> type[nn.Module]:
    """The subclass of a layer's class whose weight is rounded whenever it is read."""

    def weight(self: Any) -> Tensor:
        weight = self._parameters["weight"]
        if not self.rounds_weights:
            return weight
        if self.target == "cuda":
            return fp8_rows(weight) if self.inputs == "fp8" else whole_rows(weight)
        depthwise = getattr(self, "groups", 1) > 1 and weight.shape[1] == 1
        scales = weight_scales(weight, bits=self.bits, saturation_safe=self.target == "cpu", depthwise=depthwise)
        return fake_quantize_weight(weight, scales, bits=self.bits)

    def reduce(self: Any, protocol: Any) -> Any:
        return _rebuilt, (kind,), self.__dict__

    members = {"weight": property(weight), "__reduce_ex__": reduce, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(f"Quantized{kind.__name__}", (kind,), members)


def _rebuilt(kind: type[nn.Module]) -> nn.Module:
    return nn.Module.__new__(_quantized_kind(kind))
