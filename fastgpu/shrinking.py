"""What a learner's network is, before it is made smaller and after: metric, size, times."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fastgpu.callbacks.compressing import network_example
from fastgpu.compress.measure import alternate, macs, parameters
from fastgpu.compress.quantize import finalize, quantized_layers
from fastgpu.compress.report import CompressionReport
from fastgpu.compress.structure import Example
from fastgpu.judging import evaluate
from fastgpu.train.preflight import check_batch

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["BATCHES", "add_latencies", "example_of", "measured", "weights_file"]

BATCHES = (1, 32)
"""Items of the batches whose latency is measured."""


def example_of(learner: Learner, items: int = max(BATCHES)) -> Example:
    """What the learner's network is called with for a batch; few items are repeated until they are enough."""
    module, batch = learner.task_module(), learner.data.judged().head(items)
    return network_example(module.model, lambda: check_batch(module, batch)).of_items(items)  # type: ignore[arg-type]


def measured(learner: Learner, example: Example) -> dict[str, Any]:
    """The task's own metric, parameters, an item's multiplications, and the size of the weights' file."""
    key, net = learner.task_module().monitor[0].removeprefix("val_"), learner.module
    metric = evaluate(learner)[key]
    return {key: metric, "parameters": parameters(net), "macs": macs(net, example), "size_kb": len(weights_file(net)) / 1024}


def add_latencies(report: CompressionReport, nets: Sequence[nn.Module], example: Example) -> None:
    """Time the network of each step of a report, in turns, so that a busy machine is the same for all.

    A quantized one is timed without its rounding, which is slow in torch and is not done where the exported file runs.
    """
    copies = [finalize(copy.deepcopy(net)).cpu().eval() for net in nets]
    for items in BATCHES:
        given = example.of_items(items)
        try:
            with torch.no_grad():
                found = alternate([partial(given.call, net) for net in copies])
        except Exception as error:  # of the network's own code; what was trained is not lost for it
            report.note(f"batches of {items} are not timed: {type(error).__name__}: {' '.join(str(error).split())}")
            continue
        for step, each in zip(report.steps, found):
            step |= {f"latency_{items}_ms": each.median, f"spread_{items}_ms": each.spread, "threads": each.threads}
    if any(quantized_layers(net) for net in nets):
        report.note("quantized: sizes and times are those of weights in floats; learn.benchmark() tells those of the file of whole numbers")


def weights_file(net: nn.Module) -> bytes:
    """A network's weights as a file of safetensors."""
    from safetensors.torch import save

    stored = {t.data_ptr(): (name, t) for name, t in net.state_dict().items()}  # tied weights are stored once
    return save({name: t.detach().cpu().contiguous() for name, t in stored.values()})
