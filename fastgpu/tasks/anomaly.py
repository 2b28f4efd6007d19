"""Anomaly: learn what is normal, and score how far an item is from it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.scores import ScoreAnswers
from fastgpu.data.columns import Columns
from fastgpu.data.masks import IGNORED, encode_masks
from fastgpu.data.raw import Items
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.tasks.base import TASKS, Task
from fastgpu.tasks.labels import rows

__all__ = ["NORMAL", "Anomaly"]

NORMAL = ("good", "healthy", "no fault", "no_fault", "nominal", "none", "normal", "ok", "0", "false")
"""Labels that mean normal, in any case; every other label is an anomaly."""


@TASKS.register("anomaly")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Anomaly(ScoreAnswers, Task):
    """A score an item, higher is more anomalous, learnt from normal items alone.

    The network gives `{"score": (b,)}`, and `"map"` `(b, h, w)` where it can tell the place; what it learns from is
    `"losses"` `(b,)`, or `"loss"` where its library owns it. Its scalar buffer `threshold`, where it has one
    (`fastgpu.nn.anomaly.AnomalyNetwork`), keeps the score above which an item counts as anomalous: after each validation
    of a fit, the `quantile` of the scores of normal validation items.

    Targets are 0 for normal and anything else for anomalous (numbers of faults too), or names, of which those in `NORMAL`
    are normal; for pictures a target is `{"label": name, "mask": a mask or None}`. Items without targets count as normal.
    An automatic split takes validation items from the normal ones, and puts all anomalous ones into validation. The loss of
    a batch is the sum over its normal items divided by all items, so anomalous validation items never lower it.

    Args:
        quantile: share of normal validation items that shall score below the threshold, 0 to 1.
        size: `(height, width)` of the frame in which masks of pictures lie; None: there are none.

    Example:
        >>> task = Anomaly.fit(np.array(["ok", "ok"]))
        >>> task.encode(np.array(["ok", "scratch"]))["target"].tolist()
        [0, 1]
    """

    metric_names: ClassVar[tuple[str, ...]] = ("auroc", "threshold", "pixel_auroc", "f1", "precision", "recall")
    default_metrics: ClassVar[tuple[str, ...]] = ("auroc", "threshold")
    output: ClassVar[str] = "score"
    needs_targets: ClassVar[bool] = False
    decodes: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("quantile",)
    monitor: ClassVar[str] = "loss"

    quantile: float = 0.99
    size: tuple[int, int] | None = None

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
        quantile: float = 0.99,
    ) -> Anomaly:
        """Check that training knows normal items alone.

        Args:
            targets: `(n,)` targets of the training split.
            classes: unused.
            target: name of the target column, unused.
            input: the fitted input; pictures with masks say their frame.
            quantile: share of normal validation items below the threshold.

        Raises:
            DataError: a training item is anomalous, or has no target.
        """
        bad = _codes(targets) != 0
        if bad.any():
            raise DataError(
                f"Training learns from normal items alone. {bad.sum():,} of {len(bad):,} training items are anomalous "
                f"({rows(bad)}). Move them to validation or test; normal labels are 0 or one of: {', '.join(NORMAL)}."
            )
        size = getattr(input, "size", None) if _pictured(targets) else None
        return cls(quantile=quantile, size=size)

    @classmethod
    def input_options(cls, targets: np.ndarray) -> dict[str, Any]:
        return {"frame": "pad"} if _pictured(targets) else {}

    @classmethod
    def split(cls, items: Items, share: float, seed: int) -> tuple[Items, Items, tuple[str, ...]]:
        """Hold out a share of the normal items; anomalous ones, with all items of their group, go to validation."""
        anomalous = np.zeros(len(items), bool) if items.y is None else _codes(items.y) != 0
        if not anomalous.any():
            return super().split(items, share, seed)
        away = anomalous if items.group is None else np.isin(items.group, np.unique(items.group[anomalous]))
        normal = np.flatnonzero(~away)
        if len(normal) < 2:
            raise DataError(f"Training learns from normal items alone, at least two. {len(normal)} of {len(items):,} came. Check the labels.")
        index = Items(np.arange(len(normal)), None, None if items.group is None else items.group[normal])
        kept, held, notes = super().split(index, share, seed)
        validation = np.sort(np.concatenate([normal[held.x], np.flatnonzero(away)]))
        said = f"validation also has all {away.sum():,} items that are anomalous" + ("" if items.group is None else ", or of one run with such")
        return items.take(normal[kept.x]), items.take(validation), (*notes, said)

    @property
    def outputs(self) -> int:
        return 1

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor] | Columns:
        codes = _codes(targets)
        target = torch.from_numpy(codes)
        if self.size is None or not _pictured(targets) or all(t["mask"] is None for t in targets):
            return {"target": target}
        # Without a mask every pixel of a normal picture is normal; where an anomalous one is so, nobody knows.
        blank = np.where(codes == 0, 0, IGNORED).tolist()
        masks = [blank[i] if t["mask"] is None else t["mask"] for i, t in enumerate(targets)]
        return encode_masks(masks, self.size, also={"target": target})

    def step(self, model: nn.Module, x: dict[str, Any], y: dict[str, Any], loss: Callable[..., Tensor]) -> tuple[dict[str, Any], Tensor]:
        out = model(x, y)
        if "losses" in out:
            return out, (out["losses"] * (y["target"] == 0)).mean()
        self.check_outputs(out)
        return out, (out["loss"] if "loss" in out else loss())

    def check_outputs(self, out: Mapping[str, Any]) -> None:
        score = out.get("score")
        if not isinstance(score, Tensor) or score.ndim != 1:
            came = f"a score of shape {tuple(score.shape)}" if isinstance(score, Tensor) else f"{', '.join(out) or 'nothing'}"
            raise ModelError(f"For anomaly a network gives a dict with 'score' (items,) and 'losses' (items,). It gave {came}. Change its output.")

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        found = {"scores": out["score"].float()}
        return found if "map" not in out else {**found, "maps": out["map"].float()}

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        predictions = self.decode(model(x) if out is None else out)
        threshold = _threshold(model)
        if threshold is not None:
            predictions["thresholds"] = threshold.to(predictions["scores"].dtype).expand(predictions["scores"].shape[0])
        return dict(self.complete(predictions, x))

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        return self.predict(model, {name: value for name, value in x.items() if name != "original_size"})

    def metric(self, name: str) -> Any:
        from fastgpu.tasks.anomaly_metrics import Alarms, AreaUnderCurve, Threshold

        made = {
            "auroc": AreaUnderCurve,
            "pixel_auroc": AreaUnderCurve,
            "threshold": lambda: Threshold(self.quantile),
            **{kind: functools.partial(Alarms, kind) for kind in ("f1", "precision", "recall")},
        }
        if name not in made:
            raise UnknownNameError(f"metric of {self.name}", name, made)
        return made[name]()

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        for name, metric in metrics.items():
            if name == "pixel_auroc":
                if "maps" not in predictions:
                    raise ArgumentError("pixel_auroc compares maps with masks. The network gives no maps. Leave it out of metrics=.")
                metric.update(predictions["maps"], y.get("mask", torch.full_like(predictions["maps"], IGNORED)))
            elif name in ("f1", "precision", "recall"):
                if "thresholds" not in predictions:
                    raise ArgumentError(f"{name} needs the buffer 'threshold'. The network has none. Derive it from AnomalyNetwork.")
                metric.update((predictions["scores"] > predictions["thresholds"]).long(), y["target"])
            else:
                metric.update(predictions["scores"], y["target"])

    def settle(self, model: nn.Module, values: Mapping[str, float]) -> None:
        threshold = _threshold(model)
        if threshold is not None and "threshold" in values:
            threshold.fill_(values["threshold"])

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return {"anomalous": (y["target"] != 0).tolist()}

    def describe(self) -> str:
        return f"anomaly, threshold at the {self.quantile:g} quantile of normal scores"


def _pictured(targets: np.ndarray) -> bool:
    return targets.dtype == object and len(targets) > 0 and isinstance(targets[0], dict)


def _codes(targets: np.ndarray) -> np.ndarray:
    """Raw targets `(n,)` -> `(n,)` int64, 0 normal, 1 anomalous.

    Raises:
        DataError: a target is missing, or there are several an item.
    """
    import pandas as pd

    targets = np.asarray(targets)
    labels = np.array([t["label"] for t in targets], dtype=object) if _pictured(targets) else targets
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(f"Anomaly takes one target an item, (n,). Targets of shape {labels.shape} came. Name one column.")
    missing = np.asarray(pd.isna(labels), bool)
    if missing.any():
        raise DataError(f"Every item is normal or not. {missing.sum():,} of {len(missing):,} have no target ({rows(missing)}). Fill or drop them.")
    if labels.dtype.kind in "biuf":
        return (labels != 0).astype(np.int64)
    codes, names = pd.factorize(labels)
    return np.array([str(name).strip().lower() not in (*NORMAL, "0.0") for name in names], np.int64)[codes]


def _threshold(model: nn.Module) -> Tensor | None:
    """The network's own buffer of that name."""
    return next((buffer for name, buffer in model.named_buffers() if name.split(".")[-1] == "threshold"), None)
