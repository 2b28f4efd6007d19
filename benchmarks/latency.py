"""What whole numbers and pruning gain in time and size at 224x224 pixels, in onnxruntime on one thread.

    python -m benchmarks.latency                    # all eight, about three minutes on one core
    python -m benchmarks.latency resnet18 resnet50  # some of them

Weights are random and none alike, as trained ones are: tensors that are equal, such as those of branches that begin at 0, are stored
once. The placements are those that `learn.quantize` tries. The pruned networks are half as wide before they are quantized. All files of
a network take turns.
"""

from __future__ import annotations

import argparse
import copy
from typing import Any

import timm
import torch
from torch import nn

from benchmarks.photographs import session, to_onnx
from fastgpu.compress.measure import alternate
from fastgpu.compress.prune import prune
from fastgpu.compress.quantize import calibrate, input_ranges, prepare
from fastgpu.export.int8 import quantized
from fastgpu.quantizing import placements

NETWORKS = (
    "resnet18",
    "resnet50",
    "tf_efficientnet_lite0",
    "mobilenetv2_100",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
)
PRUNED = ("resnet18", "resnet50")
ROUNDS = 30


def int8(net: nn.Module, floats: Any, layers: list[str], images: torch.Tensor) -> Any:
    """The graph with these layers in whole numbers."""
    net = copy.deepcopy(net)
    prepare(net, only=layers)
    with torch.no_grad():
        calibrate(net, lambda: net(images))
    return quantized(floats, [{"image": images.numpy()}], ranges=input_ranges(net))


def measure(name: str, images: torch.Tensor) -> None:
    """Print one network's lines."""
    net = timm.create_model(name).eval()
    for parameter in net.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    files = {"float32": to_onnx(net)}
    for placement, layers in placements(net, "auto").items():
        files[placement] = int8(net, files["float32"], layers, images)
    if name in PRUNED:
        prune(net, images[:2], amount=0.5, round_to=16)
        files["pruned"] = to_onnx(net)
        files["pruned, int8"] = int8(net, files["pruned"], next(iter(placements(net, "auto").values())), images)
    runs = [session(file) for file in files.values()]
    times = alternate([lambda run=run: run.run(None, {"image": images[:1].numpy()}) for run in runs], ROUNDS, seconds=120)
    size = files["float32"].ByteSize()
    for (step, file), time in zip(files.items(), times):
        share = time.median / times[0].median
        print(f"{name:24} {step:18} {time.median:8.2f} ms ±{time.spread:5.2f} {share:6.3f}   size {file.ByteSize() / size:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(8, 3, 224, 224)
    for name in parser.parse_args().networks:
        measure(name, images)


if __name__ == "__main__":
    main()
