"""What a CUDA device makes of training, of training with quantization, and of whole numbers and 8-bit floats.

    python -m benchmarks.gpu                          # all parts
    python -m benchmarks.gpu inference on_the_device  # these

Training: ResNet-50 at 224 pixels on made pictures that lie in the host's memory as bytes, by the Learner and by a loop written by
hand that does the same (indices drawn, bytes gathered and copied, the same normalisation, precision, fused AdamW, channels last).
Quantization: a step of `QuantizationAwareTraining` beside an ordinary one, and the digits' accuracy in the simulation on the device and in the file
in onnxruntime. Inference: torchao's whole numbers and 8-bit floats in ViT-Base against bf16, compiled, and the digits' accuracy of a small ViT
with them. Times are wall clock after a synchronisation, medians of alternating rounds.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.compression import Residual, depthwise, digits, graph, session
from fastgpu import Learner
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.quantize import finalize, prepare, quantizable, quantized_layers
from fastgpu.export.cuda import load, write
from fastgpu.exportable import make_source, metrics_of, samples_of
from fastgpu.quantizing import batches_of, int8_model, int8_sources
from fastgpu.quantizing_places import CUDA

DEVICE = "cuda"
BATCH, SIZE, ITEMS = 128, 224, 6_400


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
        found = timed({"by hand": loop, "Learner": learn.fit, "Learner, compiled": compiled.fit}, 2)
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


def of_file(learn: Learner, out: str) -> float:
    """Accuracy of the file that `export("...cuda.pt2", int8=True)` writes."""
    batches = samples_of(learn, 512)
    source = make_source(learn, batches, 0.0)
    if quantized_layers(learn.module):
        source = next(int8_sources(learn, batches, source, forced=True))
    write(source, Path(out) / "file.cuda.pt2")
    run = load(Path(out) / "file.cuda.pt2", 1)
    found = [run({name: each["x"][name].numpy() for name in source.graph.inputs}) for each in batches]
    return metrics_of(learn, batches, [{name: torch.from_numpy(value) for name, value in each.items()} for each in found])["accuracy"]


def on_the_device(out: str, epochs: int) -> None:
    """The digits' accuracy of a small ViT in bf16, and with whole numbers and 8-bit floats, simulated and in the file on the device."""
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, in_chans=1, num_classes=10, depth=6)
    learn = Learner(net, digits(), out=out, verbose=False)
    learn.fit_one_cycle(epochs, lr_max=1e-3)
    print(f"ViT: {100 * learn.evaluate()['accuracy']:.2f}, file in bf16 {100 * of_file(learn, out):.2f}", flush=True)
    for mode, inputs in CUDA.modes.items():
        prepare(learn.module, target="cuda", inputs=inputs)
        print(f"ViT: {mode} simulated {100 * learn.evaluate()['accuracy']:.2f}, file {100 * of_file(learn, out):.2f}", flush=True)
        finalize(learn.module, snap=False)
    learn.fit(max(2, epochs // 3), lr=1e-4, callbacks=[QuantizationAwareTraining(target="cuda")])
    simulated = learn.evaluate()["accuracy"]
    print(f"ViT: after QuantizationAwareTraining {100 * simulated:.2f}, file {100 * of_file(learn, out):.2f}", flush=True)


def inference(out: str, depth: int) -> None:
    """Blocks of ViT-Base compiled in bf16, and with whole numbers and 8-bit floats, as `learn.export("model.cuda.pt2")` writes it."""
    rng = np.random.default_rng(0)
    data = (rng.integers(0, 256, (64, 3, SIZE, SIZE), np.uint8), np.arange(64) % 10)
    net = timm.create_model("vit_base_patch16_224", depth=depth, num_classes=10)
    learn = Learner(net, data, out=out, verbose=False)
    source = make_source(learn, samples_of(learn), 0.0)
    layers = quantizable(learn.module, "cuda")
    sources = {mode: dataclasses.replace(source, rounded=dict.fromkeys(layers, inputs)) for mode, inputs in CUDA.modes.items()}
    models = {}
    for name, each in {"bf16": source, **sources}.items():
        began = time.perf_counter()
        models[name] = CUDA.ready(each)
        CUDA.latencies([models[name]], source.example, 32)
        print(f"ViT-Base, {depth} blocks, {name:8} made and compiled in {time.perf_counter() - began:.0f} s", flush=True)
    for items in (1, 32, 128):
        found = dict(zip(models, CUDA.latencies(list(models.values()), source.example, items)))
        for name, each in found.items():
            share, size = each.median / found["bf16"].median, CUDA.size_kb(models[name]) / 1024
            print(f"ViT-Base, {depth} blocks, {name:8} {items:4} items {each.median:7.2f} ms  {share:.2f} of bf16's time, {size:.0f} MB", flush=True)


PARTS = ("inference", "on_the_device", "quantized_steps", "carried_over", "training")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS), metavar="part", help=", ".join(PARTS))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--depth", type=int, default=12, help="blocks of ViT-Base")
    chosen = parser.parse_args()
    print(torch.cuda.get_device_name(), torch.__version__)
    with tempfile.TemporaryDirectory() as out:
        run: dict[str, Callable[[], None]] = {
            "inference": lambda: inference(out, chosen.depth),
            "on_the_device": lambda: on_the_device(out, chosen.epochs),
            "quantized_steps": quantized_steps,
            "carried_over": lambda: carried_over(out, chosen.epochs),
            "training": lambda: training(out),
        }
        for part in chosen.parts:
            run[part]()


if __name__ == "__main__":
    main()
