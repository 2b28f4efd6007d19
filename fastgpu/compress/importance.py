"""How much each unit of a group matters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fastgpu.compress.structure import Group
from fastgpu.errors import UnknownNameError

__all__ = ["IMPORTANCES", "check_importance", "importance"]

IMPORTANCES = ("l1", "l2", "taylor")
"""`"l1"` and `"l2"`: size of the weights that make and read a unit (Li et al., 2017, arXiv 1608.08710; over whole
groups as in Fang et al., 2023, arXiv 2301.12900). `"taylor"`: weight times gradient, the change of the loss to first
order (Molchanov et al., 2019, arXiv 1906.10771)."""


def check_importance(name: object) -> str:
    """A name of `IMPORTANCES`.

    Raises:
        UnknownNameError: it is none.
    """
    if not isinstance(name, str) or name not in IMPORTANCES:
        raise UnknownNameError("importance", name, IMPORTANCES)
    return name


@torch.no_grad()
def importance(group: Group, tensors: Mapping[str, Tensor], kind: str) -> Tensor:
    """`(units,)` float32 on the CPU: how much each unit matters, comparable within the group.

    Each tensor of the group counts alike, whatever its size: the sum over a unit's entries is divided by the mean over
    the units.

    Args:
        group: the group.
        tensors: the network's parameters by name; their `.grad` is read for `"taylor"`.
        kind: a name of `IMPORTANCES`.
    """
    total = torch.zeros(group.units, dtype=torch.float32)
    for part in group.parts:
        tensor = tensors.get(part.tensor)
        if tensor is None or part.tensor.endswith("bias") or not tensor.is_floating_point():
            continue
        entries = entries_of(tensor, kind)
        if entries is None:
            continue
        along = entries.movedim(part.dim, 0).flatten(1) if entries.ndim > 1 else entries[:, None]
        owned = part.owner >= 0
        scores = torch.zeros_like(total).index_add_(0, part.owner[owned], along.sum(1).cpu()[owned])
        if float(scores.mean()) > 0:
            total += scores / scores.mean()
    return total


def entries_of(tensor: Tensor, kind: str) -> Tensor | None:
    """Importance of each entry of a tensor; None where there is no gradient to tell it."""
    value = tensor.detach().float()
    if kind == "taylor":
        return None if tensor.grad is None else (value * tensor.grad.detach().float()).abs()
    return value.abs() if kind == "l1" else value.square()
