"""Groups of channels, found by torch-pruning's dependency graph (Fang et al., 2023, "DepGraph", arXiv 2301.12900)."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.recurrent import RECURRENT, AsOne, recurrent_layers, traced_as_one
from fastgpu.compress.reshape import CONVOLUTIONS, NORMS
from fastgpu.compress.structure import Example, Group, Part
from fastgpu.errors import ModelError
from fastgpu.optional import require

__all__ = ["channel_groups"]


@dataclasses.dataclass
class _Raw:
    """What torch-pruning found to hang together, channel by channel of the first layer."""

    name: str
    channels: int
    parts: dict[tuple[str, int], tuple[Tensor, bool]] = dataclasses.field(default_factory=dict)
    same: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # channels that stand for one another
    grouped: dict[tuple[str, str], list[list[int]]] = dataclasses.field(default_factory=dict)  # side of a grouped convolution -> its parts
    reason: str = ""


def channel_groups(net: nn.Module, example: Example) -> tuple[list[Group], dict[str, str]]:
    """Groups of channels of a trial copy, in the order of its modules.

    Args:
        net: the copy; every parameter requires a gradient.
        example: how it is called.

    Returns:
        The groups, and layer -> why its channels cannot be cut.

    Raises:
        ModelError: the network's operations could not be followed.
        MissingPackageError: torch-pruning is not installed.
    """
    tp = require("torch_pruning", need="Structured pruning")
    ends: set[Any] = set()

    def forward(module: nn.Module, given: Example) -> list[Tensor]:
        found = [t for t in given.call(module) if t.requires_grad]
        ends.update(t.grad_fn for t in found)
        return found

    makers: dict[Any, str] = {}  # what a layer's output came from -> the layer
    names = {module: name for name, module in net.named_modules()}

    def note(module: nn.Module, _: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.grad_fn is not None:
            makers.setdefault(out.grad_fn, names[module])

    hooks = [m.register_forward_hook(note) for m in net.modules() if not any(True for _ in m.children())]
    recurrent = recurrent_layers(net)
    whole = {type(layer): AsOne() for layer in recurrent.values()}
    try:
        with warnings.catch_warnings(), torch.enable_grad(), traced_as_one(net):
            warnings.simplefilter("ignore")
            graph = tp.DependencyGraph().build_dependency(net, example, forward_fn=forward, customized_pruners=whole, verbose=False)
            found = list(graph.get_all_groups(root_module_types=[*CONVOLUTIONS, nn.Linear, nn.Embedding]))
    except Exception as error:  # of many kinds: it follows what autograd noted, by names of operations
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ModelError(
            f"Pruning channels follows the network's operations. In {type(net).__name__} it could not: {reason}. "
            'Prune a part of it alone, or take method="unstructured".'
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not ends:
        raise ModelError(
            f"Pruning channels follows the network's operations back from what it gives. {type(net).__name__} gives nothing that depends "
            'on its weights by a gradient. Prune a part of it alone, or take method="unstructured".'
        )
    tensors = {id(t): name for name, t in net.state_dict(keep_vars=True).items()}
    raws = [_raw(graph, group, names, tensors) for group in found]
    last = {makers[end] for end in ends if end in makers}
    for raw in raws:
        if raw.name in last or any(name.rpartition(".")[0] in last and dim == 0 and makes for (name, dim), (_, makes) in raw.parts.items()):
            raw.reason = "its outputs are the network's answer"
    order = list(names.values())
    groups, left = _joined(sorted((raw for raw in raws if raw.name), key=lambda raw: order.index(raw.name)))
    return groups, {name: f"{type(layer).__name__} layers are left whole" for name, layer in recurrent.items()} | left


def _raw(graph: Any, group: Any, names: dict[Any, str], tensors: dict[int, str]) -> _Raw:
    root = group[0].dep.target.module
    raw = _Raw(names.get(root, ""), graph.get_out_channels(root))
    for item in group:
        module, out = item.dep.target.module, graph.is_out_channel_pruning_fn(item.dep.handler)
        roots = torch.as_tensor(item.root_idxs)
        positions = torch.as_tensor(item.idxs)
        if not len(positions):
            continue
        if isinstance(module, nn.Parameter):
            _own(raw, tensors.get(id(module)), item.dep.target.pruning_dim, positions, roots, True, module)
        elif isinstance(module, CONVOLUTIONS) and 1 < module.groups and not _depthwise(module):
            side = module.out_channels if out else module.in_channels
            raw.grouped[names[module], "out" if out else "in"] = _sides(positions, roots, side, module.groups)
            if out:
                for key in ("weight", "bias"):
                    _own_key(raw, module, key, 0, positions, roots, True, tensors)
        elif isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            first = not (isinstance(module, CONVOLUTIONS) and module.transposed and not _depthwise(module))
            makes = out or _depthwise(module)
            _own_key(raw, module, "weight", int(makes != first) if not _depthwise(module) else 0, positions, roots, makes, tensors)
            if makes:
                _own_key(raw, module, "bias", 0, positions, roots, True, tensors)
        elif isinstance(module, NORMS):
            for key in ("weight", "bias"):
                _own_key(raw, module, key, 0, positions, roots, True, tensors)
            for key in ("running_mean", "running_var"):
                _own_key(raw, module, key, 0, positions, roots, False, tensors)
        elif isinstance(module, nn.Embedding):
            _own_key(raw, module, "weight", 1, positions, roots, True, tensors)
        elif isinstance(module, nn.PReLU):
            if module.num_parameters > 1:
                _own_key(raw, module, "weight", 0, positions, roots, False, tensors)
        elif isinstance(module, RECURRENT):
            raw.reason = raw.reason or f"{type(module).__name__} ({names[module]}) is tied to it and left whole"
        elif module in names:  # LayerNorm, GroupNorm, torch's own attention
            raw.reason = raw.reason or f"{type(module).__name__} ({names[module]}) mixes its channels"
    return raw


def _depthwise(module: Any) -> bool:
    return isinstance(module, CONVOLUTIONS) and module.groups == module.out_channels == module.in_channels > 1


def _sides(positions: Tensor, roots: Tensor, size: int, groups: int) -> list[list[int]]:
    """First-layer channels of each part of a grouped convolution."""
    part = positions // (size // groups)
    return [roots[part == i].tolist() for i in range(groups)]


def _own_key(raw: _Raw, module: Any, key: str, dim: int, positions: Tensor, roots: Tensor, makes: bool, tensors: dict[int, str]) -> None:
    value = module._parameters.get(key, module._buffers.get(key))
    if value is not None:
        _own(raw, tensors.get(id(value)), dim, positions, roots, makes, value)
    elif key == "weight" and not isinstance(module, NORMS):
        raw.reason = raw.reason or f"the weight of {type(module).__name__} is computed from others"


def _own(raw: _Raw, tensor: str | None, dim: int, positions: Tensor, roots: Tensor, makes: bool, value: Tensor) -> None:
    if tensor is None or dim is None or int(positions.max()) >= value.shape[dim]:
        raw.reason = raw.reason or "a tensor in it is not of its width"
        return
    owner, made = raw.parts.get((tensor, dim), (torch.full((value.shape[dim],), -1), False))
    taken = owner[positions] >= 0
    raw.same += list(zip(owner[positions[taken]].tolist(), roots[taken].tolist()))
    owner = owner.clone()
    owner[positions[~taken]] = roots[~taken]
    raw.parts[tensor, dim] = (owner, makes or made)


def _joined(raws: list[_Raw]) -> tuple[list[Group], dict[str, str]]:
    """Groups whose units may be cut alone: what a grouped convolution ties together is one unit."""
    offsets = [0]
    for raw in raws:
        offsets.append(offsets[-1] + raw.channels)
    parents = list(range(offsets[-1]))

    def find(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    def unite(members: Iterable[int]) -> None:
        members = list(members)
        for each in members[1:]:
            parents[find(each)] = find(members[0])

    joined: dict[int, set[int]] = {i: {i} for i in range(len(raws))}
    sides: dict[str, dict[str, int]] = {}
    for i, raw in enumerate(raws):
        for a, b in raw.same:
            unite((offsets[i] + a, offsets[i] + b))
        for layer, side in raw.grouped:
            sides.setdefault(layer, {})[side] = i
    for layer, found in sides.items():
        if len(found) < 2:
            for i in found.values():
                raws[i].reason = raws[i].reason or f"the other side of the grouped convolution {layer} is not cut"
            continue
        into, out = raws[found["in"]], raws[found["out"]]
        for a, b in zip(into.grouped[layer, "in"], out.grouped[layer, "out"]):
            unite([*(offsets[found["in"]] + r for r in a), *(offsets[found["out"]] + r for r in b)])
        together = joined[found["in"]] | joined[found["out"]]
        for i in together:
            joined[i] = together
    groups, reasons, seen = [], {}, set()
    for i in range(len(raws)):
        if i in seen:
            continue
        members = sorted(joined[i])
        seen.update(members)
        reason = next((raws[j].reason for j in members if raws[j].reason), "")
        if reason:
            reasons[raws[i].name] = reason
            continue
        representatives = {find(offsets[j] + c) for j in members for c in range(raws[j].channels)}
        number = {r: n for n, r in enumerate(sorted(representatives))}
        units = [[number[find(offsets[j] + c)] for c in range(raws[j].channels)] for j in members]
        groups.append(_group([raws[j] for j in members], units, len(number)))
    return groups, reasons


def _group(raws: list[_Raw], numbers: list[list[int]], units: int) -> Group:
    """One group of what hangs together; `numbers` are the units of each raw's channels."""
    parts: dict[tuple[str, int], Part] = {}
    for raw, mine_of in zip(raws, numbers):
        table = torch.tensor([*mine_of, -1])
        for (tensor, dim), (owner, makes) in raw.parts.items():
            mine = table[owner]
            if (tensor, dim) in parts:  # both raws own some of it
                mine = torch.where(mine < 0, parts[tensor, dim].owner, mine)
                makes = makes or parts[tensor, dim].makes
            parts[tensor, dim] = Part(tensor, dim, mine, makes)
    return Group(raws[0].name, "channels", units, max(1, raws[0].channels // units), tuple(parts.values()))
