"""Suppression of overlapping boxes in files: what torchvision keeps in each picture, in every runtime."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import batched_nms

from fastgpu.export.base import FORMATS, Source
from fastgpu.export.pt2 import save
from fastgpu.export.worker import Worker
from fastgpu.nn.adapters.picking import unsuppressed

OVERLAP = 0.5


class Suppression(nn.Module):
    """The graph of a detector without a network."""

    inputs, outputs = ("boxes", "scores", "groups"), ("kept",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(()))

    def forward(self, *columns):
        boxes, scores, groups = columns
        return (unsuppressed(boxes, scores * self.one, OVERLAP, groups),)


def candidates(pictures: int, seed: int = 0, boxes: int = 60) -> dict[str, np.ndarray]:
    """Boxes on whole pixels and few different scores, so that many overlaps and scores are equal; a third takes no part."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 30, (pictures, boxes, 2))
    corners = np.concatenate([low, low + rng.integers(0, 12, (pictures, boxes, 2))], 2).astype(np.float32)
    corners[:, :2] = [[0, 0, 4, 4], [0, 0, 4, 2]]  # they overlap by exactly the half
    scores = (rng.integers(0, 8, (pictures, boxes)) / 8).astype(np.float32) * (rng.random((pictures, boxes)) > 0.3)
    return {"boxes": corners, "scores": scores.astype(np.float32), "groups": rng.integers(0, 3, (pictures, boxes))}


def by_torchvision(boxes, scores, groups):
    kept = np.zeros(scores.shape, bool)
    for row, *picture in zip(kept, boxes, scores, groups):
        part = np.flatnonzero(picture[1] > 0)
        row[part[batched_nms(*(torch.from_numpy(each[part]) for each in picture), OVERLAP).numpy()]] = True
    return kept


def batches():
    nothing, some = candidates(3), candidates(4, 1)
    nothing["scores"][:] = 0
    some["scores"][::2] = 0
    return [candidates(1), candidates(7), nothing, some]


def test_without_a_graph():
    for batch in batches():
        (found,) = Suppression()(*map(torch.from_numpy, batch.values()))
        assert np.array_equal(found.numpy(), by_torchvision(**batch))
    assert not unsuppressed(torch.zeros(2, 0, 4), torch.zeros(2, 0), OVERLAP).numel()


@pytest.mark.parametrize(
    "name", ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("openvino", "pt2", "aoti", "cuda"))]
)
def test_in_a_file(name, tmp_path):
    if name == "openvino":
        pytest.importorskip("openvino")
    if name == "aoti" and not shutil.which("g++"):
        pytest.skip("there is no compiler")
    example = {key: torch.from_numpy(value) for key, value in candidates(5).items()}
    said = {"inputs": list(Suppression.inputs), "outputs": list(Suppression.outputs)}
    source = Source(graph=Suppression().eval(), example=example, lengths={}, manifest=said, weights={}, facts={})
    path = tmp_path / f"suppression{FORMATS[name].suffix}"
    if name == "cuda":  # on the processor; what the file holds, and how it is compiled, does not depend on the device
        save(source, path, name, decomposed=True)
    else:
        FORMATS[name].write(source, path)
    given = batches()
    if name == "openvino":  # alone among them it drops a box that overlaps by exactly the limit
        for batch in given:
            batch["boxes"] += np.random.default_rng(2).random(batch["boxes"].shape, np.float32) / 4
    with Worker(FORMATS[name].load, path) as worker:
        for batch, found in zip(given, worker.run(given, tmp_path), strict=True):
            assert np.array_equal(found["kept"], by_torchvision(**batch))
