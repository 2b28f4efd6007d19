"""Silencing units of groups, and cutting them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from fastgpu.compress.reshape import replace_tensors
from fastgpu.compress.structure import Group

__all__ = ["cut", "silence", "silent_rows"]


def silent_rows(groups: Iterable[Group], masked: Mapping[str, Tensor]) -> list[tuple[str, int, Tensor]]:
    """Which positions of which tensors are zero while units are masked.

    Args:
        groups: the groups.
        masked: group's name -> `(units,)` bool, True for a unit that is masked.

    Returns:
        Tensor's name, dimension, and positions.
    """
    found = []
    for group in groups:
        mask = masked[group.name]
        if bool(mask.any()):
            found += [(p.tensor, p.dim, _owned(p.owner, mask).nonzero()[:, 0]) for p in group.parts if p.makes]
    return found


@torch.no_grad()
def silence(tensors: Mapping[str, Tensor], rows: Iterable[tuple[str, int, Tensor]]) -> None:
    """Set these positions to zero, in place.

    Args:
        tensors: the network's parameters and buffers by name.
        rows: what `silent_rows` gave.
    """
    for name, dim, positions in rows:
        tensor = tensors[name]
        tensor.data.index_fill_(dim, positions.to(tensor.device), 0)


@torch.no_grad()
def cut(net: nn.Module, groups: Iterable[Group], masked: Mapping[str, Tensor]) -> None:
    """Take the masked units out of the network, whose layers become smaller.

    Where units are silent before, the network computes what it did.
    """
    kept: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        for part in group.parts:
            keep = ~_owned(part.owner, masked[group.name])
            key = (part.tensor, part.dim)
            kept[key] = kept[key] & keep if key in kept else keep
    state = dict(net.state_dict(keep_vars=True))
    smaller: dict[str, Tensor] = {}
    for (name, dim), keep in kept.items():
        if not bool(keep.all()):
            tensor = smaller[name] if name in smaller else state[name].detach()
            smaller[name] = tensor.index_select(dim, keep.nonzero()[:, 0].to(tensor.device))
    replace_tensors(net, smaller)


def _owned(owner: Tensor, mask: Tensor) -> Tensor:
    """`(size,)` bool: positions whose unit is masked."""
    return torch.cat([mask, torch.zeros(1, dtype=torch.bool)])[owner]  # an owner of -1 finds the False at the end
