"""Any number of objects a picture, each with a box, a class and a score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers, short
from fastgpu.answers.pixels import class_colours

__all__ = ["BoxAnswers"]


@ANSWERS.register("detection")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxAnswers(Answers):
    """Boxes `(k, 4)` left, top, right, bottom, in the pixels of the picture as it came.

    Args:
        classes: names of the classes in the order of their numbers.
        frame: `(height, width)` of the frame that pictures are put into.
    """

    name: ClassVar[str] = "detection"
    paints: ClassVar[bool] = True

    classes: tuple[str | int, ...]
    frame: tuple[int, int]

    @property
    def names(self) -> tuple[str | int, ...]:
        return self.classes

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """`boxes` `(b, n, 4)` in pixels of the frame, `labels`, `scores` and `shown` `(b, n)` -> those of each picture."""
        original = x["original_size"].astype(np.float32)
        factors = 1 / (np.array(self.frame, np.float32) / original).min(-1)  # in single precision, as the learner has it
        edges = np.tile(original[:, ::-1], 2)
        boxes = np.minimum(np.maximum(outputs["boxes"] * factors[:, None, None], 0), edges[:, None])
        return {"boxes": list(boxes), **{name: list(outputs[name]) for name in ("labels", "scores", "shown")}}

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """`boxes`: a dict a picture, of `boxes` `(k, 4)` float32, `labels` `k` names and `scores` `(k,)`, highest first."""
        listed = []
        for boxes, labels, scores, shown in zip(*(predictions[name] for name in ("boxes", "labels", "scores", "shown"))):
            kept = np.asarray(shown)
            names = [self.classes[i] for i in np.asarray(labels)[kept].tolist()]
            listed.append({"boxes": np.asarray(boxes)[kept], "labels": names, "scores": np.asarray(scores)[kept]})
        return {"boxes": listed}

    def table(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """One row a box: `item`, `label`, `score` and its corners in pixels."""
        found = columns["boxes"]
        corners = np.concatenate([np.zeros((0, 4), np.float32), *(each["boxes"] for each in found)])
        return {
            "item": np.repeat(np.arange(len(found)), [len(each["boxes"]) for each in found]),
            "labels": [label for each in found for label in each["labels"]],
            "scores": np.concatenate([np.zeros(0, np.float32), *(each["scores"] for each in found)]),
            **dict(zip(("left", "top", "right", "bottom"), corners.T)),
        }

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        labels = columns["boxes"][index]["labels"]
        return f"{len(labels)}: {short(labels)}" if labels else "nothing"

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        _draw(axes, columns["boxes"][index], _colours(self.classes))

    def paint(self, picture: Any, columns: Mapping[str, Any], index: int) -> Any:
        _paint(picture, columns["boxes"][index], _colours(self.classes))
        return picture


def _colours(classes: Sequence[Any]) -> dict[Any, tuple[int, int, int]]:
    """Class -> `(red, green, blue)`, 0 to 255; none is black."""
    return {name: tuple(colour.tolist()) for name, colour in zip(classes, class_colours(len(classes) + 1)[1:])}


def _caption(found: Mapping[str, Any], i: int) -> str:
    """What stands beside box number `i`: its label, and its score where there is one."""
    return f"{found['labels'][i]} {found['scores'][i]:.0%}" if "scores" in found else str(found["labels"][i])


def _draw(axes: Any, found: Mapping[str, Any], colours: Mapping[Any, tuple[int, int, int]]) -> None:
    """Draw boxes with their captions into matplotlib axes that show the picture."""
    from matplotlib.patches import Rectangle

    for i, ((left, top, right, bottom), label) in enumerate(zip(found["boxes"], found["labels"])):
        colour = tuple(part / 255 for part in colours[label])
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=1.5, edgecolor=colour))
        background = {"facecolor": colour, "edgecolor": "none", "pad": 0.5}
        axes.text(left, top, _caption(found, i), fontsize=6, verticalalignment="bottom", clip_on=True, bbox=background)


def _paint(picture: Any, found: Mapping[str, Any], colours: Mapping[Any, tuple[int, int, int]]) -> None:
    """Draw boxes with their captions into a PIL picture of mode RGB, in its own pixels."""
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 200))
    for i, ((left, top, right, bottom), label) in enumerate(zip(found["boxes"].tolist(), found["labels"])):
        colour = colours[label]
        canvas.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        if min(picture.size) >= 100:  # no letter can be read in a smaller one
            place = canvas.textbbox((left, top), _caption(found, i), anchor="lb")
            canvas.rectangle(place, fill=colour)
            canvas.text((left, top), _caption(found, i), fill=(0, 0, 0), anchor="lb")
