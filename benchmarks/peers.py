"""FastGPU's compression beside other tools', on the same trained network, digits and graph.

    pip install nncf torchao        # what is missing is left out
    python -m benchmarks.peers      # about twenty minutes on one core

Two small networks learn the built-in digits at 32x32; each tool then gets the same weights. Whole numbers: onnxruntime's
quantizer, NNCF and torchao against `learn.quantize()` and `QuantizationAwareTraining`. Pruning: Lightning's `ModelPruning` against
`learn.prune`, each with as many epochs, and half pruned, distilled and in whole numbers. Accuracies are those of the files on the
validation split (359 digits); times are CPU time of one digit on one thread in onnxruntime, all in turns. torchao has no way to a file
for onnxruntime: it runs in torch, beside the floats in torch.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import io
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, ModelPruning
from torch import nn

from benchmarks.compression import Residual, depthwise, digits, graph, report, usual
from fastgpu import Learner
from fastgpu.callbacks.distillation import Distillation
from fastgpu.callbacks.pruning import Pruning
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.measure import alternate
from fastgpu.quantizing import batches_of, int8_model
from fastgpu.quantizing_places import stored_model


def nncf_file(floats: Any, batches: list[dict[str, Any]]) -> Any:
    """NNCF's quantizer with its defaults on the graph of floats."""
    import nncf

    feeds = [{name: value.numpy() for name, value in x.items()} for x in batches]
    return nncf.quantize(copy.deepcopy(floats), nncf.Dataset(feeds), subset_size=len(feeds))


def whole_numbers(learner: Callable[[], Learner], epochs: int) -> dict[str, Any]:
    """The files of all tools, the floats first."""
    from onnxruntime.quantization import QuantFormat, QuantType

    learn = learner()
    floats, batches = graph(learn), list(batches_of(learn, learn.data.split("train")))
    u8s8 = {"quant_format": QuantFormat.QDQ, "per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    files = {"float32": floats, "onnxruntime, its defaults": usual(floats, batches), "onnxruntime, U8S8": usual(floats, batches, **u8s8)}
    files["onnxruntime, U8S8 with 7 bits"] = usual(floats, batches, reduce_range=True, **u8s8)
    if importlib.util.find_spec("nncf"):
        files["NNCF"] = nncf_file(floats, batches)
    learn.quantize(candidates="all", max_drop=100)
    files["learn.quantize('all')"] = int8_model(learn, batches, floats)
    learn = learner()
    learn.fit(epochs, lr=3e-4, callbacks=[QuantizationAwareTraining()])
    files["QuantizationAwareTraining"] = int8_model(learn, batches, graph(learn))
    return files


class Contiguous(Callback):
    """torch's own pruning fails at weights that lie channels last, as FastGPU lays them."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        pl_module.to(memory_format=torch.contiguous_format)


def pruned(learner: Callable[[], Learner], epochs: int) -> dict[str, Any]:
    """The files after pruning by half, the floats first."""
    files = {"float32": graph(learner())}
    peers = {
        "ModelPruning, l1_unstructured": {"pruning_fn": "l1_unstructured"},
        "ModelPruning, ln_structured": {"pruning_fn": "ln_structured", "pruning_norm": 2, "pruning_dim": 0, "use_global_unstructured": False},
    }
    for name, options in peers.items():
        learn = learner()
        convolutions = [(layer, "weight") for layer in learn.module.modules() if isinstance(layer, nn.Conv2d)]
        # Its amount compounds: half at once, in the first epoch alone.
        pruning = ModelPruning(parameters_to_prune=convolutions, amount=lambda epoch: 0.5 * (epoch == 0), **options)
        learn.fit(epochs, lr=1e-3, callbacks=[Contiguous(), pruning])
        files[name] = graph(learn)
    learn = learner()
    learn.prune(0.5, epochs=epochs, lr=1e-3)
    files["learn.prune(0.5)"] = graph(learn)
    learn = learner()
    teacher = copy.deepcopy(learn.module)
    learn.fit_one_cycle(2 * epochs, lr_max=3e-3, callbacks=[Pruning(0.5), Distillation(teacher)])
    files["Pruning, Distillation"] = graph(learn)
    learn.fit_one_cycle(epochs, lr_max=1e-3, callbacks=[QuantizationAwareTraining(distill=False), Distillation(teacher)])
    files["then QuantizationAwareTraining"] = int8_model(learn, list(batches_of(learn, learn.data.split("train"))), graph(learn))
    files["the same, weights alone"] = stored_model(learn, graph(learn))
    return files


def torchao(learn: Learner) -> None:
    """torchao's int8 weights in torch: accuracy, size and time beside the floats in torch."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    batch = learn.data.split("val").head(10_000)
    images = learn.task_module().preparation(batch["x"])["image"]
    nets = {"float32 in torch": learn.module.eval(), "torchao, int8 weights": copy.deepcopy(learn.module).eval()}
    quantize_(nets["torchao, int8 weights"], Int8WeightOnlyConfig())
    with torch.no_grad():
        times = alternate([lambda net=net: net(images[:1]) for net in nets.values()], 200)
        for (name, net), time in zip(nets.items(), times):
            right = (net(images).argmax(1) == batch["y"]["target"]).float().mean()
            size = io.BytesIO()
            torch.save(net.state_dict(), size)
            print(f"{name:38} {100 * right:7.2f}  {size.tell() / 1024:5.0f} KB  {time.median:.3f} ({time.median / times[0].median:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    for title, net in (("residual", Residual()), ("depthwise", depthwise())):
        with tempfile.TemporaryDirectory() as out:
            first = Learner(net, digits(), out=out, verbose=False)
            first.fit_one_cycle(epochs, lr_max=3e-3)

            def learner(net: nn.Module = net, out: str = out) -> Learner:
                return Learner(copy.deepcopy(net), digits(), out=out, verbose=False)

            few = max(1, epochs // 3)
            report(f"{title}, whole numbers", whole_numbers(learner, few), first)
            if importlib.util.find_spec("torchao"):
                torchao(learner())
            report(f"{title}, half pruned", pruned(learner, epochs), first)


if __name__ == "__main__":
    main()
