"""The adapter between a plain network and the model contract `model(x: dict, y) -> dict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fastgpu.errors import ModelError

__all__ = ["Positional"]


class Positional(nn.Module):
    """Calls a plain network with the parts of a batch in order; its output becomes `{"logits": ...}`.

    Args:
        net: any module: the zoo's, timm's, the user's.
        keys: keys of the batch's `x` in the order of the network's arguments; those that a batch lacks are left out.
    """

    def __init__(self, net: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.keys = keys

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        out = self.net(*[x[key] for key in self.keys if key in x])
        if isinstance(out, Tensor):
            return {"logits": out}
        if isinstance(out, Mapping):
            return dict(out)
        logits = getattr(out, "logits", out[0] if isinstance(out, (tuple, list)) and out else None)
        if not isinstance(logits, Tensor):
            raise ModelError(
                f"A network must return a tensor, a dict with 'logits' or an object with .logits. {type(out).__name__} came."
            )
        return {"logits": logits}
