"""The grid of whole numbers on which a quantized layer's weights lie."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["fake_quantize_weight", "pass_gradient", "weight_scales"]


def weight_scales(weight: Tensor, *, bits: int = 8, saturation_safe: bool = True, depthwise: bool = False) -> Tensor:
    """Step of the grid for each output channel: symmetric, as coarse as it must be.

    A processor with AVX2 and without VNNI multiplies unsigned inputs by signed weights in pairs and adds each pair in 16 bits
    (`vpmaddubsw`): two large neighbours of one sign overflow. So the step is also at least the largest sum of two neighbours,
    in the order of either memory layout, over 127: two whole numbers then add up to 128 at most, and 255 * 128 fits. That
    keeps most of the eighth bit, where the usual cure, 7 bits for all, gives it up.

    Args:
        weight: `(out, in, ...)` of a convolution or linear layer.
        bits: bits of a whole number, 2 to 8.
        saturation_safe: whether sums of neighbours are heeded.
        depthwise: whether each output sees one input alone; such layers do not add in pairs.

    Returns:
        `(out,)` steps above 0, in single precision; `weight / step` lies in -127 to 127 for 8 bits.

    Example:
        >>> weight_scales(torch.tensor([[1.0, 1.0, -0.5]])) * 127
        tensor([2.])
        >>> weight_scales(torch.tensor([[1.0, 1.0, -0.5]]), saturation_safe=False) * 127
        tensor([1.])
    """
    weight = weight.detach().float()
    largest = _largest(weight.flatten(1)) / (2 ** (bits - 1) - 1)
    if saturation_safe and not depthwise:
        largest = torch.maximum(largest, _largest_pair(weight.flatten(1)) / 127)
        if weight[0, 0].numel() > 1:  # channels last: the inputs of one place stand side by side
            largest = torch.maximum(largest, _largest_pair(weight.movedim(1, -1).flatten(1)) / 127)
    return largest.clamp_min(torch.finfo(torch.float32).tiny)


def _largest(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, torch.inf, 1)  # one kernel, where abs().amax() are two


def _largest_pair(rows: Tensor) -> Tensor:
    """Largest sum of two neighbours in each row; neighbours of two signs never exceed the largest weight."""
    return _largest(rows if rows.shape[1] < 2 else rows[:, 1:] + rows[:, :-1])


def fake_quantize_weight(weight: Tensor, scales: Tensor, *, bits: int = 8) -> Tensor:
    """Weights `(out, ...)` rounded to their grid; the gradient passes as if they were not (Bengio et al., 2013, arXiv 1308.3432)."""
    # Not torch.fake_quantize_per_channel_affine: it asks a GPU for the zero points twice in each call, and waits.
    most, steps = 2 ** (bits - 1) - 1, scales.view(-1, *[1] * (weight.ndim - 1))
    return pass_gradient(weight, ((weight.detach() / steps).round().clamp(-most, most) * steps).to(weight.dtype))


class _Passing(torch.autograd.Function):
    """Not `rounded + (x - x.detach())`: on a GPU that is two kernels more for each layer."""

    @staticmethod
    def forward(x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None


def pass_gradient(x: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `x`."""
    return cast(Tensor, _Passing.apply(x, rounded)) if torch.is_grad_enabled() and x.requires_grad else rounded
