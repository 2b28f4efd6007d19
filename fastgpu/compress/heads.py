"""Groups of attention heads, known by the attributes of the module: a trace does not show where a head ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.structure import Group, Part

__all__ = ["attention_layers", "head_groups"]


def attention_layers(net: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attention modules of timm's kind: `qkv` and `proj` are linear, `num_heads` says how many heads there are."""
    for name, module in net.named_modules():
        qkv, proj, heads = (getattr(module, key, None) for key in ("qkv", "proj", "num_heads"))
        if isinstance(qkv, nn.Linear) and isinstance(proj, nn.Linear) and isinstance(heads, int):
            if qkv.out_features == 3 * proj.in_features and proj.in_features % heads == 0:
                yield name, module


def head_groups(net: nn.Module) -> Iterator[Group]:
    """One group an attention module: a head owns its rows of `qkv`, its columns of `proj`, its column of a bias table."""
    for name, module in attention_layers(net):
        heads, prefix = module.num_heads, f"{name}." if name else ""
        width = module.proj.in_features // heads
        one = torch.arange(heads).repeat_interleave(width)  # the head of each channel
        found = [_rows(f"{prefix}qkv.weight", one.repeat(3)), Part(f"{prefix}proj.weight", 1, one, False)]
        if module.qkv.bias is not None:
            found.append(_rows(f"{prefix}qkv.bias", one.repeat(3)))
        for key in ("q_bias", "k_bias", "v_bias"):
            if isinstance(getattr(module, key, None), Tensor) and getattr(module, key).numel() == len(one):
                found.append(_rows(f"{prefix}{key}", one))
        if isinstance(gate := getattr(module, "gate", None), nn.Linear):
            found += [_rows(f"{prefix}gate.{key}", one) for key, value in gate.named_parameters() if len(value) == len(one)]
        table = getattr(module, "relative_position_bias_table", None)
        if isinstance(table, Tensor) and table.ndim == 2 and table.shape[1] == heads:
            found.append(Part(f"{prefix}relative_position_bias_table", 1, torch.arange(heads), True))
        known = dict(net.state_dict(keep_vars=True))
        yield Group(name or "attention", "heads", heads, width, tuple(p for p in found if p.tensor in known))


def _rows(tensor: str, owner: Tensor) -> Part:
    return Part(tensor, 0, owner, True)
