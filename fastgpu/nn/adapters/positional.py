"""The adapter of plain networks: timm's, the zoo's own, the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fastgpu.errors import ModelError
from fastgpu.nn.adapters.base import ADAPTERS, Adapter

__all__ = ["Positional"]


@ADAPTERS.register("positional")
class Positional(Adapter):
    """Calls a plain network with the parts of a batch in order; its output becomes `{"logits": ...}`.

    Keys that a batch lacks are left out.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return True

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
