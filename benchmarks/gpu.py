"""What a CUDA device makes of training, of training with quantization, and of whole numbers and 8-bit floats.

    python -m benchmarks.gpu
    pip install torchao      # for the last part

Training: ResNet-50 at 224 pixels on made pictures that lie in the host's memory as bytes, by the Learner and by a loop written by
hand that does the same (indices drawn, bytes gathered and copied, the same normalisation, precision, fused AdamW, channels last).
Quantization: a step of `QuantizationAwareTraining` beside an ordinary one, and the digits' accuracy in the simulation on the device and in the file
in onnxruntime. Inference: torchao's whole numbers and 8-bit floats in ViT-Base against bf16, compiled. Times are wall clock
after a synchronisation, medians of alternating rounds.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.compression import Residual, depthwise, digits, graph, session
from fastgpu import Learner
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.quantize import prepare
from fastgpu.quantizing import batches_of, int8_model

DEVICE = "cuda"
BATCH, SIZE, ITEMS = 128, 224, 12_800


def timed(functions: Mapping[str, Callable[[], Any]], rounds: int = 3) -> dict[str, float]:
    """Median seconds of each, in turns, after one call that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for i in range(rounds + 1):
        for name, function in functions.items():
            torch.cuda.synchronize()
            began = time.perf_counter()
            function()
            torch.cuda.synchronize()
            if i:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def by_hand(images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    """An epoch of a loop without any library."""
    net = timm.create_model("resnet50", num_classes=10).to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)
    mean, std = (torch.tensor(v, device=DEVICE).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def epoch() -> None:
        for index in torch.randperm(len(images)).split(BATCH):
            x = images[index].to(DEVICE, non_blocking=True).float() / 255
            x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
            y = labels[index].to(DEVICE, non_blocking=True)
            with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def training(out: str) -> None:
    """Pictures a second, by the Learner and by hand."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (ITEMS, 3, SIZE, SIZE), np.uint8)
    labels = rng.integers(0, 10, ITEMS)
    for precision in ("32-true", "bf16-mixed"):
        settings: dict[str, Any] = {"precision": precision, "batch_size": BATCH, "validation_split": None, "verbose": False, "out": out}
        learn = Learner("resnet50", (images, labels), **settings)
        compiled = Learner("resnet50", (images, labels), compile=True, **settings)
        loop = by_hand(torch.from_numpy(images), torch.from_numpy(labels), precision)
        found = timed({"by hand": loop, "Learner": learn.fit, "Learner, compiled": compiled.fit})
        for name, seconds in found.items():
            print(f"ResNet-50, {precision:10} {name:18} {ITEMS / seconds:7.0f} pictures/s  {seconds / found['by hand']:.2f}", flush=True)


def quantized_steps() -> None:
    """Seconds of a training step with quantization simulated, beside an ordinary one."""
    for name in ("resnet18", "resnet50", "vit_tiny_patch16_224"):
        nets = {"floats": timm.create_model(name, num_classes=10).to(DEVICE).train()}
        nets["quantized"] = copy.deepcopy(nets["floats"])
        prepare(nets["quantized"])
        x, y = torch.randn(64, 3, SIZE, SIZE, device=DEVICE), torch.randint(0, 10, (64,), device=DEVICE)

        def step(net: nn.Module, x: Tensor = x, y: Tensor = y) -> None:
            for _ in range(10):
                F.cross_entropy(net(x), y).backward()
                net.zero_grad()

        found = timed({kind: lambda net=net: step(net) for kind, net in nets.items()}, 5)
        print(f"{name}: a step {100 * found['floats']:.1f} ms, with quantization {found['quantized'] / found['floats']:.2f} of it", flush=True)


def carried_over(out: str, epochs: int) -> None:
    """The digits' accuracy in the simulation on the device, and in the file on the processor."""
    for title, net in (("residual", Residual()), ("depthwise", depthwise())):
        learn = Learner(net, digits(), out=out, verbose=False)
        learn.fit_one_cycle(epochs, lr_max=3e-3)
        before = learn.evaluate()["accuracy"]
        learn.fit(max(2, epochs // 3), lr=3e-4, callbacks=[QuantizationAwareTraining()])
        simulated = learn.evaluate()["accuracy"]
        learn.module.cpu()
        file = int8_model(learn, list(batches_of(learn, learn.data.split("train"))), graph(learn))
        batch = learn.data.split("val").head(10_000)
        found = session(file).run(["labels"], {"image": batch["x"]["image"].numpy()})[0]
        deployed = (found == batch["y"]["target"].numpy()).mean()
        print(f"{title}: {100 * before:.2f}, simulated on the device {100 * simulated:.2f}, file {100 * deployed:.2f}", flush=True)


def inference() -> None:
    """ViT-Base in bf16, and with torchao's kinds, compiled."""
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        Int8DynamicActivationInt8WeightConfig,
        Int8WeightOnlyConfig,
        PerRow,
        quantize_,
    )

    net = timm.create_model("vit_base_patch16_224").to(DEVICE, torch.bfloat16).eval()
    x = torch.randn(128, 3, SIZE, SIZE, device=DEVICE, dtype=torch.bfloat16)
    kinds = {
        "int8 weights": Int8WeightOnlyConfig(),
        "int8": Int8DynamicActivationInt8WeightConfig(),
        "fp8": Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
    }
    nets = {"bf16": net}
    for name, kind in kinds.items():
        nets[name] = copy.deepcopy(net)
        quantize_(nets[name], kind)
    with torch.no_grad():
        answers = {name: each(x) for name, each in nets.items()}
        calls = {name: torch.compile(each, mode="max-autotune-no-cudagraphs") for name, each in nets.items()}
        found = timed({name: lambda call=call: [call(x) for _ in range(10)] for name, call in calls.items()}, 5)
    for name, seconds in found.items():
        apart = (answers[name] - answers["bf16"]).float().norm() / answers["bf16"].float().norm()
        share = seconds / found["bf16"]
        print(f"ViT-Base, {name:14} {1280 / seconds:7.0f} pictures/s  {share:.2f} of bf16's time, outputs {apart:.3f} apart", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    epochs = parser.parse_args().epochs
    print(torch.cuda.get_device_name(), torch.__version__)
    with tempfile.TemporaryDirectory() as out:
        quantized_steps()
        carried_over(out, epochs)
        training(out)
    if importlib.util.find_spec("torchao"):
        inference()


if __name__ == "__main__":
    main()
