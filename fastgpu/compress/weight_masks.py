"""Masks of single weights, which leave a network as large as it was."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.importance import check_importance, entries_of
from fastgpu.compress.masks import Masks, check_amount
from fastgpu.compress.names import check_ignored
from fastgpu.compress.recurrent import RECURRENT
from fastgpu.compress.reshape import CONVOLUTIONS
from fastgpu.errors import ArgumentError, ModelError

__all__ = ["WeightMasks"]

RECURRENT_WEIGHT = re.compile(r"weight_(ih|hh|hr)(_l\d+)?(_reverse)?")
"""Names of a recurrent layer's matrices; what weight normalisation computes them from is called otherwise."""


class WeightMasks(Masks):
    """Single weights of convolutions, linear and recurrent layers: the smallest of each layer, or two of each four.

    What is stored and computed stays as large as it was: on a CPU a network of zeros runs no faster.

    Args:
        net: the network.
        amount: share of each layer's weights that is zero in the end, 0 to 1; 0.5 for `two_of_four`.
        importance: name of the importance.
        ignore: names of modules to leave as they are.
        head: names of the modules that give the answer, which are left too, as `groups.output_layers` finds them; None: the layer
            that was registered last.
        two_of_four: zeros in the pattern of sparse kernels: two of four inputs that stand side by side
            (Mishra et al., 2021, arXiv 2104.08378).
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        amount: float = 0.5,
        importance: str = "l2",
        ignore: Any = (),
        head: tuple[str, ...] | None = None,
        two_of_four: bool = False,
    ) -> None:
        super().__init__(net)
        self.kind, self.amount, self.two_of_four = check_importance(importance), check_amount(amount), two_of_four
        if two_of_four and amount != 0.5:
            raise ArgumentError(f'method="2:4" prunes half of the weights. amount={amount!r} came. Leave amount out.')
        ignored = check_ignored(net, ignore)
        layers = {name: m for name, m in net.named_modules() if isinstance(m, (*CONVOLUTIONS, nn.Linear, *RECURRENT))}
        last = tuple(name for name, m in layers.items() if not isinstance(m, RECURRENT))[-1:] if head is None else head
        self._places: dict[str, tuple[str, str]] = {}  # name of weights -> their layer, and their name in it
        for name, module in layers.items():
            for shown, key in _weights(name, module):
                if reason := self._stays(name, module._parameters.get(key), ignored, last):
                    self.left[shown] = reason
                else:
                    self._places[shown] = name, key
        self.weights = self._found()
        if not self.weights and not any("frozen" in reason for reason in self.left.values()):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(self.left.items())[:3])
            raise ModelError(
                f"Pruning needs weights that can go. {type(net).__name__} has none ({reasons or 'no convolution or linear layer'}). "
                + ("Name fewer layers in ignore." if ignore else "Only layers between the first and the answer can lose weights.")
            )
        self.masked = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in self.weights.items()}

    def _found(self) -> dict[str, Tensor]:
        """The weights as the network has them now."""
        return {shown: self.net.get_submodule(name)._parameters[key] for shown, (name, key) in self._places.items()}  # type: ignore[misc]

    def _stays(self, name: str, weight: Tensor | None, ignored: tuple[str, ...], last: tuple[str, ...]) -> str:
        if any(name == each or name.startswith(each + ".") for each in ignored):
            return "ignore names it"
        if any(name == each or name.startswith(each + ".") for each in last):
            return "it gives the network's answer, and no later layer could mend what zeros change there"
        if weight is None:
            return "its weight is computed from others"
        if not weight.requires_grad:
            return "its weights are frozen"
        if self.two_of_four and weight.shape[1] % 4:
            return f"its {weight.shape[1]} inputs are not a multiple of 4"
        return ""

    @torch.no_grad()
    def update(self, share: float) -> None:
        if self.kind == "taylor" and not any(w.grad is not None for w in self.weights.values()):
            raise ArgumentError('importance="taylor" looks at gradients. There are none yet. Call backward first, or take "l2".')
        for name, weight in self.weights.items():
            scores, mask = entries_of(weight, self.kind), self.masked[name]
            if scores is None:
                continue
            if self.two_of_four:
                mask.copy_(_two_of_four(scores, mask, share))
                continue
            wanted = math.floor(share * self.amount * weight.numel() + 1e-9)
            if wanted > int(mask.sum()):
                scores[mask] = -1.0
                chosen = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
                chosen[scores.flatten().argsort(stable=True)[:wanted]] = True
                mask.copy_(chosen.view(mask.shape))  # whatever layout the mask itself has

    @torch.no_grad()
    def apply(self) -> None:
        for name, weight in self.weights.items():
            weight.data.masked_fill_(self.masked[name], 0)

    def finish(self) -> None:
        self.apply()

    @property
    def pending(self) -> bool:
        return any(int(mask.sum()) < math.floor(self.amount * mask.numel() + 1e-9) for mask in self.masked.values())

    def bind(self) -> None:
        self.weights = self._found()
        self.masked = {name: mask.to(self.weights[name].device) for name, mask in self.masked.items()}

    def memory(self) -> dict[str, Any]:
        return self.state()

    def follow(self, memory: Mapping[str, Any]) -> None:
        self.load(memory)

    def counts(self) -> dict[str, tuple[int, int]]:
        return {name: (int(mask.sum()), mask.numel()) for name, mask in self.masked.items()}

    def state(self) -> dict[str, Tensor]:
        return {name: mask.clone() for name, mask in self.masked.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, mask in self.masked.items():
            if name in state and state[name].shape == mask.shape:
                mask.copy_(state[name])


def _weights(name: str, layer: nn.Module) -> Iterator[tuple[str, str]]:
    """A layer's matrices: how they are called here, and in the layer; a recurrent one has several."""
    if not isinstance(layer, RECURRENT):
        yield name, "weight"
        return
    for key in layer._parameters:
        if RECURRENT_WEIGHT.fullmatch(key):
            yield f"{name}.{key}".lstrip("."), key


def _two_of_four(scores: Tensor, mask: Tensor, share: float) -> Tensor:
    """The smaller two of each four inputs, in the share of the fours that lose least."""
    fours = scores.movedim(1, -1).reshape(-1, 4)
    before = mask.movedim(1, -1).reshape(-1, 4)
    done = before.any(1)
    order = fours.argsort(dim=1, stable=True)
    chosen = torch.zeros_like(before).scatter_(1, order[:, :2], True)
    chosen[done] = before[done]
    loss = (fours * chosen).sum(1)
    loss[done] = -1.0
    count = math.floor(share * len(fours) + 1e-9)
    taken = torch.zeros(len(fours), dtype=torch.bool, device=scores.device)
    taken[loss.argsort(stable=True)[:count]] = True
    taken |= done
    moved = scores.movedim(1, -1).shape
    return (chosen & taken[:, None]).reshape(moved).movedim(-1, 1)
