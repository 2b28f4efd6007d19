"""Input kinds: how one raw item becomes tensors, a batch, and a drawing. One file a kind."""

from fastgpu.inputs.base import INPUTS, Input

__all__ = ["INPUTS", "Input"]
