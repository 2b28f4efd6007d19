"""Changing the shapes of a network's layers, and the numbers in which they note them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["fit_to", "replace_tensors"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.modules.batchnorm._NormBase,)

WIDTHS = ("attn_dim", "all_head_dim", "all_head_size")
"""Attributes in which attention modules note the width of all heads together."""


def fit_to(net: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Shrink a freshly built network to the shapes of a pruned one's weights, which are not loaded.

    It needs no tracing, and not the package that found what to cut: the shapes say it all.

    Args:
        net: the network as its builder makes it; changed in place.
        state: a state dict of the same network after pruning.

    Returns:
        Names of the tensors whose shape changed; none where the shapes agreed. A tensor that would have to grow, or has
        another number of dimensions, is left as it is.

    Example:
        >>> from fastgpu.compress import prune
        >>> make = lambda: torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        >>> net, fresh = make(), make()
        >>> _ = prune(net, torch.randn(2, 4), amount=0.5)
        >>> fit_to(fresh, net.state_dict())
        ['0.weight', '0.bias', '2.weight']
        >>> _ = fresh.load_state_dict(net.state_dict())
        >>> fresh
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=3, bias=True)
        )
    """
    changed = {}
    for name, tensor in net.state_dict().items():
        wanted = state[name].shape if name in state else tensor.shape
        if wanted != tensor.shape and len(wanted) == tensor.ndim and all(a <= b for a, b in zip(wanted, tensor.shape)):
            changed[name] = torch.empty(wanted, dtype=tensor.dtype, device=tensor.device)
    replace_tensors(net, changed)
    return list(changed)


def replace_tensors(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of other shapes in the place of parameters and buffers, and note the new sizes in their modules.

    Parameters become new objects, since an optimizer or a process group may hold on to the old; tied ones stay tied.
    """
    attentions = [(module, width) for module in net.modules() if (width := _head_width(module))]
    old = dict(net.named_parameters(remove_duplicate=False))
    new = {
        id(old[name]): nn.Parameter(tensor.to(old[name].dtype), requires_grad=old[name].requires_grad)
        for name, tensor in tensors.items()
        if name in old
    }
    for prefix, module in net.named_modules():
        parameters = {key: new[id(p)] for key, p in module._parameters.items() if id(p) in new}
        buffers = {key: f"{prefix}.{key}" if prefix else key for key in module._buffers}
        buffers = {key: tensors[name] for key, name in buffers.items() if name in tensors}
        module._parameters.update(parameters)
        module._buffers.update(buffers)
        if parameters or buffers:
            _note_sizes(module)
    for module, width in attentions:
        _note_heads(module, width)


def _note_sizes(module: Any) -> None:
    """Set the numbers that a layer keeps beside its weights."""
    weight = module._parameters.get("weight")
    if isinstance(module, CONVOLUTIONS):
        first, second = weight.shape[:2]
        per = (module.in_channels if module.transposed else module.out_channels) // module.groups
        module.groups = 1 if module.groups == 1 else first // per  # whole parts of a grouped convolution are cut
        module.in_channels, module.out_channels = first, second * module.groups
        if not module.transposed:
            module.in_channels, module.out_channels = second * module.groups, first
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, NORMS):
        module.num_features = len(module.running_mean if weight is None else weight)  # type: ignore[arg-type]
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        module.embedding_dim = weight.shape[1]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(weight)


def _head_width(module: Any) -> int:
    """Values a head has in an attention module of timm's kind; 0 where it is none."""
    qkv, heads = getattr(module, "qkv", None), getattr(module, "num_heads", None)
    if isinstance(qkv, nn.Linear) and isinstance(heads, int) and heads and qkv.out_features % (3 * heads) == 0:
        return qkv.out_features // (3 * heads)
    return 0


def _note_heads(module: Any, width: int) -> None:
    heads = module.qkv.out_features // (3 * width)
    if heads == module.num_heads:
        return
    for name in WIDTHS:
        if getattr(module, name, None) == module.num_heads * width:
            setattr(module, name, heads * width)
    module.num_heads = heads
