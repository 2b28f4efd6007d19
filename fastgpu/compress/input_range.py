"""The range of a quantized layer's inputs: observed while training, then a grid of 256 steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgpu.compress.row_grid import fp8_rows, whole_rows
from fastgpu.compress.weight_grid import pass_gradient

__all__ = ["INPUTS", "InputRange"]

INPUTS = ("range", "dynamic", "float", "fp8")
"""How a quantized layer takes its inputs: on the grid of a range seen before, on that of each batch's own range (for CUDA devices of each
row's), as they are, or as 8-bit floats."""

MOMENTUM = 0.05
"""Weight of a new batch's least and largest value."""


class InputRange(nn.Module):
    """Watches values go by, and rounds them to the grid of their range.

    Ranges are buffers, so they are saved, averaged and sent to other processes with the weights.

    Args:
        symmetric: grid of -127 to 127 around 0, as TensorRT takes it; otherwise 0 to 255 from `low` to `high`.
        inputs: one of `INPUTS`; only the first observes.
        rows: whether each row of a batch has a dynamic grid of its own, `fastgpu.compress.row_grid`.

    Attributes:
        observing: whether batches widen the range.
        simulating: whether values are rounded.
        widest: whether the range takes in all that it sees; else it follows, as weights change while training.

    Example:
        >>> seen = InputRange()
        >>> seen(torch.tensor([0.0, 0.1, 25.5])).tolist() == [0.0, torch.tensor(0.1).item(), 25.5]
        True
        >>> seen.settle(observing=False, simulating=True)
        >>> [round(v, 3) for v in seen(torch.tensor([0.26, 99.0])).tolist()]
        [0.3, 25.5]
    """

    low: Tensor
    high: Tensor
    batches: Tensor

    def __init__(self, *, symmetric: bool = False, inputs: str = "range", rows: bool = False) -> None:
        super().__init__()
        self.symmetric, self.inputs, self.rows = symmetric, inputs, rows
        self.observing, self.simulating, self.widest = True, True, False
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.inputs == "range" and self.observing:
            self._observe(x)
        if self.inputs == "float" or not self.simulating:
            return x
        if self.inputs == "fp8" or self.rows:
            return fp8_rows(x) if self.inputs == "fp8" else whole_rows(x)
        return self._rounded(x, *(_extent(x) if self.inputs == "dynamic" else (self.low, self.high)))

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        low, high = (value.to(self.low.dtype) for value in _extent(x))
        if self.widest:
            low, high = torch.minimum(low, self.low), torch.maximum(high, self.high)
        # The first batch is copied, without asking the device which it is.
        share = 1.0 if self.widest else (self.batches == 0).to(low.dtype).clamp_min(MOMENTUM)
        self.low.lerp_(low, share)
        self.high.lerp_(high, share)
        self.batches += 1

    def _rounded(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        step, zero = self._grid(low, high)
        least, most = (-127, 127) if self.symmetric else (0, 255)
        if torch.compiler.is_compiling():  # torch's own cannot be compiled with steps in tensors: each layer would be a graph by itself
            return _fake_quantize(x, step, zero, least, most)
        return torch.fake_quantize_per_tensor_affine(x, step, zero, least, most)

    def settle(self, *, observing: bool, simulating: bool) -> None:
        """Set what happens to batches; what was never called, and is not to observe, has no grid and lets all pass."""
        ready = self.inputs != "range" or observing or bool(self.batches > 0)
        self.observing, self.simulating = observing, simulating and ready

    def _grid(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Step, in single precision, and number of 0 on the grid, int32."""
        low, high = low.float(), high.float()
        tiny = torch.finfo(torch.float32).eps
        if self.symmetric:
            return (torch.maximum(high, -low) / 127).clamp_min(tiny), torch.zeros_like(low, dtype=torch.int32)
        step = ((high - low) / 255).clamp_min(tiny)
        return step, (-low / step).round().to(torch.int32)  # 0 to 255, as 0 lies between low and high

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"{self.low.item():.3g} to {self.high.item():.3g}" if self.inputs == "range" else self.inputs


def _fake_quantize(x: Tensor, step: Tensor, zero: Tensor, least: int, most: int) -> Tensor:
    """What `torch.fake_quantize_per_tensor_affine` computes, to the bit, in operations that compiling makes one of."""
    whole = (x.detach().float() * (1 / step)).round() + zero
    kept = whole.clamp(least, most)
    rounded = ((kept - zero) * step).to(x.dtype)
    return torch.where(whole == kept, pass_gradient(x, rounded), rounded)  # no gradient where the range ends


def _extent(x: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value, in single precision; 0 is always between them: padding is made of it."""
    low, high = (value.float() for value in torch.aminmax(x.detach()))
    return low.clamp_max(0.0), high.clamp_min(0.0)
