"""What a training step costs when quantization is simulated, beside an ordinary one, at 224x224 pixels.

    python -m benchmarks.quantized_step    # about a minute on one core

CPU time of one thread, eight pictures, with the optimizer's step, alternating, medians. The teacher of a distillation would come on top: one
more forward pass.
"""

from __future__ import annotations

import copy

import timm
import torch
import torch.nn.functional as F
from torch import nn

from fastgpu.compress.measure import alternate
from fastgpu.compress.quantize import prepare

NETWORKS = ("resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224")


def main() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(8, 3, 224, 224).contiguous(memory_format=torch.channels_last), torch.randint(0, 10, (8,))
    for name in NETWORKS:
        ordinary = timm.create_model(name, num_classes=10).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        quantized = copy.deepcopy(ordinary)
        prepare(quantized)

        def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

        runs = [(net, torch.optim.AdamW(net.parameters(), 1e-4, fused=True)) for net in (ordinary, quantized)]
        first, second = alternate([lambda run=run: step(*run) for run in runs], 8, seconds=60)
        print(f"{name:24} {first.median:6.0f} ms, with quantization {second.median / first.median:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
