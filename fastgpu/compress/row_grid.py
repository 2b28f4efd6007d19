"""Grids of rows, as torchao's kernels for CUDA devices take them: each row of a batch, or of a weight, has a step of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from fastgpu.compress.weight_grid import pass_gradient

__all__ = ["LARGEST_FP8", "fp8_rows", "whole_rows"]

LARGEST_FP8 = 448.0
"""The largest number of `torch.float8_e4m3fn`."""


def whole_rows(x: Tensor) -> Tensor:
    """Values rounded to one of 256 steps around 0, the gradient passing as if they were not.

    Args:
        x: `(..., n)`; each row along the last axis has a step of its own, its largest value over 127.5.

    Example:
        >>> whole_rows(torch.tensor([[1.0, -127.5], [0.25, 0.0]])).round(decimals=2).tolist()
        [[1.0, -128.0], [0.25, 0.0]]
    """
    step = _largest(x) / 127.5
    # Times the inverse, as torchao does: so the largest value, half way between two steps, falls to the same one.
    return pass_gradient(x, ((x.detach().float() * (1 / step)).round().clamp(-128, 127) * step).to(x.dtype))


def fp8_rows(x: Tensor) -> Tensor:
    """Values rounded to 8-bit floats (4 bits of exponent, 3 of mantissa), the gradient passing as if they were not.

    Args:
        x: `(..., n)`; each row along the last axis is scaled so that its largest value is the largest there is, 448.

    Example:
        >>> fp8_rows(torch.tensor([[448.0, 1.05, 1.07]])).tolist()
        [[448.0, 1.0, 1.125]]
    """
    step = _largest(x) / LARGEST_FP8
    rounded = (x.detach().float() / step).clamp(-LARGEST_FP8, LARGEST_FP8).to(torch.float8_e4m3fn)
    return pass_gradient(x, (rounded.float() * step).to(x.dtype))


def _largest(x: Tensor) -> Tensor:
    return x.detach().float().abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).eps)
