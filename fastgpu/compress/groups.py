"""Which parts of a network can be cut without changing what the rest computes, proved on a copy."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.cutting import cut, silence, silent_rows
from fastgpu.compress.heads import attention_layers, head_groups
from fastgpu.compress.names import check_ignored
from fastgpu.compress.reshape import CONVOLUTIONS
from fastgpu.compress.structure import Example, Group, as_example, outputs_of, trial_copy
from fastgpu.compress.tracing import channel_groups
from fastgpu.errors import ModelError

__all__ = ["Found", "find_groups", "output_layers"]

AGREES = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Type of the copy -> largest difference of masked and cut outputs, as a share of the largest output."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What can be cut.

    Args:
        groups: groups that were proved.
        left: layer -> why its channels stay.
    """

    groups: tuple[Group, ...]
    left: dict[str, str]


def find_groups(net: nn.Module, example_inputs: Any, *, ignore: Any = ()) -> Found:
    """Groups of channels and attention heads that can be cut while all else computes what it did.

    torch-pruning proposes; each proposal is proved on a copy with random weights: half of a group's units are set to
    zero in one, cut from the other, and the outputs must agree. What mixes channels (layer normalisation) fails that,
    as do operations that are not followed rightly, so it is left alone, with the reason.

    Args:
        net: the network; not changed.
        example_inputs: what it is called with: a tensor, a tuple of arguments, or a dict by name; two items are enough.
        ignore: names of modules whose own channels stay, those inside them too.

    Raises:
        UnknownNameError: `ignore` names a module that is not there.
        ModelError: the network does not take the example, or its operations cannot be followed.
    """
    ignored, example = check_ignored(net, ignore), as_example(example_inputs)
    with _undisturbed():
        trial = _trial(net, example)
        groups, left = channel_groups(trial, example)
        inside = {name: f"{name}.qkv" if name else "qkv" for name, _ in attention_layers(trial)}
        groups = [group for group in groups if group.name not in inside.values()]
        left = {name: reason for name, reason in left.items() if name not in inside.values()}
        groups += head_groups(trial)
        for group in groups:
            if group.units < 2:
                left[group.name] = "it has one unit"
            elif held := _held(net, group, ignored):
                left[group.name] = held
        proved, refused = _prove(trial, example, [g for g in groups if g.name not in left])
    return Found(tuple(proved), left | refused)


def output_layers(net: nn.Module, example_inputs: Any) -> tuple[str, ...] | None:
    """Names of the convolutions and linear layers that give the answer: the first that are met on the way back from it.

    Args:
        net: the network; not changed.
        example_inputs: as for `find_groups`.

    Returns:
        Their names, in the order of the modules; None where a copy does not run on the example, or none is met.
    """
    example = as_example(example_inputs)
    with _undisturbed():
        try:
            trial = _trial(net, example)
        except ModelError:
            return None
        makers: dict[Any, tuple[str, nn.Module]] = {}  # what an output came from -> the layer
        for name, module in trial.named_modules():
            if not any(True for _ in module.children()) and any(each.ndim > 1 for each in module.parameters()):
                module.register_forward_hook(partial(_note, makers, name))
        left = [out.grad_fn for out in example.call(trial)]
        seen, found = set(), set()
        while left:
            node = left.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            name, module = makers.get(node, ("", None))
            if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                found.add(name)
            elif module is None:  # else a layer of another kind gives the answer itself
                left += [each for each, _ in node.next_functions]
        return tuple(name for name, _ in trial.named_modules() if name in found) or None


def _note(makers: dict[Any, tuple[str, nn.Module]], name: str, module: nn.Module, _: Any, out: Any) -> None:
    for each in outputs_of(out):
        if each.grad_fn is not None:
            makers.setdefault(each.grad_fn, (name, module))


def _held(net: nn.Module, group: Group, ignored: Sequence[str]) -> str:
    """Why the user's own wish keeps a group, empty where it does not."""
    parameters = dict(net.named_parameters(remove_duplicate=False))
    for part in group.parts:
        if not part.makes:
            continue
        module = part.tensor.rpartition(".")[0]
        for name in ignored:
            if module == name or module.startswith(name + "."):
                return f"ignore names {name}"
        if part.tensor in parameters and not parameters[part.tensor].requires_grad:
            own = module == group.name or module.startswith(group.name + ".")
            return "its weights are frozen" if own else f"{module}, which hangs together with it, is frozen"
    return ""


def _trial(net: nn.Module, example: Example) -> nn.Module:
    """A copy in double precision, or in single where a layer does not take that."""
    failed = None
    for dtype in AGREES:
        trial = trial_copy(net, dtype)
        try:
            with torch.enable_grad():
                example.call(trial)
            return trial
        except Exception as error:  # whatever a network raises
            failed = error
    reason = f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0].rstrip('.')}"
    raise ModelError(
        f"Pruning channels runs a copy of the network on an example. {type(net).__name__} failed: {reason}. Check example_inputs."
    ) from failed


def _prove(trial: nn.Module, example: Example, groups: list[Group]) -> tuple[list[Group], dict[str, str]]:
    """Groups that keep their promise; where they do not all at once, each half is tried by itself."""
    if not groups:
        return [], {}
    if _agree(trial, example, groups):
        return groups, {}
    if len(groups) == 1:
        return [], {groups[0].name: "masked and cut do not agree: an operation after it mixes channels, or was not followed"}
    middle = len(groups) // 2
    first, refused_first = _prove(trial, example, groups[:middle])
    second, refused_second = _prove(trial, example, groups[middle:])
    return first + second, refused_first | refused_second


def _agree(trial: nn.Module, example: Example, groups: list[Group]) -> bool:
    generator = torch.Generator().manual_seed(1)
    masked = {}
    for group in groups:
        mask = torch.zeros(group.units, dtype=torch.bool)
        mask[torch.randperm(group.units, generator=generator)[: group.units // 2]] = True
        masked[group.name] = mask
    subject = copy.deepcopy(trial)
    try:
        silence(dict(subject.state_dict(keep_vars=True)), silent_rows(groups, masked))
        before = _outputs(subject, example)
        cut(subject, groups, masked)
        after = _outputs(subject, example)
    except Exception:  # a layer of the wrong size fails in its own way
        return False
    limit = AGREES[next(p.dtype for p in trial.parameters() if p.is_floating_point())]
    return len(before) == len(after) and all(_close(a, b, limit) for a, b in zip(before, after))


def _outputs(net: nn.Module, example: Example) -> list[Tensor]:
    # With gradients: without them torch's encoder layers take another way, with a kernel of their own.
    torch.manual_seed(0)
    with torch.enable_grad():
        return [out.detach() for out in example.call(net)]


def _close(a: Tensor, b: Tensor, limit: float) -> bool:
    if a.shape != b.shape:
        return False
    return a.numel() == 0 or bool((a - b).abs().max() <= limit * b.abs().max().clamp_min(1e-30))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Neither the caller's generators nor its mixed precision meet the trial."""
    kinds = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
        if len(kinds) > 1:
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                yield
        else:
            with torch.autocast("cpu", enabled=False):
                yield
