"""What suppressing overlapping boxes costs for batches of pictures: `python -m benchmarks.suppression [--candidates 4000]`.

Random boxes of 20 classes in the graph of a detector without its network, in onnxruntime and in torch on one thread: picture by picture, as
exported detectors do it, and all pictures in one suppression, moved so far apart that only those of one picture and class overlap.
Printed are the median of CPU time, and in how many boxes they differ.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from benchmarks.photographs import session
from fastgpu.compress.measure import alternate
from fastgpu.nn.adapters.picking import unsuppressed

BATCHES = (1, 4, 32)
CLASSES = 20
OVERLAP = 0.5
NAMES = ("boxes", "scores", "labels")


class Each(nn.Module):
    """Picture by picture."""

    def forward(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        return unsuppressed(boxes, scores, OVERLAP, labels)


class Together(nn.Module):
    """All pictures in one call."""

    def forward(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        span = boxes.max() + 1
        right, down = torch.arange(len(labels))[:, None].expand_as(labels) * span, labels * span
        kept = nms((boxes + torch.stack([right, down, right, down], -1)).flatten(0, 1), scores.flatten(), OVERLAP)
        return torch.zeros_like(scores.flatten()).index_fill(0, kept, 1.0).unflatten(0, scores.shape) > 0


def candidates(pictures: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(pictures)
    low = 500 * torch.rand(pictures, count, 2, generator=random)
    boxes = torch.cat([low, low + 5 + 60 * torch.rand(pictures, count, 2, generator=random)], -1)
    return boxes, torch.rand(pictures, count, generator=random), torch.randint(CLASSES, (pictures, count), generator=random)


def in_onnxruntime(graph: nn.Module, count: int) -> Any:
    shapes = ({0: torch.export.Dim.DYNAMIC},) * 3
    made: Any = torch.onnx.export(graph, candidates(5, count), dynamo=True, dynamic_shapes=shapes, input_names=list(NAMES), verbose=False)
    runtime = session(made.model_proto)
    return lambda *columns: runtime.run(None, dict(zip(NAMES, map(np.asarray, columns))))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--candidates", type=int, default=4000)
    count = parser.parse_args().candidates
    torch.set_num_threads(1)
    graphs = (Each(), Together())
    for runtime, calls in (("onnxruntime", [in_onnxruntime(graph, count) for graph in graphs]), ("torch", graphs)):
        for pictures in BATCHES:
            given = candidates(pictures, count)
            each, together = (np.asarray(call(*given)) for call in calls)
            times = alternate([functools.partial(call, *given) for call in calls], rounds=3)
            print(f"{runtime}, {pictures} pictures: each {times[0].median:.1f} ms, together {times[1].median:.1f} ms, {_differ(each, together)}")


def _differ(each: np.ndarray, together: np.ndarray) -> str:
    """How many boxes one way keeps and the other does not: far from 0 an overlap is rounded otherwise."""
    return f"{(each != together).sum()} of {each.sum()} boxes differ"


if __name__ == "__main__":
    main()
