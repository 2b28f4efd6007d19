"""What compression costs in accuracy and gains in size and time, on the built-in digits at 32x32 pixels.

    python -m benchmarks.compression            # about ten minutes on one core
    python -m benchmarks.compression --epochs 2 # a look at whether it runs

Two small networks, one residual, one with depthwise convolutions and ReLU6, are trained, quantized without training by
`learn.quantize()` and by onnxruntime's own quantizer with its usual settings, and trained with quantization simulated. Accuracies are those of
the files in onnxruntime on the digits' validation split (359 digits); times are CPU time of one thread, in turns.
"""

from __future__ import annotations

import argparse
import copy
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fastgpu import Learner
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.measure import alternate
from fastgpu.compress.quantize import quantized_layers
from fastgpu.compress.restore import load_weights
from fastgpu.data import sources
from fastgpu.export.onnx import strip, to_onnx
from fastgpu.exportable import make_source, samples_of
from fastgpu.quantizing import batches_of, int8_model


class Residual(nn.Module):
    """Five residual blocks on three sizes of map."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        sizes = [(width, width, 1), (width, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 1), (2 * width, 4 * width, 2)]
        self.blocks = nn.Sequential(*[Block(*size) for size in sizes])
        self.head = nn.Linear(4 * width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        self.act = nn.ReLU()
        changes = stride > 1 or inner != outer
        self.short = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))) + self.short(x))


def depthwise() -> nn.Sequential:
    """A small MobileNet: depthwise and pointwise convolutions with ReLU6."""
    layers: list[nn.Module] = [nn.Conv2d(1, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    for inner, outer, stride in ((32, 64, 2), (64, 96, 1), (96, 128, 2), (128, 160, 1), (160, 192, 2)):
        layers += [nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()]
        layers += [nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The built-in digits, enlarged to 32x32."""
    train = sources.load("digits").splits["train"]
    x = F.interpolate(torch.as_tensor(train.x).float(), (32, 32), mode="bilinear").round().to(torch.uint8)
    return x.numpy(), np.asarray(train.y)


def graph(learn: Learner) -> Any:
    """The learner's network as ONNX, its weights as they were trained."""
    source = make_source(learn, samples_of(learn), 0.0, snap=False)
    return to_onnx(source.graph, source.example, source.lengths)


def session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def usual(model: Any, batches: list[dict[str, Any]], **settings: Any) -> Any:
    """onnxruntime's quantizer on the same graph and the same items."""
    import onnx
    from onnxruntime import quantization

    class Reader:
        rest = iter([{k: v.numpy() for k, v in x.items()} for x in batches])

        def get_next(self) -> Any:
            return next(self.rest, None)

    logging.root.setLevel(logging.ERROR)  # it advises what torch's exporter has done already
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usual.onnx"
        quantization.quantize_static(copy.deepcopy(model), file, Reader(), **settings)
        return onnx.load(file)


def report(title: str, models: dict[str, Any], learn: Learner) -> None:
    """Accuracy in points, size and time of each graph beside the first."""
    batch = learn.data.split("val").head(10_000)
    images, labels = batch["x"]["image"].numpy(), batch["y"]["target"].numpy()
    sessions = {name: session(model) for name, model in models.items()}
    times = alternate([lambda s=s: s.run(None, {"image": images[:1]}) for s in sessions.values()], 200)
    first = next(iter(models))
    for each in models.values():
        strip(each)  # as files are written
    size = len(models[first].SerializeToString())
    print(f"\n{title}\n{'':38} accuracy   size   time (ms, one digit)")
    for (name, each), time in zip(sessions.items(), times):
        found = each.run(["labels"], {"image": images})[0]
        share = len(models[name].SerializeToString()) / size
        print(f"{name:38} {100 * (found == labels).mean():7.2f}  {share:5.3f}   {time.median:.3f} ({time.median / times[0].median:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    from onnxruntime.quantization import QuantFormat, QuantType

    u8s8 = {"quant_format": QuantFormat.QDQ, "per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    for title, net in (("residual", Residual()), ("depthwise", depthwise())):
        with tempfile.TemporaryDirectory() as out:
            learn = Learner(net, digits(), out=out, verbose=False)
            learn.fit_one_cycle(epochs, lr_max=3e-3)
            saved = copy.deepcopy(learn.module.state_dict())
            batches = list(batches_of(learn, learn.data.split("train")))
            floats = graph(learn)
            models = {"fp32": floats, "onnxruntime's defaults": usual(floats, batches), "onnxruntime's U8S8": usual(floats, batches, **u8s8)}
            models["onnxruntime's U8S8, 7 bits"] = usual(floats, batches, reduce_range=True, **u8s8)
            learn.quantize()
            models["learn.quantize()"] = int8_model(learn, batches, floats) if quantized_layers(learn.module) else floats
            learn = Learner(net, digits(), out=out, verbose=False)
            load_weights(learn.module, saved)
            learn.fit(max(2, epochs // 3), lr=3e-4, callbacks=[QuantizationAwareTraining()])
            models["QuantizationAwareTraining"] = int8_model(learn, batches, graph(learn))
            report(f"{title}, {sum(p.numel() for p in net.parameters()):,} parameters", models, learn)


if __name__ == "__main__":
    main()
