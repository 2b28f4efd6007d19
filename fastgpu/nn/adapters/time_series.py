"""The adapter of transformers' networks that classify time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fastgpu.errors import ModelError
from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library

__all__ = ["TimeSeries"]


@ADAPTERS.register("time_series")
class TimeSeries(Adapter):
    """Calls a PatchTST or PatchTSMixer with `past_values`; what it names `prediction_...` becomes `"logits"`.

    Targets stay with the task: the library's own loss would only do for classes.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "transformers.models.patchtst", "transformers.models.patchtsmixer")

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        out = self.net(past_values=x["series"])
        for name in ("prediction_logits", "prediction_outputs"):
            if isinstance(getattr(out, name, None), Tensor):
                return {"logits": out[name]}
        raise ModelError(
            f"Of these networks those for classification give (items, outputs). {type(self.net).__name__} came. "
            "Give PatchTSTForClassification or PatchTSMixerForTimeSeriesClassification, for numbers too."
        )
