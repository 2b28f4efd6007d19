"""Segmentation: every pixel of a picture has one of several classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.base import short
from fastgpu.answers.masks import MaskAnswers
from fastgpu.data.columns import Columns
from fastgpu.data.masks import IGNORED, class_numbers, encode_masks, renumbered
from fastgpu.data.sources.base import objects
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.optional import require
from fastgpu.tasks.base import TASKS, Task
from fastgpu.tasks.labels import renumbering, unknown_class
from fastgpu.tasks.pixels import in_original

__all__ = ["Segmentation"]

@TASKS.register("segmentation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation(MaskAnswers, Task):
    """One class a pixel: the network gives `(b, classes, h, w)` logits, the target is `y["mask"]` `(b, h, w)`.

    Pictures are scaled to fit whole into one frame (`ImageInput` with `frame="pad"`); masks go with them, and what is
    outside of the picture, and every pixel of value 255, counts neither in the loss nor in metrics. Predicted masks have the
    size of the pictures as they came. The first class is taken for the background when masks are drawn.

    Args:
        classes: names of the classes in the order of their numbers, 2 to 255.
        size: `(height, width)` of the frame; None where a loader of the user's own gives tensors.

    Example:
        >>> task = Segmentation.fit(np.array([[[0, 1], [1, 255]]]))
        >>> task.classes, tuple(task.encode(np.array([[[0, 1], [1, 255]]]))["mask"].shape)
        (('0', '1'), (1, 2, 2))
    """

    loss_names: ClassVar[tuple[str, ...]] = ("cross_entropy_dice", "cross_entropy", "dice")
    metric_names: ClassVar[tuple[str, ...]] = ("iou", "class_iou", "dice", "pixel_accuracy")
    default_metrics: ClassVar[tuple[str, ...]] = ("iou",)
    monitor: ClassVar[str] = "iou"

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Segmentation:
        """Take over the classes of a source, or count them in masks that are arrays.

        Args:
            targets: `(n,)` masks in a form of `fastgpu.data.masks.read_mask`, or `(n, h, w)` class numbers.
            classes: names of the classes; None: numbers up to the largest of the masks.
            target: unused.
            input: the fitted pictures, whose frame the masks share.

        Raises:
            DataError: there are fewer than two classes, or the items are no pictures.
        """
        if input is not None and input.kind not in ("image", "tensors"):
            raise DataError(f"Segmentation needs pictures with masks. The items are {input.kind}. Give a folder with images/ and masks/.")
        classes = cls.classes_in(targets, classes, target)
        if classes is None:
            raise DataError(f"Masks are (n, h, w) class numbers. Targets of shape {targets.shape} came. Give a folder with images/ and masks/.")
        if not 2 <= len(classes) <= IGNORED:
            raise DataError(f"Segmentation needs 2 to {IGNORED} classes. {len(classes)} came: {short(classes)}. Check the masks.")
        return cls(classes=tuple(classes), size=getattr(input, "size", None))

    @classmethod
    def classes_in(
        cls, targets: np.ndarray, classes: tuple[str | int, ...] | None, target: tuple[str, ...]
    ) -> tuple[str | int, ...] | None:
        if classes is not None or targets.ndim != 3:
            return classes
        numbers = targets[targets != IGNORED]
        return tuple(str(i) for i in range(int(numbers.max()) + 1 if numbers.size else 0))

    @classmethod
    def input_options(cls, targets: np.ndarray) -> dict[str, Any]:
        return {"frame": "pad"}

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def renumbered(self, targets: np.ndarray, classes: tuple[str | int, ...]) -> np.ndarray:
        table = renumbering(classes, self.classes).tolist()
        for mask in targets:
            if unknown := [number for number in class_numbers(mask) if table[number] < 0]:
                raise unknown_class(classes[min(unknown)], self.classes)
        return objects(renumbered(mask, dict(enumerate(table))) for mask in targets)

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor] | Columns:
        if self.size is not None and targets.dtype == object:
            for mask in targets:
                if (most := max(class_numbers(mask), default=0)) >= self.outputs:
                    raise DataError(f"Masks hold numbers of the {self.outputs} classes, from 0, or {IGNORED}. {mask!s:.200} has {most}. Correct it.")
            return encode_masks(list(targets), self.size)
        mask = torch.from_numpy(np.ascontiguousarray(targets))
        strange = ((mask < 0) | (mask >= self.outputs)) & (mask != IGNORED)
        if mask.ndim != 3 or bool(strange.any()):
            came = f"Shape {tuple(mask.shape)}" + (f" with the value {mask[strange][0].item()}" if strange.any() else "")
            raise DataError(f"Masks are (n, h, w) class numbers below {self.outputs}, or {IGNORED}. {came} came. Correct them.")
        if self.size is not None:
            return encode_masks(list(targets), self.size)
        return {"mask": mask.to(torch.uint8)}

    def step(self, model: nn.Module, x: dict[str, Any], y: dict[str, Any], loss: Callable[..., Tensor]) -> tuple[dict[str, Any], Tensor]:
        out = model(x, y)
        return out, (out["loss"] if "loss" in out else loss(out["logits"], y["mask"].long()))

    def check_outputs(self, out: Mapping[str, Any]) -> None:
        logits = out.get("logits")
        if logits is None or logits.ndim != 4 or logits.shape[1] != self.outputs:
            came = "none" if logits is None else f"{tuple(logits.shape)}"
            raise ModelError(f"The network must give logits (items, {self.outputs}, height, width), one for each class. It gave {came}.")

    def metric_inputs(self, out: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return out["logits"].detach().argmax(1), y["mask"].long()

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        return {"masks": list(out["logits"].argmax(1).to(torch.uint8))}

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given = model(x) if out is None else out
        if "original_size" not in x:
            return self.decode(given)
        # Scores are brought to the picture's own pixels, not classes: borders stay smooth.
        pairs = zip(given["logits"], x["original_size"])
        return {"masks": [in_original(logits, size).argmax(0).to(torch.uint8) for logits, size in pairs]}

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        """`masks` `(b, h, w)` uint8 in the pixels of the frame, and the `logits` `(b, classes, h, w)` that they come from."""
        logits = model(x)["logits"]
        return {"masks": logits.argmax(1).to(torch.uint8), "logits": logits.float()}

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        for metric in metrics.values():
            metric.update(predictions["masks"].long(), y["mask"].long())

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        if name not in self.loss_names:
            raise UnknownNameError(f"loss of {self.name}", name, self.loss_names)
        if class_weight is not None and name == "dice":
            raise ArgumentError("class_weight goes with a cross entropy. The loss is 'dice'. Take loss='cross_entropy_dice'.")
        if class_weight is not None and len(class_weight) != self.outputs:
            raise ArgumentError(f"class_weight needs one weight a class, {self.outputs} here. {len(class_weight)} came.")
        return _MaskLoss(name, class_weight)

    def metric(self, name: str) -> Any:
        from torchmetrics import ClasswiseWrapper
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

        n, ignored = self.outputs, {"ignore_index": IGNORED, "validate_args": False}
        made = {
            "iou": lambda: MulticlassJaccardIndex(n, average="macro", **ignored),
            "class_iou": lambda: ClasswiseWrapper(
                MulticlassJaccardIndex(n, average=None, **ignored), labels=[str(c) for c in self.classes], prefix="iou_"
            ),
            "dice": lambda: MulticlassF1Score(n, average="macro", **ignored),  # of counted pixels F1 is Dice's coefficient
            "pixel_accuracy": lambda: MulticlassAccuracy(n, average="micro", **ignored),
        }
        if name not in made:
            raise UnknownNameError(f"metric of {self.name}", name, made)
        return made[name]()

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return {"masks": [mask.numpy() for mask in y["mask"]]}

    def describe(self) -> str:
        return f"segmentation into {len(self.classes)} classes: {short(self.classes)}"


class _MaskLoss(nn.Module):
    """Cross entropy, Dice loss (Milletari et al. 2016, https://arxiv.org/abs/1606.04797), or their sum, over pixels that count.

    Args:
        name: `"cross_entropy"`, `"dice"` or `"cross_entropy_dice"`.
        class_weight: weight of each class in the cross entropy.
    """

    def __init__(self, name: str, class_weight: tuple[float, ...] | None) -> None:
        super().__init__()
        weight = None if class_weight is None else torch.tensor(class_weight)
        self.cross_entropy = nn.CrossEntropyLoss(weight, ignore_index=IGNORED) if "cross_entropy" in name else None
        self.dice = None
        if "dice" in name:
            smp = require("segmentation_models_pytorch", need="The Dice loss")
            self.dice = smp.losses.DiceLoss("multiclass", from_logits=True, ignore_index=IGNORED)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """`(b, classes, h, w)` logits and `(b, h, w)` int64 class numbers -> the loss, a scalar."""
        parts = [part(logits, mask) for part in (self.cross_entropy, self.dice) if part is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]
