"""Weights into a network whose form they tell: a compressed network is saved as nothing but its weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from fastgpu.compress.input_range import INPUTS
from fastgpu.compress.quantize import TARGETS, finalize, prepare, quantized_layers, settle
from fastgpu.compress.reshape import fit_to

__all__ = ["load_weights", "take_form"]

GRID = "weight_grid"


def take_form(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network the form that weights were saved in, in place: how wide its layers are, which are quantized, and how."""
    fit_to(net, weights)
    known = {name for name, _ in net.named_modules()}
    grids = {key[: -len(GRID)].rstrip("."): weights[key].tolist() for key in weights if key.split(".")[-1] == GRID}
    present = {name: layer.weight_grid.tolist() for name, layer in quantized_layers(net).items()}  # type: ignore[operator, union-attr]
    if present != grids:
        finalize(net, snap=False)
        # Weights of another network are found out by their names, by whoever loads them.
        names = [name for name in grids if name in known]
        if names:
            bits, target, inputs = grids[names[0]]
            prepare(net, bits=bits, target=TARGETS[target], inputs=INPUTS[inputs], only=names)
    settle(net, observing=False, simulating=True)


def load_weights(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a state dict into the network that it was saved from, in whatever form the network is now."""
    take_form(net, weights)
    net.load_state_dict(weights)
    settle(net, observing=False, simulating=True)
