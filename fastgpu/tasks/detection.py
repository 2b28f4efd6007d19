"""Detection: every picture holds any number of objects, each with a box and a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.base import short
from fastgpu.answers.boxes import BoxAnswers
from fastgpu.data.columns import Columns, JoinedColumns, ListColumns, TensorColumns
from fastgpu.data.sources.base import objects
from fastgpu.errors import DataError, ExportError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.inputs.image import frame_scale
from fastgpu.nn.adapters.detector import Detector
from fastgpu.tasks.base import TASKS, Task, owned_loss
from fastgpu.tasks.boxes import box_sizes, matched, mean_average_precision, original_boxes, padded, shown
from fastgpu.tasks.labels import renumbering, unknown_class

__all__ = ["Detection"]


@TASKS.register("detection")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection(BoxAnswers, Task):
    """Boxes with classes, in the original picture's pixels.

    A raw target is a dict a picture: `"boxes"` `(k, 4)` floats left, top, right, bottom in pixels of the picture as it came,
    `"labels"` `(k,)` class numbers, and `"size"` `(height, width)` of the picture. A batch's `y` has `"boxes"` `(b, k, 4)` in
    pixels of the frame, `"labels"` `(b, k)` with -1 where there is none, `"count"` `b` numbers of objects, and `"scale"`
    `(b,)`, what the picture was scaled by.

    The network owns its loss; its adapter is a `fastgpu.nn.adapters.detector.Detector`.

    Args:
        classes: names of the classes in the order of their numbers.
        frame: `(height, width)` of the frame that pictures are put into.
        box_sizes: side of a small and of a large box in pixels of the frame; detectors choose their levels by it.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("map", "map_50", "map_75", "mar_100")
    default_metrics: ClassVar[tuple[str, ...]] = ("map",)
    decodes: ClassVar[bool] = True
    monitor: ClassVar[str] = "map"

    box_sizes: tuple[float, float]

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Detection:
        """Learn how large boxes are.

        Args:
            targets: `(n,)` dicts, as above.
            classes: names of the classes; None: numbers up to the largest there is.
            target: unused.
            input: the fitted pictures, whose frame the boxes share.

        Raises:
            DataError: the items are no pictures, the targets no boxes, or there is not one box.
        """
        if input is None or input.kind != "image":
            came = "none" if input is None else f"{input.kind} data"
            raise DataError(f"{cls.name} needs pictures with boxes. {came} came. Give COCO, YOLO, Pascal VOC or KITTI annotations.")
        if targets.dtype != object or not all(isinstance(t, dict) and {"boxes", "labels", "size"} <= t.keys() for t in targets):
            raise DataError(
                f"The target of a picture is a dict of boxes, labels and size. {type(targets[0]).__name__} came. "
                "Give COCO, YOLO, Pascal VOC or KITTI annotations."
            )
        size: tuple[int, int] = input.size  # type: ignore[attr-defined]
        if not any(len(t["boxes"]) for t in targets):
            raise DataError(f"{cls.name} needs boxes. None of {len(targets):,} training pictures has one. Check the annotations.")
        if classes is None:
            classes = tuple(range(1 + max(int(max(t["labels"])) for t in targets if len(t["labels"]))))
        return cls(classes=tuple(classes), frame=size, box_sizes=box_sizes(list(targets), _scales(targets, size)))

    @classmethod
    def input_options(cls, targets: np.ndarray) -> dict[str, Any]:
        return {"frame": "pad"}

    def renumbered(self, targets: np.ndarray, classes: tuple[str | int, ...]) -> np.ndarray:
        table = renumbering(classes, self.classes)
        made = [{**target, "labels": table[target["labels"]]} for target in targets]
        for target, new in zip(targets, made):
            if (new["labels"] < 0).any():
                raise unknown_class(classes[target["labels"][np.argmin(new["labels"])]], self.classes)
        return objects(made)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "box_sizes": self.box_sizes}

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> Columns:
        scales = _scales(targets, self.frame)
        boxes, labels, counts = padded(list(targets), scales)
        if int(labels.max()) >= self.outputs:
            raise DataError(f"Labels are numbers of the {self.outputs} classes, from 0. {int(labels.max())} came. Check the annotations.")
        tensors = {"boxes": boxes, "labels": labels, "scale": torch.as_tensor(scales, dtype=torch.float32)}
        # The counts stay on the host: a step on an accelerator does not wait to learn them.
        return JoinedColumns(TensorColumns(tensors), ListColumns({"count": counts}))

    def step(self, model: nn.Module, x: dict[str, Any], y: dict[str, Any], loss: Callable[..., Tensor]) -> tuple[dict[str, Any], Tensor]:
        out = model(x, y)
        return out, (out["loss"] if "loss" in out else loss(out))

    def check_outputs(self, out: Mapping[str, Any]) -> None:
        """Nothing: the network that gave a loss for boxes took them."""

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        missing = [key for key in ("boxes", "labels", "scores") if key not in out]
        if missing:
            raise ModelError(f"A detector gives boxes, labels and scores, a list of one tensor a picture each. It gave no {', '.join(missing)}.")
        return dict(out)

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given: Mapping[str, Any] = model(x) if out is None else out
        detect: Any = getattr(model, "detect", None)
        found = self.decode(given if detect is None else detect(x, given))
        height, width = x["image"].shape[-2:]
        boxes = original_boxes(found["boxes"], x["original_size"], (height, width))
        kept = {k: found[k] for k in ("labels", "scores", "masks") if k in found}
        # In the frame, as an exported network does it.
        sure = [shown(b[None].float(), s[None].float())[0] for b, s in zip(found["boxes"], found["scores"])]
        return {"boxes": boxes, **kept, "shown": sure, "size": x["original_size"]}

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        if not isinstance(model, Detector):
            raise ExportError("Boxes are exported of detectors of torchvision and transformers. This one is another. Keep it with learn.save.")
        found = model.detect_in_graph(x, model(x))
        return {**found, "shown": shown(found["boxes"], found["scores"])}

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        boxes, there = predictions["boxes"] / y["scale"][:, None, None], predictions["scores"] > 0
        listed = {"boxes": boxes, **{name: predictions[name] for name in ("labels", "scores", "masks") if name in predictions}}
        self.update(metrics, {name: [v[kept] for v, kept in zip(value, there)] for name, value in listed.items()}, y)

    def aligned(self, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], ...]:
        pictures = range(len(expected["scores"]))
        pairs = [matched(*({name: value[i] for name, value in each.items()} for each in (found, expected))) for i in pictures]
        return tuple({name: np.concatenate([each[name] for each in side]) for name in side[0]} for side in zip(*pairs))

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        found = [{k: predictions[k][i] for k in ("boxes", "labels", "scores")} for i in range(len(y["count"]))]
        true = [{"boxes": boxes, "labels": labels} for boxes, labels in self._true(y)]
        for metric in metrics.values():
            metric.update(found, true)

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return {"boxes": [{"boxes": b.numpy(), "labels": [self.classes[i] for i in labels.tolist()]} for b, labels in self._true(y)]}

    def _true(self, y: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
        """Boxes in the original picture's pixels, and labels, of each picture of a batch."""
        boxes = y["boxes"] / y["scale"][:, None, None]
        return [(boxes[i, :count], y["labels"][i, :count]) for i, count in enumerate(y["count"])]

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        return owned_loss(self, name, class_weight)

    def metric(self, name: str) -> Any:
        if name not in self.metric_names:
            raise UnknownNameError(f"metric of {self.name}", name, self.metric_names)
        return mean_average_precision(name)

    def describe(self) -> str:
        small, large = self.box_sizes
        return f"{self.name.replace('_', ' ')} of {len(self.classes)} classes: {short(self.classes)}; boxes mostly {small:.0f} to {large:.0f} pixels"


def _scales(targets: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    sizes = torch.tensor([t["size"] for t in targets], dtype=torch.float64).reshape(-1, 2)
    return frame_scale(sizes, frame).numpy()
